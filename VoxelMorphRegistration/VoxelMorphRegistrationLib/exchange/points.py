"""Where landmarks go under a mapping, in the direction in which the tools themselves move points."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.displacement import transform_points
from ..space.grid import Grid
from .affines import affine_of, of_transform
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
    inverse = np.linalg.inv(_steering(mapping, reference, name))
    goal = np.asarray(points, dtype=float)
    place = goal @ inverse[:-1, :-1].T + inverse[:-1, -1]
    for _ in range(200):
        error = transform_points(mapping, place) - goal
        if np.abs(error).max(initial=0.0) < _TOLERANCE_MM:
            return place
        place = place - error @ inverse[:-1, :-1].T
    worst = np.abs(error).max(axis=-1)
    raise InputError(
        f"{name}: {np.count_nonzero(worst > _TOLERANCE_MM)} point(s) have no place in the fixed image (the field folds"
        " there, or they lie outside); remove them or give points on the fixed image"
    )


def _steering(mapping: Mapping, reference: Grid, name: str) -> np.ndarray:
    if isinstance(mapping, sitk.Transform) and mapping.IsLinear():
        return of_transform(mapping)
    if min(reference.size) < 2:
        return np.eye(reference.dimension + 1)
    return affine_of(densify(mapping, reference, name))[0]
