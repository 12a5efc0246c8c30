"""The box of a grid around what counts, in which a field is found in full detail; elsewhere it is a coarser one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F

from . import sampling
from .integration import integrate
from .sampling import Padding
from .slabs import Box, box_of, inside

# Voxels around what counts, and how many of them the one field takes to become the other. With 4 hearts gain most over
# a whole image (Testing/benchmarks/detail.py); livers, lungs and a CT that breathes end as well with 2 to 12.
_MARGIN, _BLEND = 4, 4
_MOST = 0.7  # of the grid; a larger box saves next to nothing
_COARSER = 2  # voxels an axis, for finding the box: an eighth of the time
_SOME = 0.01  # of a voxel; less is rounding
_LARGEST = {2: F.max_pool2d, 3: F.max_pool3d}


@dataclass(frozen=True)
class Surroundings:
    """A box of a grid of array shape `shape`."""

    shape: tuple[int, ...]
    box: Box

    @classmethod
    def of(cls, counting: torch.Tensor, displacement: torch.Tensor, margin: int = _MARGIN) -> Surroundings | None:
        """Around where what counts comes to lie; None where that is nowhere on the grid, or nearly everywhere.

        Args:
            counting: (1, 1, *shape), not zero where the moving image counts.
            displacement: (1, d, *shape), in voxels; it pulls.
            margin: how far around it, in voxels.
        """
        shape = tuple(counting.shape[2:])
        coarse = _LARGEST[len(shape)](counting, _COARSER, ceil_mode=True)
        every = inside(displacement, (slice(None, None, _COARSER),) * len(shape)) / _COARSER
        found = box_of(sampling.warp(coarse, every)[0, 0] > _SOME)
        if found is None:
            return None
        box = tuple(slice(_COARSER * part.start, min(_COARSER * part.stop, n)) for part, n in zip(found, shape))
        return cls(shape, box).grown(margin).unless_most()

    def unless_most(self) -> Surroundings | None:
        """The same; None where it is nearly all of the grid."""
        return None if self.share > _MOST else self

    @property
    def share(self) -> float:
        """Of the grid that the box holds."""
        return math.prod(part.stop - part.start for part in self.box) / math.prod(self.shape)

    def grown(self, voxels: int) -> Surroundings:
        """With so many voxels more on every side, as far as the grid reaches."""
        box = (slice(max(0, part.start - voxels), min(n, part.stop + voxels)) for part, n in zip(self.box, self.shape))
        return Surroundings(self.shape, tuple(box))

    def cut(self, values: torch.Tensor) -> torch.Tensor:
        """What lies in the box, of values (B, C, *shape)."""
        return inside(values, self.box)

    def joined(self, coarse: torch.Tensor, detailed: torch.Tensor) -> torch.Tensor:
        """A coarse field (B, d, *shape) that becomes a detailed one (B, d, *box) towards the middle of the box."""
        whole = coarse.clone()
        self.cut(whole).lerp_(detailed, self._share.to(coarse.device))
        return whole

    def integrated(
        self, velocity: torch.Tensor, coarse: torch.Tensor, squarings: int, padding: Padding
    ) -> torch.Tensor:
        """`integrate` in the box, and around it a displacement that is known already; all (B, d, *shape)."""
        wider = self.grown(math.ceil(float(self.cut(coarse).abs().max())))  # a way that starts in the box ends in this
        exact = integrate(wider.cut(velocity).contiguous(), squarings, padding)
        within = tuple(
            slice(part.start - more.start, part.stop - more.start) for part, more in zip(self.box, wider.box)
        )
        return self.joined(coarse, inside(exact, within))

    def weights(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """1 in the box, passing into 0 at its sides: (1, 1, *shape)."""
        none = torch.zeros((1, 1, *self.shape), device=device)
        return self.joined(none, torch.ones_like(self.cut(none)))

    @cached_property
    def _share(self) -> torch.Tensor:
        """Of the detailed field, (*box): 1 but for what is near a side of the box that is none of the grid."""
        share = torch.ones([part.stop - part.start for part in self.box])
        for axis, (part, n) in enumerate(zip(self.box, self.shape)):
            index = torch.arange(part.start, part.stop, dtype=torch.float32) + 0.5
            near = torch.full_like(index, _BLEND)
            if part.start > 0:
                near = torch.minimum(near, index - part.start)
            if part.stop < n:
                near = torch.minimum(near, part.stop - index)
            share *= (near / _BLEND).view([-1 if a == axis else 1 for a in range(share.dim())])
        return share
