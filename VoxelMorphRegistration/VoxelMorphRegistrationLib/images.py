"""Images and label maps in and out of files, checked so that what follows can rely on them. Images are `sitk.Image`."""

from __future__ import annotations

import gzip
import math
import os
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import InputError, telling_line
from .whole_file import whole_file

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif", ".tiff")
_NIFTI_HEADER_BYTES = 348
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
    _refuse_damaged_nifti(path)
    _refuse_short_metaimage(path)
    with _without_itk_warnings():
        try:
            image = sitk.ReadImage(_dicom_files(path) if path.is_dir() else str(path))
        except RuntimeError as error:
            raise InputError(
                f"{path}: cannot be read as an image ({telling_line(error)}); give an image file"
            ) from error
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


def check_scalar(image: sitk.Image, name: str) -> None:
    """Raises InputError for images of several components (colour, vectors, one-hot maps)."""
    components = image.GetNumberOfComponentsPerPixel()
    if components > 1 or "vector" in image.GetPixelIDTypeAsString() or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{name}: each voxel holds {components} numbers, one is needed; make it a scalar image first")


def check_labels(labels: sitk.Image, name: str = "labels") -> None:
    """Raises InputError when a label image holds anything but whole numbers."""
    if "float" not in labels.GetPixelIDTypeAsString():
        return
    values = sitk.GetArrayViewFromImage(labels)
    if not np.all(np.isfinite(values)) or np.any(values != np.rint(values)):
        raise InputError(f"{name}: labels that are not whole numbers; give a label map, not an intensity image")


def check_geometry(image: sitk.Image, name: str = "image") -> None:
    """Raises InputError for zero or non-finite spacing or origin, an empty axis, and directions that span no volume."""
    if min(image.GetSize()) < 1:
        raise InputError(f"{name}: an axis has no voxels {image.GetSize()}; give a whole image")
    spacing = image.GetSpacing()
    if not all(math.isfinite(step) and step > 0 for step in spacing):
        raise InputError(f"{name}: its spacing {spacing} is not positive; correct the file's header")
    if not np.all(np.isfinite(image.GetOrigin())):
        raise InputError(f"{name}: its origin {image.GetOrigin()} is not a point; correct the file's header")
    direction = np.reshape(image.GetDirection(), (image.GetDimension(), -1))
    if not np.all(np.isfinite(direction)) or abs(np.linalg.det(direction)) < 1e-3:
        raise InputError(f"{name}: its direction {image.GetDirection()} is singular; correct the file's header")


def replace_non_finite(image: sitk.Image, name: str = "image") -> tuple[sitk.Image, int]:
    """The image with NaN and infinite voxels set to its smallest finite value, and how many they were.

    One NaN voxel would make a network's whole output NaN. Returns the very image when there are none; raises InputError
    when no voxel is finite.
    """
    if "float" not in image.GetPixelIDTypeAsString():
        return image, 0
    view = sitk.GetArrayViewFromImage(image)
    # A sum is NaN or infinite as soon as one voxel is: far cheaper than a mask when all is well.
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(view.sum(dtype=np.float64))
    if math.isfinite(total):
        return image, 0
    finite = np.isfinite(view)
    count = int(finite.size - np.count_nonzero(finite))
    if count == 0:
        return image, 0
    if count == finite.size:
        raise InputError(f"{name}: no voxel holds a finite number; give an image with content")
    cleaned = sitk.GetImageFromArray(np.where(finite, view, view[finite].min()))
    cleaned.CopyInformation(image)
    return cleaned, count


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
    with whole_file(path) as temporary:
        with _without_itk_warnings():
            sitk.WriteImage(image, str(temporary), compress)
        _check_written(temporary)


def _check_written(temporary: Path) -> None:
    """ITK writes NIfTI files onto a full disk without an error."""
    try:
        _refuse_damaged_nifti(temporary)
        _refuse_short_metaimage(temporary)
    except InputError as error:
        raise OSError("the disk took only a part of it") from error
    if temporary.stat().st_size == 0:
        raise OSError("the disk took none of it")


class _without_itk_warnings:
    """ITK prints remarks about headers to stderr, where a person expects one line that matters."""

    def __enter__(self) -> None:
        self._before = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)

    def __exit__(self, *_: object) -> None:
        sitk.ProcessObject.SetGlobalWarningDisplay(self._before)


def _dicom_files(folder: Path) -> tuple[str, ...]:
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        found = "no DICOM series" if not series else f"{len(series)} DICOM series"
        raise InputError(f"{folder}: the folder holds {found}, one is needed; give a file or the folder of one series")
    return sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])


def _refuse_damaged_nifti(path: Path) -> None:
    """ITK reads a NIfTI file that is cut short as zeros, and a spacing of zero or NaN as 1: both are refused here."""
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")) or not path.is_file():
        return
    try:
        with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as stream:
            header = stream.read(_NIFTI_HEADER_BYTES)
    except (OSError, EOFError):
        return  # Not what its name says; the reader tells.
    if len(header) < _NIFTI_HEADER_BYTES:
        raise InputError(f"{path}: the file is cut short; copy or download it again")
    order = next((end for end in "<>" if struct.unpack(f"{end}i", header[:4])[0] == _NIFTI_HEADER_BYTES), None)
    if order is None:
        return
    dimensions = struct.unpack(f"{order}8h", header[40:56])
    bits = struct.unpack(f"{order}h", header[72:74])[0]
    pixdim = struct.unpack(f"{order}8f", header[76:108])
    offset = struct.unpack(f"{order}f", header[108:112])[0]
    axes = min(dimensions[0], 3) if 1 <= dimensions[0] <= 7 else 0
    steps = pixdim[1 : 1 + axes]
    if not all(math.isfinite(step) and step != 0 for step in steps):
        raise InputError(f"{path}: its spacing {steps} is not positive; correct the file's header")
    needed = int(offset) + math.prod(max(n, 1) for n in dimensions[1 : 1 + dimensions[0]]) * bits // 8
    if name.endswith(".gz"):
        with open(path, "rb") as stream:
            stream.seek(-4, os.SEEK_END)
            held = struct.unpack("<I", stream.read(4))[0]
        # gzip keeps the length modulo 2**32. Padding after the voxels is allowed by NIfTI.
        whole = needed % 2**32 <= held or needed >= 2**32
        whole = whole and held < 2 * needed + 2**20
    else:
        whole = path.stat().st_size >= needed
    if not whole:
        raise InputError(f"{path}: the file is cut short; copy or download it again")


def _refuse_short_metaimage(path: Path) -> None:
    """ITK reports a MetaImage that is cut short on stderr by itself and misnames the reason."""
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
