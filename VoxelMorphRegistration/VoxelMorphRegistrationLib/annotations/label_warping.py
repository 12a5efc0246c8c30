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
from .label_boxes import bounding_box, label_boxes

_SLAB_VOXELS = 1 << 18


class SmoothWarper:
    """Smooth warps of one label map through many displacements.

    The signed distance of a label is made inside the label's bounding box when it is first needed, and kept for the
    next displacement while all that is kept stays below `memory` bytes; what does not fit is made anew each time. So a
    hundred labels need no more memory than a few.
    """

    def __init__(self, labels: sitk.Image, memory: int = 256 << 20) -> None:
        self._grid = Grid.of(labels)
        self._dtype = sitk.GetArrayViewFromImage(labels).dtype
        values, codes = np.unique(sitk.GetArrayViewFromImage(labels), return_inverse=True)
        if 0 not in values:
            codes = codes + 1
            values = np.concatenate([np.zeros(1, values.dtype), values])
        self._values = values
        background = int(np.flatnonzero(values == 0)[0])
        codes = codes.reshape(self._grid.shape).astype(np.int32)
        # Two voxels around: one that is looked at by points half outside, one more to close every label's box.
        self._codes = np.pad(codes, 2, constant_values=background)
        self._mixed, self._corner = _cells(self._codes)
        self._boxes = _boxes(self._codes, len(values), self._mixed, background)
        self._kept: dict[int, np.ndarray] = {}
        self._room = memory

    def warp(self, displacement: sitk.Image) -> sitk.Image:
        """The label map on the displacement's grid, in its own pixel type; 0 beyond it."""
        grid = Grid.of(displacement)
        result = np.empty(grid.shape, self._codes.dtype)
        undecided, at, cells = [], [], []
        shape = np.asarray(self._mixed.shape)
        for rows, index in _moving_index(displacement, self._grid):
            padded = np.clip(index[..., ::-1] + np.float32(2), 0, (shape - 1 + 0.999).astype(np.float32))
            base = padded.astype(np.int64)
            flat = np.ravel_multi_index(tuple(np.moveaxis(base, -1, 0)), self._mixed.shape)
            result[rows] = self._corner.ravel()[flat]
            open_here = self._mixed.ravel()[flat]
            first = rows.start * int(np.prod(grid.shape[1:]))
            undecided.append(first + np.flatnonzero(open_here))
            cells.append(base[open_here].astype(np.int32))
            at.append((padded[open_here] - base[open_here]).astype(np.float32))
        where = np.concatenate(undecided)
        result.ravel()[where] = self._deepest(np.concatenate(cells), np.concatenate(at))
        return grid.image(self._values[result].astype(self._dtype))

    def _deepest(self, cells: np.ndarray, fractions: np.ndarray) -> np.ndarray:
        """The code of the label each point lies deepest in; it lies `fractions` (n, d) of a voxel into its cell."""
        best = np.full(len(cells), -np.inf, np.float32)
        winner = np.zeros(len(cells), self._codes.dtype)
        weights = _corner_weights(fractions)
        for code, box in enumerate(self._boxes):
            if box is None:
                continue
            low, high = box
            near = np.flatnonzero(np.all((cells >= low) & (cells < high - 1), axis=1))
            if near.size == 0:
                continue
            depth, present = self._depth_at(self._distance(code, low, high), cells[near] - low, weights[:, near])
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

    def _distance(self, code: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """In the label's box: mm to the nearest voxel of another label (inside, positive) or its own (outside)."""
        if code in self._kept:
            return self._kept[code]
        mask = self._codes[tuple(slice(a, b) for a, b in zip(low, high))] == code
        distance = (_distance_to(~mask, self._grid.spacing) - _distance_to(mask, self._grid.spacing)).astype(np.float16)
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


def _cells(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each cell, a voxel and its 2**d - 1 upper neighbours: whether it holds several codes, and its lowest."""
    lowest, highest = codes, codes
    for axis in range(codes.ndim):
        lower = [slice(None)] * codes.ndim
        upper = [slice(None)] * codes.ndim
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        lowest = np.minimum(lowest[tuple(lower)], lowest[tuple(upper)])
        highest = np.maximum(highest[tuple(lower)], highest[tuple(upper)])
    return lowest != highest, lowest


def _boxes(
    codes: np.ndarray, count: int, mixed: np.ndarray, background: int
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Each label's bounding box (first, one past last) and a voxel around it; the background's is that of borders."""
    found = label_boxes(sitk.GetImageFromArray(codes + 1))
    boxes: list[tuple[np.ndarray, np.ndarray] | None] = []
    for code in range(count):
        box = bounding_box(mixed) if code == background else found.get(code + 1)
        if box is None:
            boxes.append(None)
            continue
        # A mixed cell begins at its own index and ends one voxel further.
        before = 0 if code == background else 1
        boxes.append((np.array([side.start - before for side in box]), np.array([side.stop + 1 for side in box])))
    return boxes


def _corner_weights(fractions: np.ndarray) -> np.ndarray:
    """(2**d, n) weights of linear interpolation, the corners in the order of `itertools.product((0, 1), ...)`."""
    weights = []
    for corner in product((0, 1), repeat=fractions.shape[1]):
        weight = np.ones(len(fractions), np.float32)
        for axis, upper in enumerate(corner):
            weight *= fractions[:, axis] if upper else 1 - fractions[:, axis]
        weights.append(weight)
    return np.stack(weights)


def _distance_to(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """mm from each voxel to the nearest voxel of the mask, zero inside it."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing)
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return np.maximum(sitk.GetArrayFromImage(distance), 0)
