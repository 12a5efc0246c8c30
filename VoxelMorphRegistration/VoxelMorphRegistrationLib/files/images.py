"""Images and label maps in and out of files, checked so that what follows can rely on them. Images are `sitk.Image`."""

from __future__ import annotations

import math
from pathlib import Path

import SimpleITK as sitk

from ..errors import InputError, error_summary
from ..space.checks import check_geometry, check_labels, check_scalar
from .atomic import atomic_write
from .nifti import check_nifti

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif", ".tiff")
_METAIMAGE_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4,
    "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip


def read_image(path: str | Path, dimension: int | None = None) -> sitk.Image:
    """The scalar image in a file, or in a folder that holds one DICOM series.

    A trailing axis of one voxel beyond three (a 4D file of one volume) is dropped.

    Args:
        dimension: 2, 3 or 4 when the image must have so many axes.

    Raises InputError, naming the file, when it is missing, empty, cut short, no image, of several components, of
    another dimension, or of a geometry without volume.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; write or copy it again")
    check_nifti(path)
    _refuse_short_metaimage(path)
    try:
        image = sitk.ReadImage(_dicom_files(path) if path.is_dir() else str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as an image ({error_summary(error)}); give an image file") from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    check_scalar(image, str(path))
    if dimension is not None and image.GetDimension() != dimension:
        raise InputError(
            f"{path}: has {image.GetDimension()} dimensions {image.GetSize()}, {dimension} are needed here; "
            + ("give one frame of it" if image.GetDimension() > dimension else "give the whole series")
        )
    check_geometry(image, str(path))
    return image


def read_labels(path: str | Path, dimension: int | None = None) -> sitk.Image:
    """A label map: as `read_image`, in its own pixel type; raises InputError when its values are not whole numbers."""
    labels = read_image(path, dimension)
    check_labels(labels, str(path))
    return labels


def check_output(path: str | Path, suffixes: tuple[str, ...] = _SUFFIXES) -> Path:
    """The path when an image can be written there; raises InputError for an unknown ending or a folder's name."""
    path = Path(path)
    if not path.name.lower().endswith(suffixes):
        raise InputError(f"{path}: unknown kind of file; end its name in {', '.join(suffixes)}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file")
    return path


def write_image(image: sitk.Image, path: str | Path, compress: bool = True) -> None:
    """Write the image whole or not at all: into a temporary file of the same folder that then takes the name.

    Folders that do not exist are made. Raises InputError, naming the file, when it cannot be written (no room, no
    permission).
    """
    path = check_output(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: its folder cannot be made ({error.strerror}); choose another folder") from error
    with atomic_write(path) as temporary:
        sitk.WriteImage(image, str(temporary), compress)
        _check_written(temporary)


def _check_written(temporary: Path) -> None:
    """ITK writes NIfTI files onto a full disk without an error."""
    try:
        check_nifti(temporary)
        _refuse_short_metaimage(temporary)
    except InputError as error:
        raise OSError("the disk took only a part of it") from error
    if temporary.stat().st_size == 0:
        raise OSError("the disk took none of it")


def _dicom_files(folder: Path) -> tuple[str, ...]:
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        found = "no DICOM series" if not series else f"{len(series)} DICOM series"
        raise InputError(f"{folder}: the folder holds {found}, one is needed; give a file or the folder of one series")
    return sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])


def _refuse_short_metaimage(path: Path) -> None:
    """ITK reports a MetaImage that is cut short on stderr by itself and misnames the reason.

    The few lines of its header are read by hand: SimpleITK hands out only what it makes of them.
    """
    if path.suffix.lower() != ".mha" or not path.is_file():
        return
    with open(path, "rb") as stream:
        start = stream.read(65536)
    head, mark, _ = start.partition(b"ElementDataFile = LOCAL\n")
    if not mark:
        return
    fields = dict(line.split(" = ", 1) for line in head.decode("latin-1").splitlines() if " = " in line)
    if "CompressedDataSize" in fields:
        needed = int(fields["CompressedDataSize"])
    else:
        axes = [int(count) for count in fields.get("DimSize", "0").split()]
        components = int(fields.get("ElementNumberOfChannels", 1))
        needed = math.prod(axes) * components * _METAIMAGE_BYTES.get(fields.get("ElementType", "").strip(), 0)
    if path.stat().st_size < len(head) + len(mark) + needed:
        raise InputError(f"{path}: the file is cut short; copy or download it again")
