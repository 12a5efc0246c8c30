"""What the header of a NIfTI file says that ITK takes without a word: voxels that are missing, spacing that is none."""

from __future__ import annotations

import gzip
import math
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import SimpleITK as sitk

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
    if packed and not path.name.lower().endswith(".gz"):
        raise InputError(f"{path}: is compressed by gzip, which readers know by its name; rename it {path.name}.gz")
    header = nifti_header(path)
    if header is None:
        if packed:
            check_packed(path, 0, "gzip", _FIRST)  # Damage may be why no header is there.
        return
    _check_header(path, header)
    dimensions = header["dim"].tolist()
    axes, offset = dimensions[0], float(header["vox_offset"])
    check_spacing(path, header, min(axes, 3))
    voxels = math.prod(max(count, 1) for count in dimensions[1 : 1 + axes])
    needed = int(offset) + voxels * int(header.get_data_dtype().itemsize)
    if packed:
        check_packed(path, 0, "gzip", needed)
    elif path.stat().st_size < needed:
        raise InputError(f"{path}: the file is cut short; copy or download it again")


def check_pair(path: Path) -> None:
    """Raises InputError, naming the file, for voxels that are cut short or damaged beside their header (.hdr and .img
    of NIfTI or Analyze), which ITK reads as far as they go.
    """
    if not path.is_file() or (named := _named_alike(path, "hdr")) is None:
        return
    header, voxels_file = nifti_header(named), _named_alike(path, "img")
    if header is None:
        return  # Its reader tells.
    if voxels_file is None:
        raise InputError(f"{path}: its voxels (.img) are not beside it; copy both files")
    dimensions, offset = header["dim"].tolist(), float(header["vox_offset"])
    if not 1 <= dimensions[0] <= 7 or not math.isfinite(offset):
        raise InputError(f"{path}: its header says dimensions {dimensions}; copy or export it again")
    voxels = math.prod(max(count, 1) for count in dimensions[1 : 1 + dimensions[0]])
    needed = max(int(offset), 0) + voxels * int(header["bitpix"]) // 8
    if is_gzip(voxels_file):
        check_packed(voxels_file, 0, "gzip", needed)
    elif voxels_file.stat().st_size < needed:
        raise InputError(f"{path}: its voxels ({voxels_file.name}) are cut short; copy or download them again")


def _named_alike(path: Path, kind: str) -> Path | None:
    """The file of a pair (.hdr and .img) that `path` is one of; None where there is none, and for other files."""
    stem, _, own = path.name.removesuffix(".gz").rpartition(".")
    if own.lower() not in ("hdr", "img"):
        return None
    names = (path.with_name(f"{stem}.{end}") for end in (kind, kind.upper(), f"{kind}.gz"))
    return next((one for one in names if one.is_file()), None)


def _check_header(path: Path, header: nibabel.Nifti1Header) -> None:
    """Raises InputError, naming the file, for a header that ITK takes although it cannot be meant, or complains of in
    several lines.
    """
    dimensions = header["dim"].tolist()
    if not 1 <= dimensions[0] <= 7 or min(dimensions[1 : 1 + dimensions[0]]) < 1:
        raise InputError(f"{path}: its header says dimensions {dimensions}; copy or export it again")
    single = _FIRST + 4 if int(header["sizeof_hdr"]) == _FIRST else _SECOND + 4
    offset = float(header["vox_offset"])
    if not math.isfinite(offset) or offset < single:
        raise InputError(
            f"{path}: its header says that voxels begin at byte {offset:g}, and is {single} bytes long; copy or export "
            "it again"
        )
    if bytes(header["magic"])[:3] not in (b"n+1", b"n+2"):
        raise InputError(f"{path}: its header is damaged (it is not marked as NIfTI); copy or export it again")
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    # NaN and zero are how a header says that values are as stored.
    if math.isinf(slope) or (math.isfinite(slope) and slope != 0 and not math.isfinite(intercept)):
        raise InputError(f"{path}: its header scales values by {slope:g} and {intercept:g}; copy or export it again")
    rows = [header[f"srow_{axis}"] for axis in "xyz"] if header["sform_code"] > 0 else []
    turned = [header[f"{name}_{axis}"] for name, axes in (("quatern", "bcd"), ("qoffset", "xyz")) for axis in axes]
    if not np.isfinite(np.ravel([*rows]) if rows else 0.0).all() or (
        header["qform_code"] > 0 and not np.isfinite(turned).all()
    ):
        raise InputError(f"{path}: its place holds numbers that are not finite; correct the file's header")
    try:
        known = header.get_data_dtype().itemsize > 0
    except Exception:  # nibabel's HeaderDataError
        known = False
    if not known:
        raise InputError(f"{path}: its header names a type of voxels that no reader knows; copy or export it again")


def check_spacing(path: Path, header: nibabel.Nifti1Header, axes: int) -> None:
    """Raises InputError, naming the file, when the spacing along one of the first `axes` axes is zero or not finite."""
    spacing = tuple(header["pixdim"][1 : 1 + axes].tolist())
    if not all(math.isfinite(step) and step != 0 for step in spacing):
        raise InputError(f"{path}: its spacing {spacing} is not positive; correct the file's header")


def shear_degrees(path: Path) -> float:
    """By how much the axes of a NIfTI file are not at right angles, at most; 0 for another file, and where they
    span no volume.
    """
    header = nifti_header(_named_alike(path, "hdr") or path)
    if header is None:
        return 0.0
    axes = header.get_best_affine()[:3, :3]
    if not abs(np.linalg.det(axes)) > 0:
        return 0.0
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


def is_nifti2(path: Path) -> bool:
    """Whether the file begins as NIfTI-2 does."""
    import nibabel

    header = nifti_header(path)
    return isinstance(header, nibabel.Nifti2Header)


def without_intercept(path: Path, image: sitk.Image) -> sitk.Image:
    """The image that ITK read of a NIfTI file, with its values as stored where the header's slope is 0.

    That says that nothing is scaled, and ITK adds the intercept all the same.
    """
    header = nifti_header(path) if path.name.lower().endswith(_SUFFIXES) else None
    intercept = 0.0 if header is None else float(header["scl_inter"])
    if header is None or not math.isfinite(intercept) or intercept == 0 or header.get_slope_inter()[0] is not None:
        return image
    values = sitk.GetArrayViewFromImage(image) - intercept
    stored = values.astype(header.get_data_dtype().newbyteorder("="))
    plain = sitk.GetImageFromArray(stored)
    plain.CopyInformation(image)
    return plain


@contextmanager
def alone(path: Path) -> Iterator[Path]:
    """A name under which ITK reads this file: where `a.nii` lies beside `a.nii.gz`, it takes its voxels."""
    if not path.name.lower().endswith(".nii.gz") or not path.with_name(path.name[: -len(".gz")]).exists():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="voxelmorph-") as folder:
        name = Path(folder) / "alone.nii.gz"
        try:
            name.symlink_to(path.resolve())
        except OSError:  # Windows lets few users make links.
            shutil.copyfile(path, name)
        yield name


def units(header: nibabel.Nifti1Header) -> tuple[str, str]:
    """Of space and time, as nibabel names them: 'mm', 'meter', 'micron'; 'sec', 'msec', ...; 'unknown' for codes that
    mean nothing.
    """
    from nibabel.nifti1 import unit_codes

    code = int(header["xyzt_units"])
    space, time = code % 8, code - code % 8
    known = unit_codes.value_set()
    return tuple(unit_codes.label[one] if one in known else "unknown" for one in (space, time))  # type: ignore[return-value]


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
