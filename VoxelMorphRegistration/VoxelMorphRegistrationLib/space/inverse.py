"""Inverses of pulling maps T(x) = x + u(x): a whole field on a grid, or single points without inverting the field.

All are fixed-point iterations (Chen et al., A simple fixed-point approach to invert a deformation field, Medical
Physics 35, 2008): x <- x - P (T(x) - y) until T(x) = y. P is the inverse of an affine near to T, so that a rotation or
scaling inside T does not make the iteration diverge, or else the identity.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk

from .affine import apply_affine, matrix_of
from .displacement import best_affine, correspondences, from_array, pull, sample, to_transform, transform_points
from .grid import Grid

_FLAT = 1e-3  # determinant below which an affine squeezes space flat


def invert(
    displacement: sitk.Image, grid: Grid | None = None, iterations: int = 50, tolerance: float = 1e-3
) -> tuple[sitk.Image, float]:
    """The inverse displacement w on `grid` (default: the field's own) and the largest residual in mm.

    Both are canonical fields, LPS mm: y + w(y) is the point x with x + u(x) = y. It stops when the residual
    |w + u(y + w)| is below `tolerance` mm everywhere, or after so many iterations. The residual is taken where y + w
    lies inside the field; elsewhere the field has nothing to invert but its edge.

    >>> grid = Grid((8, 8), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    >>> shift = from_array(np.broadcast_to([2.0, 0.0], (8, 8, 2)), grid)
    >>> inverse, residual = invert(shift)
    >>> inverse.GetPixel(3, 3), residual < 1e-3
    ((-2.0, 0.0), True)
    """
    grid = grid or Grid.of(displacement)
    source, points = Grid.of(displacement), grid.points()
    back = np.linalg.inv(_near(displacement))

    def error_of(inverse: np.ndarray) -> tuple[np.ndarray, float]:
        pulled = pull(displacement, grid, to_transform(from_array(inverse, grid)), edge=True)
        error = inverse + sitk.GetArrayViewFromImage(pulled)
        inside = source.contains((points + inverse).reshape(-1, grid.dimension), margin=0.0)
        size = np.linalg.norm(error, axis=-1).ravel()[inside]
        return error, float(size.max()) if size.size else 0.0

    start = apply_affine(back, points) - points
    found, _, residual = _settle(error_of, start, back[:-1, :-1], iterations, tolerance)
    return from_array(found, grid), residual


def invert_at(
    displacement: sitk.Image, points: np.ndarray, iterations: int = 60, tolerance: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """The points x with x + u(x) = y for LPS points y (n, d), and the residual |x + u(x) - y| of each in mm (n,).

    Each point takes steps of its own length and is left alone once its residual is below `tolerance` mm: the length
    starts at 1 and is halved when the residual grows, so that an alignment turned by as much as 60 degrees inside the
    displacement converges as well, and so does one point beside a fold. Beyond the field its edge vector holds.
    """
    target = np.asarray(points, dtype=float)
    if len(target) == 0:
        return target.copy(), np.zeros(0)
    found = target - sample(displacement, target)
    error = found + sample(displacement, found) - target
    residual = np.linalg.norm(error, axis=-1)
    length = np.ones(len(target))
    for _ in range(iterations):
        active = np.flatnonzero(residual > tolerance)
        if active.size == 0:
            break
        trial = found[active] - length[active, None] * error[active]
        new_error = trial + sample(displacement, trial) - target[active]
        new_residual = np.linalg.norm(new_error, axis=-1)
        worse = new_residual >= residual[active]
        length[active[worse]] *= 0.5
        better = active[~worse]
        found[better], error[better], residual[better] = trial[~worse], new_error[~worse], new_residual[~worse]
    return found, residual


def preimages(
    mapping: sitk.Image | sitk.Transform,
    points: np.ndarray,
    near: np.ndarray | None = None,
    iterations: int = 50,
    tolerance: float = 1e-4,
) -> tuple[np.ndarray, np.ndarray]:
    """The points x that a field or any ITK transform takes to the LPS points y (n, d), and what is left of each (n,).

    What is left is the largest component of T(x) - y in mm. A linear transform is inverted exactly.

    Args:
        near: homogeneous matrix of an affine near to the mapping, LPS mm; default the identity.
        iterations, tolerance: it stops when no point has more than `tolerance` mm left, or after so many iterations.
    """
    target = np.asarray(points, dtype=float)
    exact = matrix_of(mapping) if isinstance(mapping, sitk.Transform) else None
    if exact is not None:
        near, iterations = exact, 1
    back = np.eye(target.shape[-1] + 1) if near is None else np.linalg.inv(near)

    def error_of(place: np.ndarray) -> tuple[np.ndarray, float]:
        error = transform_points(mapping, place) - target
        return error, float(np.abs(error).max(initial=0.0))

    found, error, _ = _settle(error_of, apply_affine(back, target), back[:-1, :-1], iterations, tolerance)
    return found, np.abs(error).max(axis=-1)


def _settle(
    error_of: Callable[[np.ndarray], tuple[np.ndarray, float]],
    start: np.ndarray,
    back: np.ndarray,
    iterations: int,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """x <- x - back e(x) for points x (..., d); `error_of` gives e(x) and the worst of it. The last x, e(x), worst."""
    found = start
    error, worst = error_of(found)
    for _ in range(iterations - 1):
        if worst <= tolerance:
            break
        found = found - error @ back.T
        error, worst = error_of(found)
    return found, error, worst


def _near(displacement: sitk.Image) -> np.ndarray:
    """The field's best affine, or its mean translation where that affine cannot be inverted."""
    matrix = best_affine(displacement)
    if np.linalg.det(matrix[:-1, :-1]) >= _FLAT:
        return matrix
    points, moved = correspondences(displacement)
    matrix = np.eye(len(matrix))
    matrix[:-1, -1] = (moved - points).mean(axis=0)
    return matrix
