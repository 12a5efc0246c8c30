"""What an image must be before anything is computed from it, said to the person who gave it."""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk

from ..errors import InputError

_LARGEST = 1e37  # a tenth of single precision's, for what is added and subtracted
_FEWEST_STEPS = 256  # between the smallest and the largest value


def check_scalar(image: sitk.Image, name: str) -> None:
    """Raises InputError for images of several components (colour, vectors, one-hot maps)."""
    components = image.GetNumberOfComponentsPerPixel()
    check_components(components, name)
    if "vector" in image.GetPixelIDTypeAsString() or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{name}: each voxel holds {components} numbers, one is needed; make it a scalar image first")


def check_components(components: int, name: str) -> None:
    """Raises InputError when each voxel holds more than one number."""
    if components > 1:
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


def check_displacement(field: sitk.Image, name: str = "displacement") -> sitk.Image:
    """A field as float32; raises InputError for a wrong number of components or values that are not finite."""
    components, dimension = field.GetNumberOfComponentsPerPixel(), field.GetDimension()
    if components != dimension:
        raise InputError(
            f"{name}: {components} component(s) a voxel in {dimension}D is no displacement; it needs {dimension}"
        )
    field = sitk.Cast(field, sitk.sitkVectorFloat32)
    if not np.isfinite(sitk.GetArrayViewFromImage(field)).all():
        raise InputError(f"{name}: the displacement holds NaN or infinite values; export it again without them")
    return field


def cleaned(image: sitk.Image, name: str = "image") -> tuple[sitk.Image, tuple[str, ...]]:
    """An image fit to be computed with, and what was done to it that a person should know.

    Called once, where an image enters a registration; everything after relies on it: one number a voxel, all finite,
    on a grid that spans a volume. NaN and infinite voxels are set to the smallest finite value.
    Raises InputError, naming the image, where `check_scalar`, `check_geometry`, `replace_non_finite` or
    `check_values` does.
    """
    check_scalar(image, name)
    check_geometry(image, name)
    image, count = replace_non_finite(image, name)
    check_values(image, name)
    if not count:
        return image, ()
    return image, (f"{name}: {count} voxels that were not finite numbers were set to its smallest value",)


def check_values(image: sitk.Image, name: str = "image") -> None:
    """Raises InputError where single precision, in which everything is computed, cannot hold the values of an image:
    they overflow, or too few steps are left between the smallest and the largest.
    """
    values = sitk.GetArrayViewFromImage(image)
    if values.dtype.itemsize < 4 or not values.size:
        return
    low, high = float(values.min()), float(values.max())
    largest, span = max(abs(low), abs(high)), high - low
    if largest > _LARGEST or 0 < span < 1 / _LARGEST:
        raise InputError(
            f"{name}: its values lie between {low:.6g} and {high:.6g}, which single precision does not hold; rescale "
            "them, or look for damaged voxels"
        )
    steps = span / (largest * np.finfo(np.float32).eps) if largest > 0 else 0.0
    if 0 < steps < _FEWEST_STEPS and not np.array_equal(values.astype(np.float32), values):
        raise InputError(
            f"{name}: its values lie between {low:.15g} and {high:.15g}, too close together for single precision; "
            f"subtract {low:.15g} from them"
        )


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
