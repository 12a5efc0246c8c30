"""Label maps pulled through a displacement with smooth borders and without a value that mixes two labels.

Nearest neighbour (`displacement.warp`) gives a voxel the label of the voxel that x + u(x) falls in, so borders follow
the faces of the moving voxels. Here the labels of the 2**d voxels around that point are compared by their signed
distances, interpolated linearly, and the label the point lies deepest in is taken: borders run between the voxels'
centres. Distances are not smoothed further: that would round off structures a voxel or two thick. A displacement of
zero hands back the label map itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import SimpleITK as sitk

from ..space.grid import Grid
from .label_depths import MARGIN, LabelDepths

_SLAB_VOXELS = 1 << 18


class SmoothWarper:
    """Smooth warps of one label map through many displacements.

    The signed distance of a label is made inside the label's bounding box when it is first needed, and kept for the
    next displacement while all that is kept stays below `memory` bytes; what does not fit is made anew each time. So a
    hundred labels need no more memory than a few.
    """

    def __init__(self, labels: sitk.Image, memory: int = 256 << 20) -> None:
        self._depths = LabelDepths(labels)
        self._kept: dict[int, np.ndarray] = {}
        self._room = memory

    def warp(self, displacement: sitk.Image) -> sitk.Image:
        """The label map on the displacement's grid, in its own pixel type; 0 beyond it."""
        grid = Grid.of(displacement)
        depths = self._depths
        mixed, corner = depths.mixed, depths.corner
        result = np.empty(grid.shape, depths.codes.dtype)
        undecided, at, cells = [], [], []
        shape = np.asarray(mixed.shape)
        for rows, index in _moving_index(displacement, depths.grid):
            padded = np.clip(index[..., ::-1] + np.float32(MARGIN), 0, (shape - 1 + 0.999).astype(np.float32))
            base = padded.astype(np.int64)
            flat = np.ravel_multi_index(tuple(np.moveaxis(base, -1, 0)), mixed.shape)
            result[rows] = corner.ravel()[flat]
            open_here = mixed.ravel()[flat]
            first = rows.start * int(np.prod(grid.shape[1:]))
            undecided.append(first + np.flatnonzero(open_here))
            cells.append(base[open_here].astype(np.int32))
            at.append((padded[open_here] - base[open_here]).astype(np.float32))
        where = np.concatenate(undecided)
        result.ravel()[where] = self._deepest(np.concatenate(cells), np.concatenate(at))
        return grid.image(depths.values[result].astype(depths.dtype))

    def _deepest(self, cells: np.ndarray, fractions: np.ndarray) -> np.ndarray:
        """The code of the label each point lies deepest in; it lies `fractions` (n, d) of a voxel into its cell."""
        best = np.full(len(cells), -np.inf, np.float32)
        winner = np.zeros(len(cells), self._depths.codes.dtype)
        weights = _corner_weights(fractions)
        for code, box in enumerate(self._depths.boxes):
            if box is None:
                continue
            low, high = box
            near = np.flatnonzero(np.all((cells >= low) & (cells < high - 1), axis=1))
            if near.size == 0:
                continue
            depth, present = self._depth_at(self._distance(code), cells[near] - low, weights[:, near])
            better = present & (depth > best[near])
            best[near[better]] = depth[better]
            winner[near[better]] = code
        return winner

    def _depth_at(self, distance: np.ndarray, cells: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Interpolated signed distance, and whether one of the cell's voxels has the label at all."""
        strides = np.cumprod((1, *distance.shape[:0:-1]))[::-1]
        first = cells.astype(np.int64) @ strides
        depth = np.zeros(len(cells), np.float32)
        present = np.zeros(len(cells), bool)
        flat = distance.ravel()
        for weight, corner in zip(weights, product((0, 1), repeat=distance.ndim)):
            there = flat[first + int(np.dot(corner, strides))].astype(np.float32)
            depth += weight * there
            present |= there > 0
        return depth, present

    def _distance(self, code: int) -> np.ndarray:
        if code in self._kept:
            return self._kept[code]
        distance = self._depths.distance(code)
        if distance.nbytes <= self._room:
            self._room -= distance.nbytes
            self._kept[code] = distance
        return distance


def _moving_index(displacement: sitk.Image, moving: Grid) -> Iterator[tuple[slice, np.ndarray]]:
    """Slabs of the fixed grid: rows, and there x + u(x) as continuous index (i, j, k) of `moving`, float32 (..., d)."""
    # In float32 and by slabs, not by `Grid.to_index`: this touches every voxel of every frame.
    fixed = Grid.of(displacement)
    to_index = moving.physical_to_index()
    linear = to_index[:-1, :-1]
    across = linear @ fixed.axes
    start = linear @ np.asarray(fixed.origin) + to_index[:-1, -1]
    vectors = sitk.GetArrayViewFromImage(displacement)
    project = linear.T.astype(np.float32)
    ramps = []
    for axis, count in enumerate(fixed.size):
        shape = [1] * fixed.dimension + [fixed.dimension]
        shape[fixed.dimension - 1 - axis] = count
        ramps.append((np.arange(count)[:, None] * across[:, axis]).reshape(shape))
    within_slice = (sum(ramps[:-1]) + start).astype(np.float32)
    step = max(1, _SLAB_VOXELS // int(np.prod(fixed.shape[1:])))
    for begin in range(0, fixed.shape[0], step):
        rows = slice(begin, min(begin + step, fixed.shape[0]))
        yield rows, vectors[rows] @ project + (within_slice + ramps[-1][rows].astype(np.float32))


def _corner_weights(fractions: np.ndarray) -> np.ndarray:
    """(2**d, n) weights of linear interpolation, the corners in the order of `itertools.product((0, 1), ...)`."""
    weights = []
    for corner in product((0, 1), repeat=fractions.shape[1]):
        weight = np.ones(len(fractions), np.float32)
        for axis, upper in enumerate(corner):
            weight *= fractions[:, axis] if upper else 1 - fractions[:, axis]
        weights.append(weight)
    return np.stack(weights)
