"""Images and label maps in and out of files, checked so that what follows can rely on them. Images are `sitk.Image`."""

from __future__ import annotations

import glob
import math
import re
import shutil
import zlib
from pathlib import Path

import SimpleITK as sitk

from ..errors import InputError, error_summary
from ..space.checks import check_components, check_geometry, check_labels, check_scalar
from .atomic import atomic_write, check_room, make_folder_of
from .compressed import check_expansion
from .detached import check_name, check_readable
from .dicom import check_dicom_file, read_dicom
from .metaimage import check_metaimage
from .nifti import alone, check_nifti, check_pair, is_nifti2, shear_degrees, without_intercept
from .nrrd import check_nrrd, read_slice

_RESAMPLE = (
    "python -c \"import nibabel as n, nibabel.processing as p; i = n.load('{path}'); "
    "n.save(p.resample_to_output(i, i.header.get_zooms()[:3]), 'resampled.nii.gz')\" (for labels with order=0)"
)
_NIFTI_1 = (
    "python -c \"import nibabel as n; i = n.load('{path}'); "
    "n.save(n.Nifti1Image(i.dataobj, i.affine), 'nifti1.nii.gz')\""
)
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif", ".tiff")


def read_image(path: str | Path, dimension: int | None = None) -> sitk.Image:
    """The scalar image in a file, or in a folder that holds one DICOM series.

    A trailing axis of one voxel beyond three (a 4D file of one volume) is dropped.

    Args:
        dimension: 2, 3 or 4 when the image must have so many axes.

    Raises InputError, naming the file, when it is missing, empty, cut short, no image, of several components, of
    another dimension, or of a geometry without volume.
    """
    path = Path(path)
    image = read_dicom(path) if path.is_dir() else load_image(path)
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


def load_image(path: Path) -> sitk.Image:
    """What SimpleITK makes of an image file of any dimension and (but for NIfTI) any number of components, once it is
    known to be whole.

    Raises InputError, naming the file, when it is missing, empty, cut short, damaged, no image, says that its voxels
    are elsewhere than beside it or more than it can hold, or is a NIfTI file of several components.
    """
    check_image(path)
    if (flat := read_slice(path)) is not None:
        return flat
    reader = image_information(path)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        # ITK ends the process over vectors of scaled whole numbers; `nifti_vectors` reads them.
        check_components(reader.GetNumberOfComponents(), str(path))
    check_dicom_file(path, reader)
    try:
        with alone(path) as name:
            reader.SetFileName(str(name))
            return without_intercept(path, reader.Execute())
    except (RuntimeError, MemoryError) as error:
        raise _unreadable(path, error) from error


def check_image(path: Path) -> None:
    """Raises InputError, naming the file, when it is missing, empty, cut short, damaged, or no regular file."""
    check_readable(path)
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; write or copy it again")
    check_nifti(path)
    check_pair(path)
    check_metaimage(path)
    check_nrrd(path)


def image_information(path: Path) -> sitk.ImageFileReader:
    """A reader that knows the header of a file; raises InputError for one that claims more than it can hold."""
    reader = header_of(path)
    numbers = math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    check_expansion(path, numbers * number_bytes(reader), stored_bytes(path))
    return reader


def header_of(path: Path) -> sitk.ImageFileReader:
    """A reader that knows the header of an image file, as SimpleITK takes it; raises InputError when it cannot."""
    check_readable(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except (RuntimeError, MemoryError) as error:
        raise _unreadable(path, error) from error
    return reader


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
    check_name(path)
    make_folder_of(path)
    with atomic_write(path) as temporary:
        check_room_for(image, temporary, compress)
        sitk.WriteImage(image, str(temporary), compress)
        _check_written(temporary)


def check_room_for(image: sitk.Image, temporary: Path, compress: bool) -> None:
    """Raises OSError when the disk does not take the voxels of an image: ITK's MetaImage and NIfTI print what they meet
    there. Only where room is scarce does it cost anything.
    """
    if not temporary.name.endswith((".mha", ".nii", ".nii.gz")):
        return
    voxels = sitk.GetArrayViewFromImage(image)
    if shutil.disk_usage(temporary.parent).free > 2 * voxels.nbytes:
        return
    packed = compress and not temporary.name.endswith(".nii")
    check_room(temporary, len(zlib.compress(voxels.tobytes())) if packed else voxels.nbytes)


def _check_written(temporary: Path) -> None:
    """ITK writes NIfTI files onto a full disk without an error."""
    try:
        check_nifti(temporary)
        check_metaimage(temporary)
    except InputError as error:
        raise OSError("the disk took only a part of it") from error
    if temporary.stat().st_size == 0:
        raise OSError("the disk took none of it")


def _unreadable(path: Path, error: BaseException) -> InputError:
    if "orthonormal" in str(error) and (shear := shear_degrees(path)):
        return InputError(
            f"{path}: its axes are sheared by {shear:.2g} degrees (as of a tilted CT gantry), which ITK and Slicer do "
            f"not take as an image; resample it: {_RESAMPLE.format(path=path)}"
        )
    if "orthonormal" in str(error):
        return InputError(f"{path}: the axes in its header span no volume; correct the header or export it again")
    if is_nifti2(path):
        return InputError(
            f"{path}: a NIfTI-2 file, which SimpleITK does not read; save it as NIfTI-1: {_NIFTI_1.format(path=path)}"
        )
    return InputError(f"{path}: cannot be read as an image ({error_summary(error)}); give an image file")


def number_bytes(reader: sitk.ImageFileReader) -> int:
    """Bytes of one number in memory."""
    bits = re.search(r"\d+", sitk.GetPixelIDValueAsString(reader.GetPixelID()))
    return int(bits.group()) // 8 if bits else 1


def stored_bytes(path: Path) -> int:
    """Bytes of the file, and of those of the same name that may hold its voxels."""
    stem = path.name.split(".")[0]
    others = [entry for entry in path.parent.glob(f"{glob.escape(stem)}.*") if entry.is_file() and entry != path]
    detached = path.suffix.lower() in (".hdr", ".img", ".mhd", ".nhdr")
    return path.stat().st_size + (sum(entry.stat().st_size for entry in others) if detached else 0)
