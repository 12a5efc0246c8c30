"""A U-Net's forward pass slab by slab: the same numbers sooner and in less memory, for prediction on a CPU.

A convolution of few channels spends as long on memory that it meets for the first time as on its sums: 24 to 16
channels at 128 x 128 x 64 voxels take up to twice as long whole as in slabs of four slices, which stay in the
processor's cache; a whole registration of such images takes an eighth more time and 1.7 times the memory.
So each level is computed a few slices of the first spatial axis at a time, from what it needs of the level before; its
upsampled and concatenated input is never there as a whole, and a level that nothing is joined with later is pooled and
forgotten. Wide convolutions of large volumes take fewer operations than that (`minimal_filtering`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from .inference import convolved
from .minimal_filtering import SLICES, Filtering
from .slab_sources import Joined, Memory, Stored

_VALUES = 1_600_000  # of a slab's input; of 400,000 to 6 million about the fastest

Activation = Callable[..., Any]  # (values, out=)
Source = Stored | Joined


def leaky(slope: float) -> Activation:
    """LeakyReLU."""
    return partial(_leaky, slope)


def _leaky(slope: float, values: torch.Tensor, out: torch.Tensor) -> None:
    torch.ops.aten.leaky_relu.out(values, slope, out=out)


def _unchanged(values: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(values)


@dataclass(frozen=True)
class Convolution:
    """A 3-wide (or 1-wide) convolution, padded with zeros to keep the shape, and what follows it."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    activation: Activation = _unchanged

    @classmethod
    def of(cls, layer: nn.Module, activation: nn.Module | None) -> Convolution | None:
        """None for a layer that is another one, or followed by another one, than slabs can do."""
        follows = _into(activation)
        if not isinstance(layer, nn.Conv3d) or follows is None:
            return None
        widths = layer.kernel_size
        plain = layer.padding_mode == "zeros" and layer.padding == tuple(width // 2 for width in widths)
        if not plain or widths not in ((3, 3, 3), (1, 1, 1)):
            return None
        if (layer.stride, layer.dilation, layer.groups) != ((1, 1, 1), (1, 1, 1), 1):
            return None
        return cls(layer.weight.detach(), None if layer.bias is None else layer.bias.detach(), follows)

    @property
    def reach(self) -> int:
        """Slices before and after that an outcome depends on."""
        return self.weight.shape[2] // 2


@dataclass(frozen=True)
class SlabUnet:
    """The layers of a U-Net, in the order in which they come.

    Attributes:
        down: of each level from the finest, whose outcome is pooled by 2 (the maximum) and joined in on the way up.
        lowest: at the coarsest level.
        up: of each level that is come up to by upsampling and `cat([upsampled, skip])`, from the coarsest.
        last: at the resolution reached.
        linear: whether upsampling is linear with corners aligned; else nearest.
    """

    down: Sequence[Sequence[Convolution]]
    lowest: Sequence[Convolution]
    up: Sequence[Sequence[Convolution]]
    last: Sequence[Convolution] = field(default_factory=tuple)
    linear: bool = True

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(1, C, *shape) float32 in, (1, outputs, *shape reached) out."""
        memory = Memory()
        x = images
        skips = []
        unused = len(self.down) - len(self.up)
        for level, convolutions in enumerate(self.down):
            skip, x = _to_next_level(x, convolutions, memory, kept=level >= unused)
            if skip is not None:
                skips.append(skip)
        x = _convolved(Stored(x), self.lowest, memory)
        for convolutions in self.up:
            x = _convolved(Joined(x, skips.pop(), self.linear), convolutions, memory)
        x = _convolved(Stored(x), self.last[:-1], memory)
        # In memory of its own, which is not larger than it has to be.
        return _convolved(Stored(x), self.last[-1:], Memory())


def block(layers: nn.Module | None) -> list[Convolution] | None:
    """neurite's block of one convolution and what follows it; None for any other block."""
    named = dict(layers.named_children()) if layers is not None else {}
    if "conv0" not in named or not set(named) <= {"conv0", "activation0"}:
        return None
    found = Convolution.of(named["conv0"], named.get("activation0"))
    return None if found is None else [found]


def _convolved(source: Source, convolutions: Sequence[Convolution], memory: Memory) -> torch.Tensor:
    """One convolution after the other; the first from `source`, the others from the one before."""
    for convolution in convolutions:
        found = memory.empty((1, len(convolution.weight), *source.shape))
        for start, end, values in _slabs(source, convolution):
            convolution.activation(values, out=found[:, :, start:end])
        memory.give_back(source.arrays)
        source = Stored(found)
    return source.whole()


def _to_next_level(
    x: torch.Tensor, convolutions: Sequence[Convolution], memory: Memory, kept: bool
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """A level's outcome, None unless it is to be kept, and the maximum of it of 2 voxels an axis."""
    *before, last = convolutions
    source = Stored(_convolved(Stored(x), before, memory))
    outputs = len(last.weight)
    found = memory.empty((1, outputs, *source.shape)) if kept else None
    pooled = memory.empty((1, outputs, *(n // 2 for n in source.shape)))
    for start, end, values in _slabs(source, last):
        into = values if found is None else found[:, :, start:end]
        last.activation(values, out=into)
        _pool(into, out=pooled[:, :, start // 2 : end // 2])
    memory.give_back(source.arrays)
    return found, pooled


def _slabs(source: Source, convolution: Convolution) -> Iterator[tuple[int, int, torch.Tensor]]:
    """First slice, last slice and values before the activation; the first slice is even."""
    weight, bias, reach = convolution.weight, convolution.bias, convolution.reach
    filtering = Filtering(weight, bias, source.doubled) if Filtering.pays(weight, source.shape) else None
    # Of a slab, filtering has a dozen arrays of a quarter of its size.
    together, values = (2, _VALUES) if filtering is None else (SLICES, _VALUES // 4)
    depth = source.shape[0]
    height = values // (max(weight.shape[:2]) * math.prod(source.shape[1:])) // together * together
    start = 0
    while start < depth:
        end = min(start + max(height, together), depth)
        whole = end - (end - start) % SLICES
        if filtering is not None and whole > start:
            end = whole
            yield start, end, filtering(*source.parts(start - 1, end + 1))
        else:
            slab = source.slab(start - reach, end + reach)
            yield start, end, convolved(slab, weight, bias, (0, reach, reach))
        start = end


def _pool(x: torch.Tensor, out: torch.Tensor) -> None:
    """The maximum of 2 voxels an axis."""
    for axis, n in enumerate(out.shape[2:], 2):
        pairs = x.narrow(axis, 0, 2 * n).unflatten(axis, (n, 2))
        one, other = pairs.unbind(axis + 1)
        x = torch.maximum(one, other) if axis < 4 else torch.maximum(one, other, out=out)


def _into(activation: nn.Module | None) -> Activation | None:
    """The activation, written into an array given; None for one that is not known."""
    activation = getattr(activation, "activation", activation)
    if activation is None or isinstance(activation, nn.Identity):
        return _unchanged
    if isinstance(activation, nn.LeakyReLU):
        return leaky(activation.negative_slope)
    if isinstance(activation, nn.ReLU):
        return partial(torch.clamp, min=0)
    return None
