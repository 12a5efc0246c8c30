"""Points drawn on an image, whatever file or node they come from.

A displacement pulls: it tells for each fixed point x where to look in the moving image, at x + u(x). So images and
labels are resampled with it, while points travel the other way: a moving point y belongs at the x with x + u(x) = y,

    positions, residual_mm = space.inverse.invert_at(displacement, points.positions)
    moved = points.at(positions)

and a surface likewise with `surface.points`. Beyond the image the vector of its edge holds, as in Slicer's grid
transforms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..space.grid import Grid

#: Markups that are moved point by point; planes and regions of interest are more than their control points.
MOVABLE_MARKUPS = ("Fiducial", "Line", "Curve", "ClosedCurve", "Angle")

#: What is known of a control point's position, in the order of Slicer's numbers for it.
POSITION_STATUSES = ("undefined", "preview", "defined", "missing")

#: The statuses with which a point has a position.
PLACED = ("preview", "defined")


@dataclass(frozen=True)
class Points:
    """Control points, in LPS whatever the file was in.

    Attributes:
        positions: float64 (n, 3), LPS mm, of the points that have a position.
        document: a markups document (the content of a `.mrk.json`) in LPS with names, descriptions and flags of all
            points, also of those that were never placed. Its positions are those of the file; `positions` rule.

    >>> tip = {"label": "tip", "position": [10.0, 0.0, 5.0]}
    >>> points = Points(np.array([tip["position"]]), {"markups": [{"type": "Fiducial", "controlPoints": [tip]}]})
    >>> points.at(points.positions + (0.0, 0.0, 2.0)).positions.tolist()
    [[10.0, 0.0, 7.0]]
    >>> points.labels
    ('tip',)
    """

    positions: np.ndarray
    document: dict

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the points that have a position, one each and in their order, as `ids` and `descriptions` are."""
        return tuple(str(point.get("label", "")) for point in placed_points(self.document))

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(str(point.get("id", "")) for point in placed_points(self.document))

    @property
    def descriptions(self) -> tuple[str, ...]:
        return tuple(str(point.get("description", "")) for point in placed_points(self.document))

    def at(self, positions: np.ndarray) -> Points:
        """The same points at other LPS positions (n, 3). Raises ValueError when their number differs."""
        positions = np.asarray(positions, dtype=float)
        if positions.shape != self.positions.shape:
            raise ValueError(f"positions {positions.shape} do not fit the points {self.positions.shape}")
        return Points(positions, self.document)


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


def placed_points(document: dict) -> Iterator[dict]:
    """The control points of a markups document that have a position, in order."""
    for markup in document["markups"]:
        for point in markup.get("controlPoints", []):
            if point.get("positionStatus", "defined") in PLACED and point.get("position"):
                yield point
