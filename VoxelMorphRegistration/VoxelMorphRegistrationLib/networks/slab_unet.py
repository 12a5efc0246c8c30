"""A U-Net's forward pass slab by slab: the same numbers sooner and in less memory, for prediction on a CPU.

A convolution of few channels spends as long on memory that it meets for the first time as on its sums: 24 to 16
channels at 128 x 128 x 64 voxels take up to twice as long whole as in slabs of four slices, which stay in the
processor's cache; a whole registration of such images takes an eighth more time and 1.7 times the memory.
So each level is computed a few slices of the first spatial axis at a time, from what it needs of the level before; its
upsampled and concatenated input is never there as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .inference import convolved

_VALUES = 1_600_000  # of a slab's input; of 400,000 to 6 million about the fastest
_LAYOUT = torch.channels_last_3d

Activation = Callable[..., Any]  # (values, out=)
#: Slices first to last of a level's input: (1, C, last - first, J, I), channels last.
Rows = Callable[[int, int], torch.Tensor]


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
        x = images
        skips = []
        for convolutions in self.down:
            x = _convolved(partial(_stored, x), _shape(x), convolutions)
            skips.append(x)
            x = _pooled(x)
        x = _convolved(partial(_stored, x), _shape(x), self.lowest)
        for convolutions in self.up:
            skip = skips.pop()
            x = _convolved(partial(_upsampled, x, skip, self.linear), _shape(skip), convolutions)
        return _convolved(partial(_stored, x), _shape(x), self.last)


def block(layers: nn.Module | None) -> list[Convolution] | None:
    """neurite's block of one convolution and what follows it; None for any other block."""
    named = dict(layers.named_children()) if layers is not None else {}
    if "conv0" not in named or not set(named) <= {"conv0", "activation0"}:
        return None
    found = Convolution.of(named["conv0"], named.get("activation0"))
    return None if found is None else [found]


def _shape(x: torch.Tensor) -> tuple[int, ...]:
    return tuple(x.shape[2:])


def _stored(x: torch.Tensor, first: int, last: int) -> torch.Tensor:
    return x[:, :, first:last]


def _upsampled(coarse: torch.Tensor, skip: torch.Tensor, linear: bool, first: int, last: int) -> torch.Tensor:
    """Slices of `cat([upsampled, skip])`."""
    plane = tuple(skip.shape[3:])
    numbers = torch.arange(first, last)
    if linear:
        position = numbers.double() * ((coarse.shape[2] - 1) / max(skip.shape[2] - 1, 1))
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
    joined = _empty((1, coarse.shape[1] + skip.shape[1], last - first, *plane))
    joined[0, : coarse.shape[1]] = pictures.transpose(0, 1)
    joined[:, coarse.shape[1] :] = skip[:, :, first:last]
    return joined


def _convolved(rows: Rows, shape: tuple[int, ...], convolutions: Sequence[Convolution]) -> torch.Tensor:
    """One convolution after the other; the first from `rows` of its input, the others from the one before."""
    found: torch.Tensor | None = None
    for convolution in convolutions:
        found = _one(rows, shape, convolution)
        rows = partial(_stored, found)
    return rows(0, shape[0]) if found is None else found


def _one(rows: Rows, shape: tuple[int, ...], convolution: Convolution) -> torch.Tensor:
    outputs, inputs = convolution.weight.shape[:2]
    reach = convolution.reach
    found = _empty((1, outputs, *shape))
    height = max(1, _VALUES // (max(inputs, outputs) * math.prod(shape[1:])))
    for start in range(0, shape[0], height):
        end = min(start + height, shape[0])
        first, last = max(0, start - reach), min(shape[0], end + reach)
        missing = (first - (start - reach), end + reach - last)
        slab = rows(first, last)
        if any(missing):
            slab = F.pad(slab, (0, 0, 0, 0, *missing))
        values = convolved(slab, convolution.weight, convolution.bias, (0, reach, reach))
        convolution.activation(values, out=found[:, :, start:end])
    return found


def _pooled(x: torch.Tensor) -> torch.Tensor:
    """The maximum of 2 voxels an axis, slab by slab as pictures of pairs of slices."""
    shape = _shape(x)
    found = _empty((1, x.shape[1], *(n // 2 for n in shape)))
    height = max(1, _VALUES // (2 * x.shape[1] * math.prod(shape[1:])))
    for start in range(0, shape[0] // 2, height):
        end = min(start + height, shape[0] // 2)
        pairs = torch.maximum(x[0, :, 2 * start : 2 * end : 2], x[0, :, 2 * start + 1 : 2 * end : 2])
        pictures = F.max_pool2d(pairs.transpose(0, 1).contiguous(memory_format=torch.channels_last), 2)
        found[0, :, start:end] = pictures.transpose(0, 1)
    return found


def _empty(shape: Sequence[int]) -> torch.Tensor:
    return torch.empty(tuple(shape), memory_format=_LAYOUT)


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
