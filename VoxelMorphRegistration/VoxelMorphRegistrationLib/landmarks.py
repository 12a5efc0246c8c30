"""Points and surfaces drawn on the moving image, carried to the fixed image.

A displacement pulls: it tells for each fixed point where to look in the moving image. So images and labels are
resampled with it, while points travel the other way and move with the inverse displacement, which lies on the moving
image's grid: moving point + u = fixed point. Beyond the image the vector of its edge holds, as in Slicer's grid
transforms.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .displacement import transform_points
from .errors import InputError
from .grid import Grid
from .markups_files import Points, read_points, write_points
from .surfaces import Surface, read_surface, write_surface

__all__ = [
    "Points",
    "Surface",
    "count_outside",
    "move_points",
    "move_surface",
    "read_points",
    "read_surface",
    "write_points",
    "write_surface",
]


def move_points(points: Points, inverse_displacement: sitk.Image) -> Points:
    """The points of the moving image where their tissue is in the fixed image; names and flags are kept."""
    return points.at(transform_points(inverse_displacement, points.positions))


def move_surface(surface: Surface, inverse_displacement: sitk.Image) -> Surface:
    """The surface of the moving image where its tissue is in the fixed image; cells and arrays are kept."""
    return surface.at(transform_points(inverse_displacement, surface.points))


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
