"""Label maps pulled through many displacements on a GPU, where the label map stays.

What comes out is what `nearest_warping` and `label_warping` make, but for points on the very border of two labels:
sums of positions round elsewhere. Positions are float64. Nothing is asked back before the whole is there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np
import SimpleITK as sitk
import torch

from ..flow.transfers import fetched, sent_array
from ..space.grid import Grid
from .label_depths import MARGIN, LabelDepths, coded

_SLAB_VOXELS = 1 << 21
_MOST_BYTES = 1 << 30  # of distances on the device

#: Along each array axis a position, float64 (rows, ...), in voxels of the label map.
Position = list[torch.Tensor]


class DeviceWarper:
    """Warps of one label map on a torch device.

    >>> import numpy as np, SimpleITK as sitk, torch
    >>> from VoxelMorphRegistrationLib.annotations.device_warping import DeviceWarper
    >>> from VoxelMorphRegistrationLib.space import displacement as displacements
    >>> labels = sitk.GetImageFromArray(np.array([[0, 0, 5, 0], [0, 0, 5, 0]], np.uint8))
    >>> one_voxel = displacements.from_array(np.broadcast_to([1.0, 0.0], (2, 4, 2)), Grid.of(labels))
    >>> warped = DeviceWarper(labels, torch.device("cpu")).warp(one_voxel, "nearest")
    >>> sitk.GetArrayFromImage(warped).tolist()
    [[0, 5, 0, 0], [0, 5, 0, 0]]
    """

    def __init__(self, labels: sitk.Image, device: torch.device) -> None:
        self._labels, self._grid, self._device = labels, Grid.of(labels), device
        self._dtype = sitk.GetArrayViewFromImage(labels).dtype
        self._values, codes = coded(labels)
        self._background = int(np.flatnonzero(self._values == 0)[0])
        # The fewer bytes a voxel, the sooner a result is back.
        self._codes = sent_array(codes.astype(np.uint8 if len(self._values) <= 256 else np.int32), device)

    def warp(self, displacement: sitk.Image, interpolation: Literal["nearest", "smooth"]) -> sitk.Image:
        """The label map on the displacement's grid, in its own pixel type; 0 beyond it.

        Raises torch.cuda.OutOfMemoryError where the device has no room.
        """
        grid = Grid.of(displacement)
        take = self._nearest if interpolation == "nearest" else self._deepest
        found = torch.empty(grid.shape, dtype=self._codes.dtype, device=self._device)
        for rows, position in self._positions(displacement):
            found[rows] = take(position)
        return grid.image(self._values[fetched(found).numpy()].astype(self._dtype, copy=False))

    def _positions(self, displacement: sitk.Image) -> Iterator[tuple[slice, Position]]:
        """Slabs of the displacement's grid: rows, and where x + u(x) lies there."""
        fixed, d = Grid.of(displacement), self._grid.dimension
        to_index = self._grid.physical_to_index()
        linear = to_index[:-1, :-1]
        across = linear @ fixed.axes
        start = linear @ np.asarray(fixed.origin) + to_index[:-1, -1]
        vectors = sent_array(sitk.GetArrayViewFromImage(displacement), self._device)
        step = max(1, _SLAB_VOXELS // math.prod(fixed.shape[1:]))
        for first in range(0, fixed.shape[0], step):
            rows = slice(first, min(first + step, fixed.shape[0]))
            slab = vectors[rows].unbind(-1)
            position = []
            for axis in reversed(range(d)):
                along = torch.full_like(slab[0], float(start[axis]), dtype=torch.float64)
                for c, moved in enumerate(slab):
                    along.add_(moved, alpha=float(linear[axis, c]))
                for c, count in enumerate(fixed.size):
                    begin, end = (rows.start, rows.stop) if c == d - 1 else (0, count)
                    ramp = torch.arange(begin, end, dtype=torch.float64, device=self._device)
                    along.add_(ramp.view([-1 if a == d - 1 - c else 1 for a in range(d)]), alpha=float(across[axis, c]))
                position.append(along)
            yield rows, position

    def _nearest(self, position: Position) -> torch.Tensor:
        inside, flat = torch.ones_like(position[0], dtype=torch.bool), torch.zeros_like(position[0], dtype=torch.long)
        for along, count, stride in zip(position, self._codes.shape, self._codes.stride()):
            nearest = torch.floor(along + 0.5).nan_to_num(nan=-1.0)
            inside &= (nearest >= 0) & (nearest < count)
            flat += nearest.clamp(0, count - 1).long() * stride
        return torch.where(inside, self._codes.view(-1)[flat], self._background)

    def _deepest(self, position: Position) -> torch.Tensor:
        tables = self._tables
        shape, strides = tables.corner.shape, tables.corner.stride()
        base, fractions = [], []
        for along, count in zip(position, shape):
            padded = (along.float() + MARGIN).nan_to_num(nan=0.0).clamp(0, count - 1 + 0.999)
            base.append(padded.long())
            fractions.append(padded - base[-1])
        cell = sum(along * stride for along, stride in zip(base, strides))
        winner = tables.corner.view(-1)[cell]
        corners = list(product((0, 1), repeat=len(shape)))
        weights = [_weight(fractions, corner) for corner in corners]
        first = sum(along * stride for along, stride in zip(base, tables.codes.stride()))
        best, deepest = torch.full_like(fractions[0], -math.inf), winner
        # No other label than those of the cell's own voxels can be the deepest.
        for corner in corners:
            code = tables.codes.view(-1)[first + sum(n * s for n, s in zip(corner, tables.codes.stride()))]
            depth = tables.depth(code, base, corners, weights)
            better = (depth > best) | ((depth == best) & (code < deepest))
            best, deepest = torch.where(better, depth, best), torch.where(better, code, deepest)
        found = torch.where(tables.mixed.view(-1)[cell], deepest, winner)
        return found.to(self._codes.dtype)

    @cached_property
    def _tables(self) -> _Tables:
        return _Tables.of(LabelDepths(self._labels), self._device)


@dataclass(frozen=True)
class _Tables:
    """`LabelDepths` on a device.

    Attributes:
        codes, mixed, corner: as there.
        distances: of all labels, one after the other.
        start: (labels,), where a label's distances begin, less what the first voxel of its box lies in.
        strides: (labels, d), of its box.
    """

    codes: torch.Tensor
    mixed: torch.Tensor
    corner: torch.Tensor
    distances: torch.Tensor
    start: torch.Tensor
    strides: torch.Tensor

    @classmethod
    def of(cls, labels: LabelDepths, device: torch.device) -> _Tables:
        """Raises torch.cuda.OutOfMemoryError when the distances take more than they may."""
        sizes = [0 if box is None else math.prod((box[1] - box[0]).tolist()) for box in labels.boxes]
        if 2 * sum(sizes) > _MOST_BYTES:
            raise torch.cuda.OutOfMemoryError(f"{2 * sum(sizes)} bytes of distances")
        distances, start, strides = [np.zeros(1, np.float16)], [], []
        at = 1
        for code, box in enumerate(labels.boxes):
            if box is None:
                start.append(0)
                strides.append([0] * labels.codes.ndim)
                continue
            shape = box[1] - box[0]
            stride = np.cumprod([1, *shape[:0:-1]])[::-1]
            distances.append(labels.distance(code).ravel())
            start.append(at - int(box[0] @ stride))
            strides.append(stride.tolist())
            at += distances[-1].size
        tables = (labels.codes, labels.mixed, labels.corner, np.concatenate(distances))
        numbers = (np.array(start, np.int64), np.array(strides, np.int64))
        return cls(*(sent_array(np.ascontiguousarray(one), device) for one in (*tables, *numbers)))

    def depth(
        self, code: torch.Tensor, cell: list[torch.Tensor], corners: list[tuple[int, ...]], weights: list[torch.Tensor]
    ) -> torch.Tensor:
        """How deep points lie in labels: signed distances at the corners of their cells, interpolated."""
        strides = self.strides[code.long()]
        first = self.start[code.long()]
        for axis, along in enumerate(cell):
            first = first + along * strides[..., axis]
        depth = torch.zeros_like(weights[0])
        for corner, weight in zip(corners, weights):
            at = first + sum(strides[..., axis] for axis, upper in enumerate(corner) if upper)
            # Cells of one label alone may lie outside its box, and their depth is not looked at.
            depth = depth + weight * self.distances[at.clamp(0, self.distances.numel() - 1)].float()
        return depth


def _weight(fractions: list[torch.Tensor], corner: tuple[int, ...]) -> torch.Tensor:
    """Of one corner of a cell in linear interpolation."""
    weight = torch.ones_like(fractions[0])
    for fraction, upper in zip(fractions, corner):
        weight = weight * (fraction if upper else 1 - fraction)
    return weight
