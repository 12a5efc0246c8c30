"""Reading a field of any convention into the canonical displacement, and writing it for any other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from ..errors import InputError
from ..space.checks import check_displacement
from ..space.grid import Grid
from . import ants, elastix, freesurfer, itk, niftyreg, sampling_grids, voxel_arrays
from .context import ArrayAxes, Context, ImageLike, Mapping, grid_of
from .coverage import densify
from .identify import choose, label
from .names import CONVENTIONS

_READERS = {
    "itk": itk.read,
    "slicer": itk.read,
    "ants": ants.read,
    "elastix": elastix.read,
    "niftyreg": niftyreg.read,
    "freesurfer": freesurfer.read,
    "voxelmorph": voxel_arrays.read_voxelmorph,
    "torch": sampling_grids.read,
    "monai": voxel_arrays.read_monai,
}
_WRITERS = {
    "itk": itk.write_itk,
    "slicer": itk.write_slicer,
    "ants": ants.write,
    "elastix": elastix.write,
    "niftyreg": niftyreg.write,
    "freesurfer": freesurfer.write,
    "voxelmorph": voxel_arrays.write_voxelmorph,
    "torch": sampling_grids.write,
    "monai": voxel_arrays.write_monai,
}


def read(
    source: Any,
    convention: str | None = None,
    reference: ImageLike | None = None,
    *,
    moving: ImageLike | None = None,
    align_corners: bool | None = None,
    array_axes: ArrayAxes | None = None,
) -> sitk.Image:
    """A field of another tool as the canonical displacement: LPS mm, float32, fixed point + u = moving point.

    Args:
        source: a path; a list of paths (ANTs' or elastix' own order, inverse flags as '[FILE,1]' or (FILE, True)); a
            numpy array or torch tensor; or a SimpleITK image or transform.
        convention: one of `CONVENTIONS`. Default: what identifies itself without doubt (file type, header).
        reference: the fixed image (image, path or grid), on whose grid the result lies. Without it, a field that has a
            grid of its own stays there.
        moving: the moving image, for `torch`.
        align_corners: as `grid_sample` is called, for `torch`.
        array_axes: 'kji' or 'ijk', where an array's shape does not tell.

    Raises InputError when the convention cannot be told or is not what was said, the field does not cover the
    reference, has the wrong number of components or values that are not finite, a list is in an impossible order, or
    an affine is singular. Raises DependencyMissing for an elastix transform that needs elastix.

    >>> import numpy as np
    >>> flow = np.zeros((1, 3, 4, 5, 6))  # VoxelMorph: (1, channel, k, j, i), in voxels
    >>> flow[:, 2] = 1.0
    >>> image = sitk.Image([6, 5, 4], sitk.sitkFloat32)
    >>> image.SetSpacing([2.0, 2.0, 3.0])
    >>> read(flow, "voxelmorph", image).GetPixel(0, 0, 0)
    (2.0, 0.0, 0.0)
    """
    mapping = read_mapping(
        source, convention, reference, moving=moving, align_corners=align_corners, array_axes=array_axes
    )
    grid = grid_of(reference)
    if grid is None:
        grid = _own_grid(mapping)
        if grid is None:
            raise InputError(f"{label(source)}: it holds no grid of its own; name the fixed image (--reference)")
    return densify(mapping, grid, label(source))


def read_mapping(
    source: Any,
    convention: str | None = None,
    reference: ImageLike | None = None,
    *,
    moving: ImageLike | None = None,
    align_corners: bool | None = None,
    array_axes: ArrayAxes | None = None,
) -> Mapping:
    """As `read`, before it is laid on the reference grid: a field on its own grid, or an ITK transform that is exact
    anywhere.

    This is what carries points: `displacement.transform_points(mapping, points)`.
    """
    context = Context(grid_of(reference), grid_of(moving, "moving"), align_corners, _check_axes(array_axes))
    return _READERS[choose(source, convention)](source, context)


def write(
    displacement: sitk.Image,
    path: str | os.PathLike,
    convention: str,
    *,
    moving: ImageLike | None = None,
    align_corners: bool | None = None,
    array_axes: ArrayAxes | None = None,
    dtype: str = "float32",
) -> None:
    """Write a canonical displacement as another tool keeps it; the file's ending chooses among the forms it has.

    An ending for affines (.mat, .txt of niftyreg and elastix, .tfm, .lta, a name with 'theta' for torch) asks for an
    affine and refuses a field that bends. `dtype` is for array files.
    Warns with `ExchangeWarning` when the target cannot hold everything; raises InputError when it cannot hold the
    field.

    >>> import tempfile
    >>> import numpy as np
    >>> vectors = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype(np.float32)
    >>> displacement = sitk.GetImageFromArray(vectors, isVector=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(displacement, f"{folder}/1Warp.nii.gz", "ants")
    ...     again = read(f"{folder}/1Warp.nii.gz", "ants", displacement)
    >>> bool(np.array_equal(sitk.GetArrayFromImage(again), vectors))
    True
    """
    if convention not in CONVENTIONS:
        raise InputError(f"convention {convention!r}: unknown; choose one of {', '.join(CONVENTIONS)}")
    displacement = check_displacement(displacement, "displacement")
    context = Context(Grid.of(displacement), grid_of(moving, "moving"), align_corners, _check_axes(array_axes), dtype)
    _WRITERS[convention](displacement, Path(path), context)


def _own_grid(mapping: Mapping) -> Grid | None:
    if isinstance(mapping, sitk.Image):
        return Grid.of(mapping)
    if mapping.GetTransformEnum() == sitk.sitkDisplacementField:
        return Grid.of(sitk.DisplacementFieldTransform(mapping).GetDisplacementField())
    return None


def _check_axes(array_axes: ArrayAxes | None) -> ArrayAxes | None:
    if array_axes not in (None, "kji", "ijk"):
        raise InputError(
            f"array_axes {array_axes!r}: an array runs kji (SimpleITK, Slicer) or ijk (nibabel, ANTsPy, MONAI);"
            " choose one"
        )
    return array_axes
