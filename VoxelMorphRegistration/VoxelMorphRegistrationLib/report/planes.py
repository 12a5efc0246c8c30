"""The three planes in which a person looks at a volume, seen as a radiologist does, without interpolation.

Axial: the patient's right at the left of the picture, anterior at the top. Coronal: right at the left, superior at the
top. Sagittal: anterior at the left, superior at the top. The planes are those of the image's own axes that come
nearest; a 2D image is one plane, as its rows and columns lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..space.grid import Grid

PlaneName = str  # 'axial', 'coronal', 'sagittal', or 'image' of a 2D image
_NAMES = ("axial", "coronal", "sagittal")
#: In the order of `Orientation.turned`: down the body, to the back, to the left; as signs along S, P, L of LPS.
_TOWARDS = ((2, -1.0), (1, 1.0), (0, 1.0))


@dataclass(frozen=True)
class Orientation:
    """How arrays of a grid are turned so that their axes run from superior to inferior, front to back, right to left.

    Attributes:
        order: array axes (of k, j, i) in the turned order. flipped: which turned axes run backwards.
        spacing: voxel size along the turned axes, in the unit of the image (mm).

    A 2D grid is left as it is: down the rows, along the columns.
    """

    order: tuple[int, ...]
    flipped: tuple[bool, ...]
    spacing: tuple[float, ...]

    @classmethod
    def of(cls, grid: Grid) -> Orientation:
        if grid.dimension == 2:
            return cls((0, 1), (False, False), tuple(reversed(grid.spacing)))
        from scipy.optimize import linear_sum_assignment

        axes = np.reshape(grid.direction, (3, 3))
        physical, index = linear_sum_assignment(-np.abs(axes))
        along = dict(zip(physical.tolist(), index.tolist()))
        order, flipped, spacing = [], [], []
        for component, sign in _TOWARDS:
            axis = along[component]
            order.append(2 - axis)
            flipped.append(bool(axes[component, axis] * sign < 0))
            spacing.append(grid.spacing[axis])
        return cls(tuple(order), tuple(flipped), tuple(spacing))

    @property
    def planes(self) -> tuple[PlaneName, ...]:
        return _NAMES if len(self.order) == 3 else ("image",)

    def turned(self, array: np.ndarray) -> np.ndarray:
        """A view of an array (k, j, i) or (k, j, i, components) of the grid with its first axes turned."""
        rest = tuple(range(len(self.order), array.ndim))
        view = np.transpose(array, (*self.order, *rest))
        return view[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flipped)]

    def turned_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """A turned view of LPS vectors (k, j, i, 3) whose components too run inferior, posterior, left (2D: down,
        along).
        """
        view = self.turned(vectors)
        if len(self.order) == 2:
            return view[..., ::-1]
        return np.stack([view[..., component] * sign for component, sign in _TOWARDS], axis=-1)


def cut(turned: np.ndarray, plane: PlaneName, position: int) -> np.ndarray:
    """The plane (rows, columns) of a turned array at an index along the axis it stands on; a 2D array whole."""
    return turned if plane == "image" else np.take(turned, position, axis=_NAMES.index(plane))


def in_plane(values: Sequence, plane: PlaneName) -> tuple:
    """Those two of one value a turned axis that belong to the rows and the columns of a plane."""
    if plane == "image":
        return tuple(values)
    return tuple(value for axis, value in enumerate(values) if axis != _NAMES.index(plane))


def fullest(turned: np.ndarray, plane: PlaneName) -> int:
    """Where along its axis a plane holds the most voxels that are not zero; the middle where there are none."""
    if plane == "image":
        return 0
    axis = _NAMES.index(plane)
    counts = np.count_nonzero(turned, axis=tuple(other for other in range(3) if other != axis))
    return int(np.argmax(counts)) if counts.any() else turned.shape[axis] // 2
