"""Inverses of displacements: a whole field on a grid, or single points without inverting the field."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .affine import best_affine
from .displacement import from_array, pull, sample, to_transform
from .grid import Grid


def invert_at(
    displacement: sitk.Image, points: np.ndarray, iterations: int = 60, tolerance: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """The points x with x + u(x) = y for LPS points y (n, d), and the residual |x + u(x) - y| of each in mm (n,).

    Fixed-point iteration x <- x - s (x + u(x) - y) (Chen et al., A simple fixed-point approach to invert a deformation
    field, Medical Physics 35, 2008); s starts at 1 and is halved for a point whose residual grows, so that an
    alignment turned by as much as 60 degrees inside the displacement converges as well. Beyond the field its edge
    vector holds.
    """
    target = np.asarray(points, dtype=float)
    if len(target) == 0:
        return target.copy(), np.zeros(0)
    found = target - sample(displacement, target)
    error = found + sample(displacement, found) - target
    residual = np.linalg.norm(error, axis=-1)
    pace = np.ones(len(target))
    for _ in range(iterations):
        active = np.flatnonzero(residual > tolerance)
        if active.size == 0:
            break
        trial = found[active] - pace[active, None] * error[active]
        new_error = trial + sample(displacement, trial) - target[active]
        new_residual = np.linalg.norm(new_error, axis=-1)
        worse = new_residual >= residual[active]
        pace[active[worse]] *= 0.5
        better = active[~worse]
        found[better], error[better], residual[better] = trial[~worse], new_error[~worse], new_residual[~worse]
    return found, residual


def invert(
    displacement: sitk.Image, grid: Grid | None = None, iterations: int = 50, tolerance: float = 1e-3
) -> tuple[sitk.Image, float]:
    """The inverse displacement on `grid` (default: the field's own) and the largest residual in mm.

    Fixed-point iteration (Chen et al., A simple fixed-point approach to invert a deformation field, Medical Physics 35,
    2008), preconditioned with the field's best affine so that a rotation or scaling inside it does not make it diverge:
    w <- w - M^-1 (w + u(y + w)). It stops when the residual |w + u(y + w)| is below `tolerance` mm everywhere. The
    residual is taken where y + w lies inside the field; elsewhere the field has nothing to invert but its edge.
    """
    grid = grid or Grid.of(displacement)
    linear, offset = best_affine(displacement)
    precondition = np.linalg.inv(linear)
    points = grid.points()
    inverse = (points - offset) @ precondition.T - points
    source = Grid.of(displacement)
    for _ in range(iterations):
        field = from_array(inverse, grid)
        pulled = pull(displacement, grid, to_transform(field), edge=True)
        error = inverse + sitk.GetArrayViewFromImage(pulled)
        inside = source.contains((points + inverse).reshape(-1, grid.dimension), margin=0.0)
        size = np.linalg.norm(error, axis=-1).ravel()[inside]
        residual = float(size.max()) if size.size else 0.0
        if residual <= tolerance:
            return field, residual
        inverse = inverse - error @ precondition.T
    return field, residual
