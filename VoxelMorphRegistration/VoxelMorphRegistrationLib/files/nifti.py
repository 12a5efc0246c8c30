"""What the header of a NIfTI file says that ITK takes without a word: voxels that are missing, spacing that is none."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ..errors import InputError, error_summary
from .compressed import check_packed, is_gzip
from .detached import check_readable

if TYPE_CHECKING:
    import nibabel

_FIRST, _SECOND = 348, 540  # bytes of a header of NIfTI-1 and NIfTI-2, which both begin with that number
_SUFFIXES = (".nii", ".nii.gz")


def check_nifti(path: Path) -> None:
    """Raises InputError, naming the file, for a NIfTI file that is cut short or damaged, or whose spacing is none.

    ITK reads missing voxels as zeros, damaged ones as what they decode to, and a spacing of zero as 1. The whole of a
    compressed file is read for that. A file that is no NIfTI file passes: its reader tells.
    """
    if not path.name.lower().endswith(_SUFFIXES) or not path.is_file():
        return
    packed = is_gzip(path)
    header = nifti_header(path)
    if header is None:
        if packed:
            check_packed(path, 0, "gzip", _FIRST)  # Damage may be why no header is there.
        return
    dimensions = header["dim"].tolist()
    axes = dimensions[0] if 1 <= dimensions[0] <= 7 else 0
    check_spacing(path, header, min(axes, 3))
    offset = float(header["vox_offset"])
    if not math.isfinite(offset) or offset < 0:
        raise InputError(f"{path}: its header says that voxels begin at byte {offset:g}; copy or export it again")
    voxels = math.prod(max(count, 1) for count in dimensions[1 : 1 + axes])
    needed = int(offset) + voxels * _voxel_bytes(header)
    if packed:
        check_packed(path, 0, "gzip", needed)
    elif path.stat().st_size < needed:
        raise InputError(f"{path}: the file is cut short; copy or download it again")


def check_spacing(path: Path, header: nibabel.Nifti1Header, axes: int) -> None:
    """Raises InputError, naming the file, when the spacing along one of the first `axes` axes is zero or not finite."""
    spacing = tuple(header["pixdim"][1 : 1 + axes].tolist())
    if not all(math.isfinite(step) and step != 0 for step in spacing):
        raise InputError(f"{path}: its spacing {spacing} is not positive; correct the file's header")


def shear_degrees(path: Path) -> float:
    """By how much the axes of a NIfTI file are not at right angles, at most; 0 for another file."""
    header = nifti_header(path)
    if header is None:
        return 0.0
    axes = header.get_best_affine()[:3, :3]
    unit = axes / np.linalg.norm(axes, axis=0)
    cosines = np.abs((unit.T @ unit)[np.triu_indices(3, 1)]).max()
    return float(np.degrees(np.arcsin(np.clip(cosines, 0, 1)))) if np.isfinite(cosines) else 0.0


def nifti_header(path: Path) -> nibabel.Nifti1Header | None:
    """The header of NIfTI-1 or NIfTI-2, compressed or not whatever the file is called; None for a file of another kind
    or damaged there.
    """
    import nibabel

    try:
        with gzip.open(path) if is_gzip(path) else open(path, "rb") as stream:
            start = stream.read(_SECOND)
    except (OSError, EOFError, zlib.error):
        return None
    if len(start) < _FIRST:
        raise InputError(f"{path}: the file is cut short; copy or download it again")
    # nibabel would guess the byte order by the number of axes, which may be what is damaged.
    for size, kind in ((_FIRST, nibabel.Nifti1Header), (_SECOND, nibabel.Nifti2Header)):
        for order in "<>":
            if len(start) < size:
                continue
            header = kind(start[:size], order, check=False)
            if header["sizeof_hdr"] == size:
                return header
    return None


def load_nifti(path: str | os.PathLike) -> nibabel.Nifti1Image:
    """nibabel's image of a whole NIfTI file (or of one of FreeSurfer's volumes), its voxels not yet in memory.

    Raises InputError, naming the file, for what is none.
    """
    import nibabel

    path = Path(path)
    check_readable(path)
    check_nifti(path)
    try:
        if path.name.lower().endswith(".gz") and not is_gzip(path):
            return nibabel.Nifti1Image.from_bytes(path.read_bytes())
        return cast("nibabel.Nifti1Image", nibabel.load(path))
    except Exception as error:  # nibabel has an error of its own for each kind of damage
        raise InputError(f"{path}: not readable as NIfTI ({error_summary(error)}); copy or export it again") from error


def _voxel_bytes(header: nibabel.Nifti1Header) -> int:
    """Of the type that readers go by; the header names the size a second time."""
    try:
        return int(header.get_data_dtype().itemsize)
    except Exception:  # nibabel's HeaderDataError for a type that does not exist, which the reader tells
        return int(header["bitpix"]) // 8
