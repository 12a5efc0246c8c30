"""ITK and Slicer: images of LPS vectors, and ITK transform files with any transform or composite in them.

Slicer writes the direction in which a transform node is stored. From-parent (resampling) is ITK's own direction.
To-parent (modeling) is its inverse: an image is then marked `displacement field type:=modeling`, and a transform file
names its class `Inverse...`, which ITK itself does not know. Both are inverted here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files import itk_transforms
from ..files.atomic import atomic_write
from ..files.displacements import read_displacement, write_displacement
from ..files.images import load_image
from ..files.nifti_vectors import RAS_INTENT, VECTOR_INTENT, read_vectors
from ..files.nrrd import space_of_nrrd
from ..space.affine import check_affine, itk_transform, lps_to_ras, matrix_of
from ..space.checks import check_displacement
from ..space.displacement import from_array
from ..space.grid import Grid
from ..space.plane import as_slice, first_two_axes
from .affines import exact_affine, is_affine
from .context import Context, Mapping, warn
from .coverage import parts

TRANSFORM_SUFFIXES = itk_transforms.SUFFIXES
_VECTOR_IMAGES = (".mhd", ".nhdr", ".nrrd", ".mha")
_FIELD_KEY = "displacement field type"


def read(source: Any, context: Context) -> Mapping:
    """An image or transform file, or a SimpleITK object, as a mapping."""
    if isinstance(source, sitk.Image):
        return _in_lps(check_displacement(_of_plain(source), "displacement image"), context)
    if isinstance(source, sitk.Transform):
        return check_transform(source, "transform")
    if isinstance(source, (list, tuple)):
        if len(source) != 1:
            raise InputError(
                f"{len(source)} files: ITK and Slicer keep a chain in one composite file; give one, or say --from ants"
            )
        source = source[0]
    path = Path(os.fspath(source))
    if path.name.lower().endswith(TRANSFORM_SUFFIXES):
        if context.vectors is not None:
            raise InputError(f"{path}: ITK's transform files hold LPS; leave --vectors out")
        return read_transform(path, context)
    return read_image(path, context)


def read_image(path: Path, context: Context) -> sitk.Image:
    """A displacement image of ITK, ANTs, elastix or Slicer; one that Slicer stored to-parent is inverted."""
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return _in_plane(_of_nifti(path, context), context)
    stored = load_image(path) if path.name.lower().endswith(_VECTOR_IMAGES) else read_displacement(path)
    field = _in_lps(check_displacement(_of_plain(stored), str(path)), context)
    if stored.GetNumberOfComponentsPerPixel() == 1:
        _warn_of_axes_in_mm(path, context)
    elif context.vectors is None and (space := space_of_nrrd(path)):
        warn(
            f"{path}: its grid is given in {space}, and its vectors were taken as LPS mm, as SimpleITK and Slicer do; "
            "if they are RAS too, say --vectors ras"
        )
    if stored.HasMetaDataKey(_FIELD_KEY) and stored.GetMetaData(_FIELD_KEY) == "modeling":
        return itk_transforms.inverted(field, context.reference or itk_transforms.reached(field), str(path))
    return _in_plane(field, context)


def read_transform(path: Path, context: Context) -> sitk.Transform:
    """Any ITK transform file; classes that only Slicer knows (`Inverse...Transform`) are inverted."""
    transform, notes = itk_transforms.read_transform(path, context.reference)
    for note in notes:
        warn(note)
    return transform


def check_transform(transform: sitk.Transform, name: str) -> sitk.Transform:
    """The transform itself; raises InputError when it holds values that are not finite, or is a singular affine."""
    for step in parts(transform):
        assert isinstance(step, sitk.Transform)
        if step.GetTransformEnum() == sitk.sitkDisplacementField:
            check_displacement(sitk.DisplacementFieldTransform(step).GetDisplacementField(), name)
        elif (matrix := matrix_of(step)) is not None:
            check_affine(matrix, name)
        elif not np.isfinite(step.GetParameters()).all():
            raise InputError(f"{name}: the transform holds NaN or infinite values; export it again without them")
    return transform if transform.IsLinear() else transform.Downcast()


def write_itk(displacement: sitk.Image, path: Path, context: Context) -> None:
    """An image (.nrrd .mha .nii.gz), a transform file (.h5), or an affine (.tfm .txt .mat) where the field is one."""
    if path.name.lower().endswith((".tfm", ".txt", ".mat", ".xfm")):
        write_affine(displacement, path)
        return
    if is_affine(displacement):
        warn(
            f"{path}: the displacement is an affine, and is written as vectors at the reference's voxels: outside them"
            " ITK and ANTs move nothing, Slicer repeats the edge; a .tfm or .mat would hold all of it"
        )
    write_displacement(displacement, path)


def write_slicer(displacement: sitk.Image, path: Path, context: Context) -> None:
    """What Slicer opens as a transform: a 2D field becomes one slice, because Slicer knows only 3D."""
    if displacement.GetDimension() == 2:
        displacement = as_slice(displacement)
    write_itk(displacement, path, context)


def write_affine(displacement: sitk.Image, path: Path) -> None:
    """An ITK affine file, text, .mat or (3D) .xfm. Raises InputError when the displacement is no affine."""
    if path.name.lower().endswith(".xfm") and displacement.GetDimension() == 2:
        raise InputError(f"{path}: an .xfm is 3D and this displacement is 2D; end the name in .tfm")
    transform = itk_transform(exact_affine(displacement, path))
    with atomic_write(path) as partial:
        sitk.WriteTransform(transform, str(partial))


def _of_plain(image: sitk.Image) -> sitk.Image:
    """The image of vectors that a plain image is whose last axis counts their components; another as it is."""
    size = image.GetSize()
    dimension = image.GetDimension() - 1
    if image.GetNumberOfComponentsPerPixel() > 1 or dimension < 2 or size[-1] not in (2, 3):
        return image
    if dimension == 3 and size[-1] == 2 and size[2] == 1:
        dimension = 2
    if size[-1] != dimension:
        return image
    array = sitk.GetArrayViewFromImage(image).reshape(size[-1], *size[:dimension][::-1])
    direction = np.reshape(image.GetDirection(), (image.GetDimension(), -1))[:dimension, :dimension]
    grid = Grid(
        size[:dimension], image.GetSpacing()[:dimension], image.GetOrigin()[:dimension], tuple(direction.ravel())
    )
    return from_array(np.moveaxis(array, 0, -1), grid)


def _of_nifti(path: Path, context: Context) -> sitk.Image:
    vectors, grid, intent = read_vectors(path)
    if intent == RAS_INTENT and context.vectors == "lps":
        raise InputError(f"{path}: its intent {RAS_INTENT} says that its vectors are RAS; leave --vectors out")
    if intent not in (RAS_INTENT, VECTOR_INTENT):
        _warn_of_axes_in_mm(path, context)
    in_ras = intent == RAS_INTENT or context.vectors == "ras"
    return from_array(lps_to_ras(vectors) if in_ras else vectors, grid)


def _warn_of_axes_in_mm(path: Path, context: Context) -> None:
    if context.vectors is None:
        warn(f"{path}: an image that does not say the axes of its vectors; taken as LPS mm, else say --vectors ras")


def _in_plane(field: sitk.Image, context: Context) -> sitk.Image:
    """A field of one slice for a 2D reference as a 2D one."""
    reference = context.reference
    if reference is not None and reference.dimension == 2 and field.GetDimension() == 3 and field.GetSize()[2] == 1:
        return first_two_axes(field)
    return field


def _in_lps(field: sitk.Image, context: Context) -> sitk.Image:
    if context.vectors != "ras":
        return field
    return from_array(lps_to_ras(sitk.GetArrayViewFromImage(field)), Grid.of(field))
