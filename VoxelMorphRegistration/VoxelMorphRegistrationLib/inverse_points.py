"""Single points carried against a displacement, without inverting the whole field.

A surface of a hundred thousand vertices or a handful of landmarks moves exactly with the labels that the same displacement
warps, however the displacement came about (predicted, composed over many frames, interpolated in time).
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .displacement import sample


def invert_at(
    displacement: sitk.Image, points: np.ndarray, iterations: int = 60, tolerance: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """The points x with x + u(x) = y for LPS points y (n, d), and the residual |x + u(x) - y| of each in mm (n,).

    Fixed-point iteration x <- x - s (x + u(x) - y) (Chen et al., A simple fixed-point approach to invert a deformation
    field, Medical Physics 35, 2008); s starts at 1 and is halved for a point whose residual grows, so that an
    alignment turned by as much as 60 degrees inside the displacement converges as well. Beyond the field its edge vector holds.
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
