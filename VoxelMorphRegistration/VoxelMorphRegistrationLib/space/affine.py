"""Affine maps: the matrix of a linear transform, the affine nearest to a displacement, and LPS against RAS."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .grid import Grid


def lps_to_ras(vectors: np.ndarray) -> np.ndarray:
    """Points or displacements (..., d) from LPS to RAS mm, or back: both first components change sign."""
    flipped = np.array(vectors, copy=True)
    flipped[..., :2] *= -1
    return flipped


def apply_transform(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """ITK's TransformPoint for LPS points (..., d); a linear transform is applied as its matrix."""
    dimension = points.shape[-1]
    flat = points.reshape(-1, dimension)
    if transform.IsLinear():
        start = np.asarray(transform.TransformPoint((0.0,) * dimension))
        columns = [np.asarray(transform.TransformPoint(tuple(row))) - start for row in np.eye(dimension)]
        moved = flat @ np.stack(columns) + start
    else:
        moved = np.asarray([transform.TransformPoint(point) for point in flat.tolist()])
    return moved.reshape(points.shape)


def best_affine(displacement: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares (M, t) of x + u(x) ~ M x + t, from at most some thousand voxels; the identity when M is
    singular.
    """
    grid = Grid.of(displacement)
    step = max(1, int(np.ceil((np.prod(grid.size) / 20000) ** (1 / grid.dimension))))
    every = tuple(slice(None, None, step) for _ in grid.shape)
    points = grid.points()[every].reshape(-1, grid.dimension)
    moved = points + sitk.GetArrayViewFromImage(displacement)[every].reshape(-1, grid.dimension)
    design = np.hstack([points, np.ones((len(points), 1))])
    solution, _, rank, _ = np.linalg.lstsq(design, moved, rcond=None)
    linear, offset = solution[:-1].T, solution[-1]
    if rank < grid.dimension + 1 or np.linalg.det(linear) < 1e-3:
        return np.eye(grid.dimension), moved.mean(axis=0) - points.mean(axis=0)
    return linear, offset


def linear_parts(transform: sitk.Transform) -> tuple[np.ndarray, np.ndarray] | None:
    """(M, t) of a linear transform x -> M x + t, LPS mm; None for any other."""
    if not transform.IsLinear():
        return None
    dimension = transform.GetDimension()
    offset = np.asarray(transform.TransformPoint((0.0,) * dimension))
    columns = [np.asarray(transform.TransformPoint(tuple(axis))) - offset for axis in np.eye(dimension)]
    return np.stack(columns, axis=1), offset
