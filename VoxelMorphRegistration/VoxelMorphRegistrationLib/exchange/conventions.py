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
from .context import ArrayAxes, Context, ImageLike, Mapping, Padding, VectorAxes, VoxelUnit, grid_of
from .contradictory_headers import Pair, check_fields
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
#: Tools that place a NIfTI image by its sform; the others go by SimpleITK's choice, or by voxels alone.
_BY_SFORM = ("niftyreg", "freesurfer")
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
    voxel_unit: VoxelUnit | None = None,
    vectors: VectorAxes | None = None,
    padding: Padding | None = None,
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
        voxel_unit: whose voxels a half-resolution array counts: its 'own' half grid's, as VoxelMorph's (default, with
            a note), or the 'full' image's, as Learn2Reg's.
        vectors: 'lps' or 'ras', the axes of an image of vectors in mm that does not say them itself.
        padding: where an array that is larger than the reference was padded, 'end' or 'both'; default what its zeros
            show, else 'end', with a note.

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
    options: dict[str, Any] = {"align_corners": align_corners, "array_axes": array_axes}
    options |= {"voxel_unit": voxel_unit, "vectors": vectors, "padding": padding}
    mapping, pair = _read(source, convention, reference, moving, options)
    grid = pair.grids[0] or _own_grid(mapping)
    if grid is None:
        raise InputError(f"{label(source)}: it holds no grid of its own; name the fixed image (--reference)")
    return pair.restated(densify(mapping, grid, label(source)))


def read_mapping(
    source: Any,
    convention: str | None = None,
    reference: ImageLike | None = None,
    *,
    moving: ImageLike | None = None,
    align_corners: bool | None = None,
    array_axes: ArrayAxes | None = None,
    voxel_unit: VoxelUnit | None = None,
    vectors: VectorAxes | None = None,
    padding: Padding | None = None,
) -> Mapping:
    """As `read`, before it is laid on the reference grid: a field on its own grid, or an ITK transform that is exact
    anywhere.

    This is what carries points: `displacement.transform_points(mapping, points)`.
    """
    options: dict[str, Any] = {"align_corners": align_corners, "array_axes": array_axes}
    options |= {"voxel_unit": voxel_unit, "vectors": vectors, "padding": padding}
    mapping, pair = _read(source, convention, reference, moving, options)
    return pair.restated_mapping(mapping)


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
    context = Context(Grid.of(displacement), grid_of(moving, "moving"), align_corners, array_axes, dtype)
    _WRITERS[convention](displacement, Path(path), context)


def _read(
    source: Any,
    convention: str | None,
    reference: ImageLike | None,
    moving: ImageLike | None,
    options: dict[str, Any],
) -> tuple[Mapping, Pair]:
    """The mapping as the tool means it, and the pair, which knows where the tool has the images."""
    convention = choose(source, convention, options["vectors"] is not None)
    by_sform = convention in _BY_SFORM
    pair = Pair.of(reference, moving, by_sform, label(source))
    check_fields(source, by_sform)
    return _READERS[convention](source, Context(*pair.grids, **options)), pair


def _own_grid(mapping: Mapping) -> Grid | None:
    if isinstance(mapping, sitk.Image):
        return Grid.of(mapping)
    if mapping.GetTransformEnum() == sitk.sitkDisplacementField:
        return Grid.of(sitk.DisplacementFieldTransform(mapping).GetDisplacementField())
    return None
