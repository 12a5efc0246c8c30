"""torch: sampling grids for `torch.nn.functional.grid_sample`, and theta for `affine_grid`.

A grid holds, for every voxel of the FIXED image, the position in the MOVING image to sample, normalised by the moving
image's size: -1 and 1 are its first and last voxel centres with align_corners=True, its outer borders with False. The
components are (x, y, z) = the LAST array axis first, so for SimpleITK's arrays (k, j, i) x runs along i, and for
nibabel's and ANTsPy's (i, j, k) x runs along k.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.affine import apply_affine, check_affine, homogeneous, itk_transform
from ..space.displacement import from_array
from ..space.grid import Grid
from .affines import affine_of, is_affine
from .array_files import as_array, read_array, write_array
from .context import ArrayAxes, Context, ImageLike, Mapping, grid_of, warn, warn_of_axes
from .coverage import densify
from .identify import label

if TYPE_CHECKING:
    import torch

#: Beyond this, in units of half the moving image, a position is not normalised but voxels or millimetres.
_FARTHEST = 5.0


def to_sampling_grid(
    displacement: Mapping,
    fixed: ImageLike,
    moving: ImageLike,
    align_corners: bool,
    array_axes: ArrayAxes = "kji",
) -> torch.Tensor:
    """The grid with which grid_sample warps the moving image's array as the displacement warps the moving image.

    Args:
        displacement: canonical field, or any ITK transform from fixed to moving points.
        fixed, moving: images, image paths or grids.
        align_corners: the same flag as `grid_sample` is given.
        array_axes: 'kji' for arrays of SimpleITK, 'ijk' for those of nibabel and ANTsPy.

    Returns:
        float32 (1, *fixed array shape, d) for `grid_sample(moving[None, None], grid, align_corners=align_corners)`.

    Raises InputError when the field does not cover the fixed image, or a moving image is one voxel thin along an axis
    and align_corners is True (there its only voxel has no extent to normalise by).
    """
    import torch

    fixed_grid, moving_grid = grid_of(fixed, "fixed"), grid_of(moving, "moving")
    field = densify(displacement, fixed_grid, "displacement")
    points = fixed_grid.points() + sitk.GetArrayViewFromImage(field)
    index = moving_grid.to_index(points)
    matrix = _index_to_normalised(moving_grid, align_corners)
    normalised = index * np.diag(matrix)[:-1] + matrix[:-1, -1]
    if array_axes == "ijk":
        normalised = np.transpose(normalised, (*range(fixed_grid.dimension - 1, -1, -1), fixed_grid.dimension))[
            ..., ::-1
        ]
    return torch.from_numpy(np.ascontiguousarray(normalised[None], dtype=np.float32))


def affine_to_theta(
    matrix: np.ndarray,
    translation: np.ndarray,
    center: np.ndarray | None,
    fixed: ImageLike,
    moving: ImageLike,
    align_corners: bool,
    array_axes: ArrayAxes = "kji",
) -> torch.Tensor:
    """Theta (1, d, d+1), float32, for `affine_grid(theta, (1, C, *fixed array shape), align_corners)`.

    `x -> matrix (x - center) + center + translation` maps fixed to moving points in LPS mm: the parameters and fixed
    parameters of an ITK or ANTs affine as they stand in its file. Both grids are normalised each by its own image:
    theta = N_moving P2I_moving A I2P_fixed inv(N_fixed). Give `affine_grid` and `grid_sample` the same align_corners.
    Raises InputError for a singular affine or shapes that do not agree.
    """
    import torch

    fixed_grid, moving_grid = grid_of(fixed, "fixed"), grid_of(moving, "moving")
    affine = homogeneous(matrix, translation, center)
    if not affine.shape[0] - 1 == fixed_grid.dimension == moving_grid.dimension:
        raise InputError(
            f"affine: it is {affine.shape[0] - 1}D, the fixed image {fixed_grid.dimension}D and the moving image "
            f"{moving_grid.dimension}D; all must be the same"
        )
    theta = _from_physical(affine, fixed_grid, moving_grid, align_corners, array_axes)
    return torch.from_numpy(theta[None, :-1].astype(np.float32))


def read(source: Any, context: Context) -> Mapping:
    """A sampling grid (1, *shape, d) or (*shape, d), or a theta (1, d, d+1) or (d, d+1). Raises InputError."""
    name = label(source)
    fixed, moving = context.need_reference(name), context.need_moving(name)
    align_corners = context.need_align_corners(name)
    if isinstance(source, (list, tuple)) and len(source) == 1:
        source = source[0]
    array = read_array(Path(source)) if isinstance(source, (str, os.PathLike)) else as_array(source)
    array = array.astype(np.float64)
    dimension = fixed.dimension
    if array.ndim in (3, dimension + 2) and array.shape[0] == 1:
        array = array[0]
    if not np.isfinite(array).all():
        raise InputError(f"{name}: it holds NaN or infinite values; compute it again")
    if array.shape == (dimension, dimension + 1):
        theta = check_affine(np.vstack([array, np.eye(dimension + 1)[-1]]), name)
        return itk_transform(_to_physical(theta, fixed, moving, align_corners, context.array_axes or "kji"))
    array = _as_kji(array, fixed, context.array_axes, name)
    if np.median(np.abs(array)) > _FARTHEST:
        raise InputError(
            f"{name}: values around {np.median(np.abs(array)):.3g} are not normalised to -1..1; a displacement in"
            " voxels is --from voxelmorph"
        )
    matrix = moving.index_to_physical() @ np.linalg.inv(_index_to_normalised(moving, align_corners))
    return from_array(apply_affine(matrix, array) - fixed.points(), fixed)


def write(displacement: sitk.Image, path: Path, context: Context) -> None:
    """A sampling grid (1, *shape, d), or a theta (1, d, d+1) when the file's name says theta and the field is an
    affine.
    """
    fixed, moving = Grid.of(displacement), context.need_moving(str(path))
    align_corners = context.need_align_corners(str(path))
    axes = context.array_axes or "kji"
    if "theta" in path.name.lower():
        matrix, residual = affine_of(displacement)
        if residual > 1e-3:
            raise InputError(
                f"{path}: the displacement bends up to {residual:.3g} mm away from any affine and has no theta; "
                "name the file otherwise to get a sampling grid"
            )
        array = _from_physical(matrix, fixed, moving, align_corners, axes)[None, :-1]
    else:
        if is_affine(displacement):
            warn(
                f"{path}: the displacement is an affine, and is written as a grid on the reference only; a file named "
                "theta... would hold it for affine_grid"
            )
        array = to_sampling_grid(displacement, fixed, moving, align_corners, axes).numpy()
    half_extent = max(n * s for n, s in zip(moving.size, moving.spacing)) / 2
    write_array(array, path, context.dtype, half_extent, float(np.abs(array).max()))


def _index_to_normalised(grid: Grid, align_corners: bool) -> np.ndarray:
    """(d+1, d+1) diagonal and offset from index (i, j, k) to normalised coordinates in the same order."""
    size = np.asarray(grid.size, dtype=float)
    if align_corners and size.min() < 2:
        raise InputError(
            f"image of size {grid.size}: one voxel has no extent with align_corners; use align_corners=False, or a 2D"
            " image"
        )
    scale = 2 / (size - 1) if align_corners else 2 / size
    offset = -np.ones_like(size) if align_corners else 1 / size - 1
    matrix = np.diag([*scale, 1.0])
    matrix[:-1, -1] = offset
    return matrix


def _reversal(dimension: int, array_axes: str) -> np.ndarray:
    matrix = np.eye(dimension + 1)
    if array_axes == "ijk":
        matrix[:dimension, :dimension] = matrix[:dimension, :dimension][::-1]
    return matrix


def _from_physical(affine: np.ndarray, fixed: Grid, moving: Grid, align_corners: bool, axes: str) -> np.ndarray:
    into = _index_to_normalised(moving, align_corners) @ moving.physical_to_index()
    out_of = fixed.index_to_physical() @ np.linalg.inv(_index_to_normalised(fixed, align_corners))
    turn = _reversal(fixed.dimension, axes)
    return turn @ into @ affine @ out_of @ turn


def _to_physical(theta: np.ndarray, fixed: Grid, moving: Grid, align_corners: bool, axes: str) -> np.ndarray:
    out_of = moving.index_to_physical() @ np.linalg.inv(_index_to_normalised(moving, align_corners))
    into = _index_to_normalised(fixed, align_corners) @ fixed.physical_to_index()
    turn = _reversal(fixed.dimension, axes)
    return out_of @ turn @ theta @ turn @ into


def _as_kji(array: np.ndarray, fixed: Grid, axes: str | None, name: str) -> np.ndarray:
    """Normalised positions (k, j, i, d) in the order (i, j, k) of a stored sampling grid. Raises InputError."""
    spatial = array.shape[:-1]
    fits = [
        key
        for key, shape in (("kji", fixed.shape), ("ijk", tuple(fixed.size)))
        if spatial == shape and axes in (None, key)
    ]
    if array.shape[-1] != fixed.dimension or not fits:
        raise InputError(
            f"{name}: shape {' x '.join(map(str, array.shape))} is no sampling grid for the reference of array shape"
            f" {' x '.join(map(str, fixed.shape))} (k, j, i); it needs (1, *shape, {fixed.dimension}); give the fixed"
            " image as --reference"
        )
    if len(fits) > 1:
        warn_of_axes(name, "kji")
    if fits[0] == "kji":
        return array
    return np.transpose(array, (*range(fixed.dimension - 1, -1, -1), fixed.dimension))[..., ::-1]
