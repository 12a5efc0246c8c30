"""VxmDense, the network of VoxelMorph 0.1 and 0.2, for weights that its TensorFlow and torch versions saved.

The layers and their names follow voxelmorph 0.2 (Apache-2.0), `voxelmorph/torch/networks.py`, so that its `.pt` files
load by key; Balakrishnan et al., VoxelMorph: A Learning Framework for Deformable Medical Image Registration, IEEE TMI
2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .precision import in_float32
from .slab_unet import Convolution, SlabUnet, leaky

DEFAULT_FEATURES = ((16, 32, 32, 32), (32, 32, 32, 32, 32, 16, 16))


class ConvBlock(nn.Module):
    """A 3-wide convolution and LeakyReLU(0.2)."""

    def __init__(self, dimension: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = convolution(dimension, inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return leaky_relu(self.main(x))


class Unet(nn.Module):
    """Encoder with max pooling, decoder with nearest upsampling and `cat([upsampled, skip])`, then more convolutions.

    Args:
        features: (encoder, decoder); decoder entries beyond the encoder's length are convolutions at full resolution.
        convolutions: convolutions a level.
        skipped_upsamplings: the last upsamplings left out; 1 gives an output of half the input's resolution.
    """

    def __init__(
        self,
        dimension: int,
        inputs: int,
        features: tuple[Sequence[int], Sequence[int]],
        convolutions: int = 1,
        skipped_upsamplings: int = 0,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        encoder, decoder = [list(part) for part in features]
        levels = len(encoder) // convolutions
        self.upsamplings = levels - skipped_upsamplings

        channels = inputs
        skips = [inputs]
        self.encoder = nn.ModuleList()
        for level in range(levels):
            blocks, channels = _blocks(dimension, channels, encoder[level * convolutions : (level + 1) * convolutions])
            self.encoder.append(blocks)
            skips.append(channels)

        self.decoder = nn.ModuleList()
        for level in range(levels):
            blocks, channels = _blocks(dimension, channels, decoder[level * convolutions : (level + 1) * convolutions])
            self.decoder.append(blocks)
            if level < self.upsamplings:
                channels += skips[levels - level]

        self.remaining, channels = _blocks(dimension, channels, decoder[len(encoder) :])
        self.outputs = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = F.max_pool3d if self.dimension == 3 else F.max_pool2d
        skips = []
        for blocks in self.encoder:
            x = blocks(x)
            skips.append(x)
            x = pool(x, 2)
        for level, blocks in enumerate(self.decoder):
            x = blocks(x)
            if level < self.upsamplings:
                x = torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()], dim=1)
        return self.remaining(x)


class VxmDense(nn.Module):
    """U-Net and flow convolution: (B, source + target channels, *shape) -> (B, d, *shape / 2**skipped_upsamplings)."""

    def __init__(
        self,
        dimension: int,
        inputs: int = 2,
        features: tuple[Sequence[int], Sequence[int]] = DEFAULT_FEATURES,
        convolutions: int = 1,
        skipped_upsamplings: int = 0,
    ) -> None:
        super().__init__()
        self.unet_model = Unet(dimension, inputs, features, convolutions, skipped_upsamplings)
        self.flow = convolution(dimension, self.unet_model.outputs, dimension)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return in_float32(self.flow, self.unet_model(images))

    def slab_unet(self) -> SlabUnet | None:
        """The same layers to be computed slab by slab; None in two dimensions, and where two upsamplings or more are
        left out.
        """
        unet = self.unet_model
        if unet.dimension != 3 or len(unet.decoder) - unet.upsamplings > 1:
            return None
        down = [_in_slabs(blocks) for blocks in unet.encoder]
        lowest, *up = (_in_slabs(blocks) for blocks in unet.decoder)
        remaining = _in_slabs(unet.remaining)
        flow: Any = self.flow
        last = [Convolution(flow.weight.detach(), _detached(flow.bias))]
        # What follows an upsampling is the next level's convolutions, and after the last one those that remain.
        if unet.upsamplings == len(unet.decoder):
            up.append(remaining)
        else:
            last = [*remaining, *last]
        return SlabUnet(down, lowest, up, last, linear=False)


def convolution(dimension: int, inputs: int, outputs: int) -> nn.Module:
    """A 3-wide convolution, zero-padded to keep the shape."""
    return (nn.Conv3d if dimension == 3 else nn.Conv2d)(inputs, outputs, 3, padding=1)


def leaky_relu(x: torch.Tensor) -> torch.Tensor:
    """LeakyReLU(0.2), in place where no gradient needs the argument: `x` must be a convolution's fresh output."""
    return F.leaky_relu(x, 0.2, inplace=not x.requires_grad)


def _in_slabs(blocks: Any) -> list[Convolution]:
    layers = [block.main for block in blocks]
    return [Convolution(one.weight.detach(), _detached(one.bias), leaky(0.2)) for one in layers]


def _detached(bias: torch.Tensor | None) -> torch.Tensor | None:
    return None if bias is None else bias.detach()


def _blocks(dimension: int, channels: int, features: Sequence[int]) -> tuple[nn.Sequential, int]:
    """One block after the other, none for no features, and the channels that come out."""
    blocks = nn.Sequential()
    for outputs in features:
        blocks.append(ConvBlock(dimension, channels, outputs))
        channels = outputs
    return blocks, channels
