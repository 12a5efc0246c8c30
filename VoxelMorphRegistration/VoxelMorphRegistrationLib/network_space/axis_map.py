"""Grids whose axes are parallel: permuting, flipping, cropping, padding and stretching arrays from one to the other.

The network's grid follows the fixed image's own axes, so that everything between the two is one-dimensional, and where
their spacing agrees nothing is interpolated at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..flow.filters import apply_separable, gaussian_matrices, interpolation_matrix
from ..flow.transfers import constant
from ..space.affine import array_order
from ..space.grid import Grid

_WHOLE = 1e-4  # voxels: closer than this, positions are the voxels themselves


@dataclass(frozen=True)
class AxisMap:
    """Where the voxels of a `target` grid lie in a `source` grid with parallel axes, in array order (k, j, i).

    Along target array axis a at index n, the source's array axis `axes[a]` has the index `offset[a] + scale[a] * n`.
    """

    axes: tuple[int, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def between(cls, target: Grid, source: Grid) -> AxisMap | None:
        """The map, or None when the axes of the two grids are not parallel (to a thousandth of a voxel)."""
        dimension = target.dimension
        matrix = array_order(target.index_to_index(source))
        linear, offset = matrix[:-1, :-1], matrix[:-1, -1]
        axes = np.abs(linear).argmax(axis=0)
        if sorted(axes.tolist()) != list(range(dimension)):
            return None
        rest = linear.copy()
        rest[axes, range(dimension)] = 0.0
        if np.abs(rest).max() * max(target.size) > 1e-3:
            return None
        return cls(
            tuple(int(a) for a in axes),
            tuple(float(offset[axes[a]]) for a in range(dimension)),
            tuple(float(linear[axes[a], a]) for a in range(dimension)),
        )

    def positions(self, axis: int, count: int) -> np.ndarray:
        """Source indices (float64, whole where they are meant to be) of target indices 0..count-1 along `axis`."""
        # What the matrices leave of rounding depends on how the image is stored; the result should not.
        positions = np.round(self.offset[axis] + self.scale[axis] * np.arange(count, dtype=float), 9)
        nearest = np.rint(positions)
        return nearest if np.abs(positions - nearest).max() < _WHOLE else positions


def regrid(
    array: torch.Tensor,
    axis_map: AxisMap,
    shape: tuple[int, ...],
    outside: float | None = None,
    sigma: tuple[float, ...] | None = None,
) -> torch.Tensor:
    """The values of `array` (C, *source shape) at the voxels of a parallel target grid of array shape `shape`.

    Linear between voxels, exact where the lattices coincide. A voxel covers half a step to each side of its centre;
    beyond that `outside` holds, or with None the nearest edge voxel.

    Args:
        sigma: of a Gaussian that smooths the array first, in source voxels along each source axis (array order).
    """
    array = array.permute(0, *[1 + axis for axis in axis_map.axes])
    beyond: list[int] = []  # planes of `outside` before and behind each axis, of the last axis first
    for axis, count in enumerate(shape):
        size = array.shape[1 + axis]
        positions = axis_map.positions(axis, count)
        inside = (positions >= -0.5 - _WHOLE) & (positions < size - 0.5 + _WHOLE)
        if outside is not None and not inside.any():
            return array.new_full((len(array), *shape), outside)
        first, last = _run(inside) if outside is not None else (0, count)
        beyond = [first, count - last, *beyond]
        clamped = np.clip(positions[first:last], 0, size - 1)
        smoothing = sigma[axis_map.axes[axis]] if sigma else 0.0
        array = _along(array, 1 + axis, clamped) if smoothing == 0 else _smoothed(array, 1 + axis, clamped, smoothing)
    return F.pad(array, beyond, value=outside or 0.0).contiguous()


def _run(inside: np.ndarray) -> tuple[int, int]:
    """The first and behind the last of what is true, which is one run."""
    where = np.flatnonzero(inside)
    return int(where[0]), int(where[-1]) + 1


def smooth(array: torch.Tensor, sigma: tuple[float, ...]) -> torch.Tensor:
    """`array` (C, *shape) smoothed with a Gaussian of `sigma` voxels along each axis, renormalised at the borders."""
    for axis, width in enumerate(sigma):
        if width > 0:
            array = _multiplied(array, 1 + axis, gaussian_matrices([array.shape[1 + axis]], width, array.device)[0])
    return array


def _smoothed(array: torch.Tensor, axis: int, positions: np.ndarray, sigma: float) -> torch.Tensor:
    """Smoothing and linear interpolation of one axis as one matrix, so that only what is kept is computed."""
    matrix = constant(array.device, _smoothing_interpolation, array.shape[axis], tuple(positions.tolist()), sigma)
    return _multiplied(array, axis, matrix.to(array))


def _smoothing_interpolation(count: int, positions: tuple[float, ...], sigma: float) -> torch.Tensor:
    smoothing = gaussian_matrices([count], sigma)[0].double()
    return (interpolation_matrix(count, torch.tensor(positions, dtype=torch.float64)) @ smoothing).float()


def _multiplied(array: torch.Tensor, axis: int, matrix: torch.Tensor) -> torch.Tensor:
    """`array` (C, *shape) with a matrix (out, in) applied along one of its axes."""
    matrices: list[torch.Tensor | None] = [None] * (array.dim() - 1)
    matrices[axis - 1] = matrix
    return apply_separable(array[None], matrices)[0]


def _is_whole(positions: np.ndarray) -> bool:
    return bool(np.abs(positions - np.rint(positions)).max() < _WHOLE)


def _along(array: torch.Tensor, axis: int, positions: np.ndarray) -> torch.Tensor:
    """Linear interpolation of one axis at positions within it."""
    if _is_whole(positions):
        index = np.rint(positions).astype(np.int64)
        if np.array_equal(index, np.arange(index[0], index[0] + len(index))):
            return array.narrow(axis, int(index[0]), len(index))
        return array.index_select(axis, torch.from_numpy(index).to(array.device, non_blocking=True))
    # Gathering along the last axis of an array takes ten times as long as the product.
    matrix = constant(array.device, _interpolation, array.shape[axis], tuple(positions.tolist()))
    return _multiplied(array, axis, matrix.to(array))


def _interpolation(count: int, positions: tuple[float, ...]) -> torch.Tensor:
    return interpolation_matrix(count, torch.tensor(positions, dtype=torch.float64)).float()
