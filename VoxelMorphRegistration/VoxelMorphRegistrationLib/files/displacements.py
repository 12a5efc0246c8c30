"""Displacement fields on disk, in the forms that SimpleITK, ANTs and Slicer all read as the same warp."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.affine import lps_to_ras
from ..space.checks import check_displacement
from ..space.displacement import from_array, to_transform
from ..space.grid import Grid
from .atomic import atomic_write, check_room, make_folder_of
from .detached import check_name, check_readable
from .images import check_room_for, load_image
from .itk_transforms import read_transform
from .nifti_vectors import RAS_INTENT, read_vectors

SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha", ".h5")
_HDF5_BYTES = 1 << 16  # of its own, beside the numbers


def write_displacement(displacement: sitk.Image, path: str | os.PathLike) -> None:
    """Write a canonical displacement, whole or not at all.

    .nrrd and .mha: vector image, LPS mm, float32. .nii.gz and .nii: 5-D (x, y, z, 1, d), intent 1006 (displacement
    vector), RAS mm as the NIfTI standard and Slicer have it; in 2D intent 1007, LPS mm, because ITK turns only vectors
    of three components. .h5: ITK transform file, float64.
    Raises InputError for another ending or when the file cannot be written.
    """
    path = Path(path)
    suffix = _suffix(path)
    check_name(path)
    make_folder_of(path)
    with atomic_write(path) as partial:
        if suffix == ".h5":
            check_room(partial, 8 * sitk.GetArrayViewFromImage(displacement).size + _HDF5_BYTES)
            sitk.WriteTransform(to_transform(displacement), str(partial))
        elif suffix in (".nii.gz", ".nii") and displacement.GetDimension() == 3:
            _write_nifti(displacement, partial)
        else:
            check_room_for(displacement, partial, compress=True)
            sitk.WriteImage(displacement, str(partial), useCompression=True, compressionLevel=1)


def read_displacement(path: str | os.PathLike) -> sitk.Image:
    """Read a displacement that `write_displacement`, SimpleITK, ANTs or Slicer wrote, as the canonical field.

    NIfTI files of intent 1006 are RAS and turned, others are LPS.
    Raises InputError when the file is missing, is no displacement, or holds values that are not finite.
    """
    path = Path(path)
    suffix = _suffix(path)
    check_readable(path)
    if suffix == ".h5":
        field = _read_transform_file(path)
    elif suffix in (".nii.gz", ".nii"):
        vectors, grid, intent = read_vectors(path)
        field = from_array(lps_to_ras(vectors) if intent == RAS_INTENT else vectors, grid)
    else:
        field = load_image(path)
    return check_displacement(field, str(path))


def _read_transform_file(path: Path) -> sitk.Image:
    transform, _ = read_transform(path)
    if transform.GetTransformEnum() != sitk.sitkDisplacementField:
        raise InputError(
            f"{path}: a {transform.GetName()}, not one displacement field; convert it with a reference image"
        )
    return sitk.DisplacementFieldTransform(transform).GetDisplacementField()


def _write_nifti(displacement: sitk.Image, path: Path) -> None:
    import nibabel

    grid = Grid.of(displacement)
    vectors = lps_to_ras(sitk.GetArrayViewFromImage(displacement)).transpose(2, 1, 0, 3)[:, :, :, None]
    affine = grid.ras_matrix()
    image = nibabel.Nifti1Image(np.ascontiguousarray(vectors, dtype=np.float32), affine)
    image.header.set_intent("displacement vector")
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    nibabel.save(image, path)


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise InputError(f"{path}: a displacement file ends in one of {', '.join(SUFFIXES)}; rename it")
