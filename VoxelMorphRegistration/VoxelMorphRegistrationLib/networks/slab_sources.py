"""What a convolution of a U-Net sees, slab by slab: an array, or one upsampled by 2 and joined with another; and the
memory that such arrays lie in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F

_LAYOUT = torch.channels_last_3d


@dataclass(frozen=True)
class Stored:
    """An array (1, C, *shape)."""

    x: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[2:])

    @property
    def channels(self) -> int:
        return self.x.shape[1]

    @property
    def arrays(self) -> tuple[torch.Tensor, ...]:
        return (self.x,)

    @property
    def doubled(self) -> int:
        """How many of the channels, the first ones, `parts` gives at half the resolution."""
        return 0

    def whole(self) -> torch.Tensor:
        return self.x

    def slab(self, first: int, last: int) -> torch.Tensor:
        """Slices first to last, channels last; zeros where there are none."""
        return _slices(self.x, first, last)

    def parts(self, first: int, last: int) -> tuple[torch.Tensor, ...]:
        """The same slices of the other channels, and, if any is, those that the `doubled` are upsampled from. Both
        numbers are odd.
        """
        return (self.slab(first, last),)


@dataclass(frozen=True)
class Joined:
    """`cat([upsampled, skip])`: (1, c, *coarse shape) and (1, C, *shape).

    Attributes:
        linear: whether upsampling is linear with corners aligned; else nearest.
    """

    coarse: torch.Tensor
    skip: torch.Tensor
    linear: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.skip.shape[2:])

    @property
    def channels(self) -> int:
        return self.coarse.shape[1] + self.skip.shape[1]

    @property
    def arrays(self) -> tuple[torch.Tensor, ...]:
        return (self.coarse, self.skip)

    @property
    def doubled(self) -> int:
        twice = all(n == 2 * half for n, half in zip(self.shape, self.coarse.shape[2:], strict=True))
        return self.coarse.shape[1] if twice and not self.linear else 0

    def whole(self) -> torch.Tensor:
        return self.slab(0, self.shape[0])

    def slab(self, first: int, last: int) -> torch.Tensor:
        start, end = max(first, 0), min(last, self.shape[0])
        joined = torch.empty((1, self.channels, end - start, *self.shape[1:]), memory_format=_LAYOUT)
        joined[:, : self.coarse.shape[1]] = self._upsampled(start, end)
        joined[:, self.coarse.shape[1] :] = self.skip[:, :, start:end]
        return _slices(joined, first - start, last - start)

    def parts(self, first: int, last: int) -> tuple[torch.Tensor, ...]:
        if not self.doubled:
            return (self.slab(first, last),)
        return _slices(self.skip, first, last), _slices(self.coarse, first // 2, last // 2 + 1)

    def _upsampled(self, first: int, last: int) -> torch.Tensor:
        coarse, depth, plane = self.coarse, self.shape[0], self.shape[1:]
        numbers = torch.arange(first, last)
        if self.linear:
            position = numbers.double() * ((coarse.shape[2] - 1) / max(depth - 1, 1))
            before = position.long().clamp_(max=max(coarse.shape[2] - 2, 0))
            share = (position - before).float().view(1, 1, -1, 1, 1)
            after = (before + 1).clamp_(max=coarse.shape[2] - 1)
            chosen = torch.lerp(coarse[:, :, before], coarse[:, :, after], share)
            resize = partial(F.interpolate, size=plane, mode="bilinear", align_corners=True)
        else:
            chosen = coarse[:, :, numbers // 2]
            resize = partial(F.interpolate, size=plane, mode="nearest")
        # The slices as a batch of pictures: the layout in memory is the same.
        pictures = resize(chosen[0].transpose(0, 1).contiguous(memory_format=torch.channels_last))
        return pictures.transpose(0, 1)[None]


@dataclass
class Memory:
    """Memory of arrays that are no longer needed, for those to come: that of 100 MB met for the first time takes as
    long as a tenth of a convolution that fills it.
    """

    _own: dict[int, torch.Tensor] = field(default_factory=dict)
    _free: list[torch.Tensor] = field(default_factory=list)

    def empty(self, shape: Sequence[int]) -> torch.Tensor:
        """(1, C, *shape), channels last."""
        batch, channels, *spatial = shape
        size = math.prod(shape)
        fitting = [one for one in self._free if one.numel() >= size]
        if fitting:
            flat = min(fitting, key=torch.Tensor.numel)
            self._free = [one for one in self._free if one is not flat]
        else:
            flat = torch.empty(size)
            self._own[flat.data_ptr()] = flat
        return flat[:size].view(batch, *spatial, channels).permute(0, 4, 1, 2, 3)

    def give_back(self, arrays: Sequence[torch.Tensor]) -> None:
        """Those that came from here may be written over."""
        self._free += [self._own[x.data_ptr()] for x in arrays if x.data_ptr() in self._own]


def _slices(x: torch.Tensor, first: int, last: int) -> torch.Tensor:
    start, end = max(first, 0), min(last, x.shape[2])
    slab = x[:, :, start:end]
    if (start, end) != (first, last):
        slab = F.pad(slab, (0, 0, 0, 0, start - first, last - end))
    return slab.contiguous(memory_format=_LAYOUT)
