"""The box of a grid in which two images have content, and fields brought from that box onto the whole grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..flow.slabs import Box, inside

_CUT = 0.2  # share of a plane that is filled where an image was cut, not where anatomy ends
_LEAST_PLANES = 8
_FAINT = 0.02  # of the images' range: what the blur of interpolation leaves beside an edge
_SURROUNDINGS = 4  # voxels kept around what is visible: more than half a window


@dataclass(frozen=True)
class FieldOfView:
    """A box of a grid.

    Padding ends at a cut through the anatomy, and a similarity that saw the cut would hold it fast against tissue that
    moves through it. Empty surroundings only take time.

    Attributes:
        shape: array shape of the grid.
        start, stop: the box's first plane along each array axis, and the first one behind it.
    """

    shape: tuple[int, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]

    @classmethod
    def of(cls, fixed: torch.Tensor, moving: torch.Tensor) -> FieldOfView:
        """The box of two images (1, 1, *shape) without the planes a grid was padded with, or that are empty in both.

        Constant planes are padding when the first other plane is filled by a fifth or more: all are left out. The empty
        surroundings of a skull-stripped head end in a plane that is nearly empty itself: of those, 4 planes stay. An
        axis on which fewer than 8 planes would be left is not cut.
        """
        shape = tuple(fixed.shape[2:])
        ends = [_ends(fixed, moving, axis) for axis in range(2, fixed.dim())]
        return cls(shape, tuple(low for low, _ in ends), tuple(high for _, high in ends))

    def within(self, box: Box) -> FieldOfView:
        """The part that lies in a box of the grid; an axis on which fewer than 8 planes would be left is not cut."""
        start, stop = list(self.start), list(self.stop)
        for axis, part in enumerate(box):
            low, high = max(start[axis], part.start), min(stop[axis], part.stop)
            if high - low >= _LEAST_PLANES:
                start[axis], stop[axis] = low, high
        return FieldOfView(self.shape, tuple(start), tuple(stop))

    def cut(self, values: torch.Tensor) -> torch.Tensor:
        """What lies inside the box, of values (1, C, *shape) or of values on a finer grid.

        A finer grid shares the corner voxel centres: k (n - 1) + 1 voxels along an axis of n, k a whole number.
        """
        times = [(many - 1) // max(n - 1, 1) for many, n in zip(values.shape[2:], self.shape)]
        return inside(
            values, tuple(slice(k * low, k * (high - 1) + 1) for k, low, high in zip(times, self.start, self.stop))
        )

    def extended(self, values: torch.Tensor) -> torch.Tensor:
        """Values (1, C, *box) on the whole grid, (1, C, *shape): those at the box's border repeated outwards."""
        pads: list[int] = []
        for n, low, high in zip(reversed(self.shape), reversed(self.start), reversed(self.stop)):
            pads += [low, n - high]
        return F.pad(values, pads, mode="replicate") if any(pads) else values


def _ends(fixed: torch.Tensor, moving: torch.Tensor, axis: int) -> tuple[int, int]:
    filled = _shares(fixed, moving, axis, 1e-6)
    content = torch.nonzero(filled > 0).flatten().tolist()
    if not content:
        return 0, len(filled)
    low, high = content[0], content[-1] + 1
    is_cut = [bool(share > _CUT) for share in (filled[low], filled[high - 1])]
    if not all(is_cut):
        shown = torch.nonzero(_shares(fixed, moving, axis, _FAINT) > 0).flatten().tolist() or content
        low = low if is_cut[0] else max(0, shown[0] - _SURROUNDINGS)
        high = high if is_cut[1] else min(len(filled), shown[-1] + 1 + _SURROUNDINGS)
    return (low, high) if high - low >= _LEAST_PLANES else (0, len(filled))


def _shares(fixed: torch.Tensor, moving: torch.Tensor, axis: int, least: float) -> torch.Tensor:
    """Of each plane across an axis the share that exceeds the plane's smallest value by so much, in either image."""
    others = [a for a in range(fixed.dim()) if a != axis]
    counts = [torch.count_nonzero(i > i.amin(others, keepdim=True) + least, others) for i in (fixed, moving)]
    return torch.maximum(*counts) / (fixed.numel() / fixed.shape[axis])
