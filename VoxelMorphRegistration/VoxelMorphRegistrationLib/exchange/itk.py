"""ITK and Slicer: images of LPS vectors, and ITK transform files with any transform or composite in them.

Slicer writes the direction in which a transform node is stored. From-parent (resampling) is ITK's own direction.
To-parent (modeling) is its inverse: an image is then marked `displacement field type:=modeling`, and a transform file
names its class `Inverse...`, which ITK itself does not know. Both are inverted here.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, error_summary
from ..files.atomic import atomic_write
from ..files.displacements import read_displacement, write_displacement
from ..files.images import load_image
from ..files.nifti import load_nifti
from ..space.affine import check_affine, itk_transform, lps_to_ras, matrix_of
from ..space.checks import check_displacement
from ..space.displacement import from_array, from_transform, to_transform
from ..space.grid import Grid
from ..space.inverse import invert
from ..space.plane import as_slice, first_two_axes
from .affines import exact_affine, is_affine
from .context import Context, Mapping, warn

TRANSFORM_SUFFIXES = (".h5", ".hdf5", ".tfm", ".txt", ".mat", ".xfm")
_FIELD_KEY = "displacement field type"
_INVERTIBLE = re.compile(r"Inverse(DisplacementField|BSpline|BSplineDeformable)Transform_")


def read(source: Any, context: Context) -> Mapping:
    """An image or transform file, or a SimpleITK object, as a mapping."""
    if isinstance(source, sitk.Image):
        return check_displacement(source, "displacement image")
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
        return read_transform(path, context)
    return read_image(path, context)


def read_image(path: Path, context: Context) -> sitk.Image:
    """A displacement image of ITK, ANTs, elastix or Slicer; one that Slicer stored to-parent is inverted."""
    stored = _read_vectors(path)
    field = check_displacement(stored, str(path))
    if stored.HasMetaDataKey(_FIELD_KEY) and stored.GetMetaData(_FIELD_KEY) == "modeling":
        return _inverted(field, context.reference or _reached(field), str(path))
    reference = context.reference
    if reference is not None and reference.dimension == 2 and field.GetDimension() == 3 and field.GetSize()[2] == 1:
        return first_two_axes(field)
    return field


def read_transform(path: Path, context: Context) -> sitk.Transform:
    """Any ITK transform file; classes that only Slicer knows (`Inverse...Transform`) are inverted."""
    classes = _transform_classes(path)
    inverse = [name for name in classes if name.startswith("Inverse")]
    if not inverse:
        return check_transform(_read_sitk_transform(path), str(path))
    if not all(_INVERTIBLE.match(name) for name in inverse):
        raise InputError(
            f"{path}: it holds a {inverse[0].split('_')[0]}, which only Slicer can evaluate; in Slicer's Transforms "
            "module convert it to a grid transform and save that"
        )
    with tempfile.TemporaryDirectory() as folder:
        forward = _read_sitk_transform(_without_inverse(path, Path(folder)))
    steps = [forward]
    if classes[0].startswith("CompositeTransform"):
        composite = sitk.CompositeTransform(forward)
        steps = [composite.GetNthTransform(n).Downcast() for n in range(composite.GetNumberOfTransforms())]
        classes = classes[1:]
    if len(steps) != len(classes):
        raise InputError(
            f"{path}: it holds nested chains with an inverse inside; in Slicer's Transforms module convert it to a "
            "grid transform and save that"
        )
    turned = [
        _inverse_step(step, context, path) if name.startswith("Inverse") else step for step, name in zip(steps, classes)
    ]
    return check_transform(turned[0] if len(turned) == 1 else sitk.CompositeTransform(turned), str(path))


def check_transform(transform: sitk.Transform, name: str) -> sitk.Transform:
    """The transform itself; raises InputError when it holds values that are not finite, or is a singular affine."""
    transform = transform.Downcast()
    steps = [transform]
    if isinstance(transform, sitk.CompositeTransform):
        steps = [transform.GetNthTransform(n).Downcast() for n in range(transform.GetNumberOfTransforms())]
    for step in steps:
        if step.GetTransformEnum() == sitk.sitkDisplacementField:
            check_displacement(sitk.DisplacementFieldTransform(step).GetDisplacementField(), name)
        elif (matrix := matrix_of(step)) is not None:
            check_affine(matrix, name)
        elif not np.isfinite(step.GetParameters()).all():
            raise InputError(f"{name}: the transform holds NaN or infinite values; export it again without them")
    return transform


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
    """An ITK affine file, text or .mat. Raises InputError when the displacement is no affine."""
    transform = itk_transform(exact_affine(displacement, path))
    with atomic_write(path) as partial:
        sitk.WriteTransform(transform, str(partial))


def _read_vectors(path: Path) -> sitk.Image:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give an existing displacement file")
    if path.name.lower().endswith((".mhd", ".nhdr", ".nrrd")):
        return load_image(path)
    field = read_displacement(path)
    return _as_nifti_says(field, path) if path.name.lower().endswith((".nii", ".nii.gz")) else field


def _as_nifti_says(field: sitk.Image, path: Path) -> sitk.Image:
    """What SimpleITK leaves out of a NIfTI file of vectors."""
    image = load_nifti(path)
    # ITK reads NaN and infinity from NIfTI as zero.
    if not np.isfinite(np.asanyarray(image.dataobj)).all():
        raise InputError(f"{path}: the displacement holds NaN or infinite values; export it again without them")
    # ITK turns the RAS vectors of intent 1006 only when they have three components.
    if field.GetDimension() == 2 and int(image.header["intent_code"]) == 1006:
        return from_array(lps_to_ras(sitk.GetArrayViewFromImage(field)), Grid.of(field))
    return field


def _read_sitk_transform(path: Path) -> sitk.Transform:
    try:
        return sitk.ReadTransform(str(path)).Downcast()
    except RuntimeError as error:
        raise InputError(
            f"{path}: not readable as an ITK transform ({error_summary(error)}); export it again"
        ) from error


def _transform_classes(path: Path) -> list[str]:
    """The class names in a transform file, in its order; empty for files that cannot hold an inverse."""
    if path.name.lower().endswith((".h5", ".hdf5")):
        import h5py

        try:
            with h5py.File(path) as file:
                group = file["TransformGroup"]
                names = [np.ravel(group[key]["TransformType"][()])[0] for key in sorted(group, key=int)]
        except (OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{path}: not an ITK transform file ({error_summary(error)}); weights of a network are no displacement"
                if isinstance(error, KeyError)
                else f"{path}: not readable as an HDF5 transform file; export it again"
            ) from error
        return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    if path.name.lower().endswith((".tfm", ".txt")):
        return re.findall(r"^Transform:\s*(\S+)", path.read_text(errors="replace"), re.MULTILINE)
    return []


def _without_inverse(path: Path, folder: Path) -> Path:
    """A copy of a transform file in which the classes only Slicer knows are called by their forward class."""
    copy = folder / path.name
    if path.name.lower().endswith((".h5", ".hdf5")):
        import h5py

        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            for item in file["TransformGroup"].values():
                name = np.ravel(item["TransformType"][()])[0]
                name = name.decode() if isinstance(name, bytes) else str(name)
                if name.startswith("Inverse"):
                    del item["TransformType"]
                    item.create_dataset(
                        "TransformType", data=[name.removeprefix("Inverse")], dtype=h5py.string_dtype("ascii")
                    )
    else:
        text = path.read_text(encoding="utf-8")
        copy.write_text(re.sub(r"^(Transform:\s*)Inverse", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
    return copy


def _inverse_step(step: sitk.Transform, context: Context, path: Path) -> sitk.Transform:
    if step.GetTransformEnum() == sitk.sitkDisplacementField:
        field = check_displacement(sitk.DisplacementFieldTransform(step).GetDisplacementField(), str(path))
    else:
        field = from_transform(step, context.need_reference(str(path)))
    # Other steps of a chain may bring points here from beyond the reference, so the inverse lies wherever the field
    # leads.
    return to_transform(_inverted(field, _reached(field), str(path)))


def _reached(field: sitk.Image) -> Grid:
    """The field's grid, widened by its longest vector on every side."""
    grid = Grid.of(field)
    longest = np.linalg.norm(sitk.GetArrayViewFromImage(field), axis=-1).max()
    more = np.ceil(longest / np.asarray(grid.spacing)).astype(int)
    origin = np.asarray(grid.origin) - grid.axes @ more
    return Grid(
        tuple((np.asarray(grid.size) + 2 * more).tolist()), grid.spacing, tuple(origin.tolist()), grid.direction
    )


def _inverted(field: sitk.Image, grid: Grid, name: str) -> sitk.Image:
    inverse, residual = invert(field, grid, iterations=200, tolerance=1e-4)
    if residual > 0.1:
        raise InputError(
            f"{name}: Slicer stored it to-parent, and its inverse is found only to {residual:.2g} mm (the field folds);"
            " in Slicer save the transform from-parent"
        )
    return inverse
