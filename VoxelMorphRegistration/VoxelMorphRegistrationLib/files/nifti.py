"""What the header of a NIfTI file says that ITK takes without a word: voxels that are missing, spacing that is none."""

from __future__ import annotations

import gzip
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    import nibabel

_HEADER_BYTES = 348


def check_nifti(path: Path) -> None:
    """Raises InputError, naming the file, for a NIfTI-1 file that is cut short or whose spacing is zero or not finite.

    ITK reads the first as zeros, the second as a spacing of 1. A file that is no NIfTI-1 file passes: its reader tells.
    """
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")) or not path.is_file():
        return
    try:
        with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as stream:
            start = stream.read(_HEADER_BYTES)
    except (OSError, EOFError):
        return
    if len(start) < _HEADER_BYTES:
        raise InputError(f"{path}: the file is cut short; copy or download it again")
    import nibabel

    # nibabel would guess the byte order by the number of axes, which may be what is damaged.
    candidates = (nibabel.Nifti1Header(start, order, check=False) for order in "<>")
    header = next((header for header in candidates if header["sizeof_hdr"] == _HEADER_BYTES), None)
    if header is None:
        return
    dimensions = header["dim"].tolist()
    check_spacing(path, header, min(dimensions[0], 3) if 1 <= dimensions[0] <= 7 else 0)
    voxels = math.prod(max(count, 1) for count in dimensions[1 : 1 + dimensions[0]])
    if not _holds(path, int(header["vox_offset"]) + voxels * int(header["bitpix"]) // 8):
        raise InputError(f"{path}: the file is cut short; copy or download it again")


def check_spacing(path: Path, header: nibabel.Nifti1Header, axes: int) -> None:
    """Raises InputError, naming the file, when the spacing along one of the first `axes` axes is zero or not finite."""
    spacing = tuple(header["pixdim"][1 : 1 + axes].tolist())
    if not all(math.isfinite(step) and step != 0 for step in spacing):
        raise InputError(f"{path}: its spacing {spacing} is not positive; correct the file's header")


def _holds(path: Path, needed: int) -> bool:
    """Whether a file, uncompressed where its name ends in .gz, has so many bytes."""
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size >= needed
    with open(path, "rb") as stream:
        stream.seek(-4, os.SEEK_END)
        held = int.from_bytes(stream.read(4), "little")
    # gzip keeps the length modulo 2**32. Padding after the voxels is allowed by NIfTI.
    return (needed % 2**32 <= held or needed >= 2**32) and held < 2 * needed + 2**20
