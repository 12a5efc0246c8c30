"""Affine maps between the forms that tools keep them in; all map fixed points to moving points, LPS mm, unless said."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.displacement import from_array
from ..space.grid import Grid
from .context import ImageLike, grid_of

#: mm; float32 vectors of some hundred millimetres are exact to about 1e-5.
_AFFINE_TOLERANCE = 1e-3


def homogeneous(matrix: np.ndarray, translation: np.ndarray, center: np.ndarray | None = None) -> np.ndarray:
    """(d+1, d+1) matrix of `x -> matrix (x - center) + center + translation`, ITK's MatrixOffsetTransformBase.

    Raises InputError when the shapes do not agree, a value is not finite, or the matrix has no inverse.
    """
    translation = np.asarray(translation, dtype=float).ravel()
    dimension = translation.size
    center = np.zeros(dimension) if center is None else np.asarray(center, dtype=float).ravel()
    matrix = np.asarray(matrix, dtype=float)
    if matrix.size != dimension**2 or center.size != dimension or dimension not in (2, 3):
        raise InputError(
            f"affine: a matrix of shape {matrix.shape}, a translation of {dimension} and a center of {center.size} "
            "numbers do not fit together; all must be 2D or all 3D"
        )
    matrix = matrix.reshape(dimension, dimension)
    whole = np.eye(dimension + 1)
    whole[:-1, :-1] = matrix
    whole[:-1, -1] = center + translation - matrix @ center
    return check_affine(whole, "affine")


def check_affine(matrix: np.ndarray, name: str) -> np.ndarray:
    """The homogeneous matrix itself; raises InputError when it holds non-finite values or cannot be inverted."""
    if not np.isfinite(matrix).all():
        raise InputError(f"{name}: the affine holds NaN or infinite values; export it again")
    if np.linalg.cond(matrix[:-1, :-1]) > 1e8:
        raise InputError(f"{name}: the affine is singular (it squeezes space flat) and maps no image; export it again")
    return matrix


def to_sitk(matrix: np.ndarray) -> sitk.AffineTransform:
    """The ITK transform of a homogeneous matrix."""
    return sitk.AffineTransform(matrix[:-1, :-1].ravel().tolist(), matrix[:-1, -1].tolist())


def of_transform(transform: sitk.Transform) -> np.ndarray:
    """The homogeneous matrix of a linear ITK transform of any class."""
    dimension = transform.GetDimension()
    start = np.asarray(transform.TransformPoint((0.0,) * dimension))
    matrix = np.eye(dimension + 1)
    matrix[:-1, -1] = start
    matrix[:-1, :-1] = np.stack(
        [np.asarray(transform.TransformPoint(tuple(row))) - start for row in np.eye(dimension)], 1
    )
    return matrix


def flip_ras_lps(matrix: np.ndarray) -> np.ndarray:
    """An affine between RAS points as one between LPS points, or back."""
    flip = np.diag([-1.0, -1.0, 1.0, 1.0][: matrix.shape[0] - 1] + [1.0])
    return flip @ matrix @ flip


def affine_to_displacement(
    matrix: np.ndarray, translation: np.ndarray, center: np.ndarray | None, reference: ImageLike
) -> sitk.Image:
    """The canonical displacement of an affine at the voxels of the reference (fixed) image.

    `x -> matrix (x - center) + center + translation` in LPS mm, which is how ITK and ANTs keep an affine: in a
    GenericAffine.mat the first d*d parameters are the matrix row by row, the last d the translation, and the *fixed*
    parameters the center of rotation. Works in 2D and 3D.
    Raises InputError when the shapes do not agree or the matrix is singular.
    """
    grid = grid_of(reference)
    affine = homogeneous(matrix, translation, center)
    if affine.shape[0] != grid.dimension + 1:
        raise InputError(
            f"affine: it is {affine.shape[0] - 1}D and the reference is {grid.dimension}D; give images of its dimension"
        )
    points = grid.points()
    return from_array(points @ (affine[:-1, :-1] - np.eye(grid.dimension)).T + affine[:-1, -1], grid)


def affine_of(displacement: sitk.Image) -> tuple[np.ndarray, float]:
    """The least-squares affine of a displacement as a homogeneous matrix, and the largest distance from it in mm.

    Raises InputError when the grid is too thin (one voxel along an axis) to determine an affine.
    """
    grid = Grid.of(displacement)
    if min(grid.size) < 2:
        raise InputError(
            f"displacement: a grid of size {grid.size} does not determine an affine; use an image with more slices"
        )
    matrix = _fit(*_every(displacement, _sparse(grid)))
    return matrix, _farthest(matrix, *_every(displacement, 1))


def is_affine(displacement: sitk.Image) -> bool:
    """Whether the displacement is an affine other than no motion at all (to 1e-3 mm)."""
    grid = Grid.of(displacement)
    if min(grid.size) < 3 or not np.any(sitk.GetArrayViewFromImage(displacement)):
        return False
    try:
        # A field that bends shows it on some thousand voxels already.
        some = _every(displacement, _sparse(grid))
        return _farthest(_fit(*some), *some) < _AFFINE_TOLERANCE and affine_of(displacement)[1] < _AFFINE_TOLERANCE
    except InputError:
        return False


def _sparse(grid: Grid, count: int = 20000) -> int:
    """The step along every axis that leaves about `count` voxels, and at least two along each axis."""
    step = int(np.ceil((np.prod(grid.size) / count) ** (1 / grid.dimension)))
    return max(1, min(step, min(grid.size) - 1))


def _every(displacement: sitk.Image, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Every `step`-th voxel's point and where it moves: (n, d) each, LPS mm."""
    grid = Grid.of(displacement)
    chosen = (slice(None, None, step),) * grid.dimension
    points = grid.points()[chosen].reshape(-1, grid.dimension)
    return points, points + sitk.GetArrayViewFromImage(displacement)[chosen].reshape(-1, grid.dimension)


def _fit(points: np.ndarray, moved: np.ndarray) -> np.ndarray:
    middle = points.mean(axis=0)
    design = np.hstack([points - middle, np.ones((len(points), 1))])
    solution, *_ = np.linalg.lstsq(design, moved, rcond=None)
    return homogeneous(solution[:-1].T, solution[-1] - middle, middle)


def _farthest(matrix: np.ndarray, points: np.ndarray, moved: np.ndarray) -> float:
    return float(np.abs(points @ matrix[:-1, :-1].T + matrix[:-1, -1] - moved).max())


def exact_affine(displacement: sitk.Image, path: object) -> np.ndarray:
    """The homogeneous matrix of a displacement to be written as an affine file; raises InputError when it is none."""
    matrix, residual = affine_of(displacement)
    if residual > _AFFINE_TOLERANCE:
        raise InputError(
            f"{path}: the displacement bends up to {residual:.3g} mm away from any affine, and this file type holds "
            "only an affine; write an image instead, such as .nii.gz"
        )
    return matrix
