"""Points and surfaces drawn on the moving image, carried to the fixed image.

A displacement pulls: it tells for each fixed point x where to look in the moving image, at x + u(x). So images and
labels are resampled with it, while points travel the other way: a moving point y belongs at the x with x + u(x) = y,

    positions, residual_mm = inverse_points.invert_at(displacement, points.positions)
    moved = points.at(positions)

and a surface likewise with `surface.points`. Beyond the image the vector of its edge holds, as in Slicer's grid
transforms.
"""

from __future__ import annotations

import numpy as np

from .errors import InputError
from .grid import Grid
from .markups_files import Points, read_points, write_points
from .surfaces import Surface, read_surface, write_surface

__all__ = [
    "Points",
    "Surface",
    "count_outside",
    "read_points",
    "read_surface",
    "write_points",
    "write_surface",
]


def count_outside(positions: np.ndarray, grid: Grid, name: str) -> int:
    """How many LPS points (n, 3) lie outside the image they were drawn on; these move with the image's edge.

    Raises InputError when all of them do: they belong to another image, or LPS and RAS were mistaken for one another.
    """
    positions = np.asarray(positions, dtype=float)
    if grid.dimension != 3:
        raise InputError(
            f"{name}: points and surfaces are 3D, the image has {grid.dimension} dimensions; give a 3D image"
        )
    outside = int(np.count_nonzero(~grid.contains(positions)))
    if outside < len(positions):
        return outside
    mirrored = " (they would lie in it with x and y negated: its LPS/RAS marker is wrong)"
    hint = mirrored if np.any(grid.contains(positions * (-1, -1, 1))) else ""
    raise InputError(
        f"{name}: all {outside} points lie outside the image{hint}; give points that were drawn on this image"
    )
