"""Where landmarks go under a mapping, in the direction in which the tools themselves move points."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.displacement import transform_points
from ..space.grid import Grid
from ..space.inverse import preimages
from .affines import affine_of
from .context import Mapping
from .coverage import densify

_TOLERANCE_MM = 1e-4


def to_moving(mapping: Mapping, points: np.ndarray) -> np.ndarray:
    """LPS points (n, d) of the fixed image at their places in the moving image: x + u(x).

    A pulling field carries points this way, against the images. It is what `ants.apply_transforms_to_points` with
    fwdtransforms and `transformix -def` answer.
    """
    return transform_points(mapping, points)


def to_fixed(mapping: Mapping, points: np.ndarray, reference: Grid, name: str) -> np.ndarray:
    """LPS points (n, d) drawn on the moving image at their places in the fixed image: the x with x + u(x) = point.

    Solved for each point by fixed-point iteration to 1e-4 mm, started and steered by the field's best affine on
    `reference`. Raises InputError when a point has no such place (the field folds there, or it lies outside).
    """
    place, left = preimages(mapping, points, _nearby(mapping, reference, name), iterations=200, tolerance=_TOLERANCE_MM)
    unsolved = np.count_nonzero(left > _TOLERANCE_MM)
    if not unsolved:
        return place
    raise InputError(
        f"{name}: {unsolved} point(s) have no place in the fixed image (the field folds"
        " there, or they lie outside); remove them or give points on the fixed image"
    )


def _nearby(mapping: Mapping, reference: Grid, name: str) -> np.ndarray | None:
    """The affine next to a mapping that bends; None where the mapping is linear itself or the reference too thin."""
    if isinstance(mapping, sitk.Transform) and mapping.IsLinear() or min(reference.size) < 2:
        return None
    return affine_of(densify(mapping, reference, name))[0]
