"""The networks of the 2018 papers: a U-Net that comes down by strides instead of pooling.

Balakrishnan et al., An Unsupervised Learning Model for Deformable Medical Image Registration, CVPR 2018 (a displacement
at full resolution) and Dalca et al., Unsupervised Learning for Fast Probabilistic Diffeomorphic Registration, MICCAI
2018 (mean velocity at half resolution).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .dense import convolution, leaky_relu
from .precision import in_float32


class StridedConvolution(nn.Module):
    """A 3-wide convolution of stride 2 with TensorFlow's `same` padding.

    For an even size TensorFlow pads nothing before and one after; torch's symmetric `padding=1` samples the image
    half a coarse voxel elsewhere.
    """

    def __init__(self, dimension: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = (nn.Conv3d if dimension == 3 else nn.Conv2d)(inputs, outputs, 3, stride=2)
        self.padding = (0, 1) * dimension

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.main(F.pad(x, self.padding))


class StridedUnet(nn.Module):
    """(B, 2, *shape) -> (B, d, *shape), or half that resolution without the last upsampling.

    Args:
        features: (encoder, decoder). Decoder: the bottleneck, one entry for each skip but the last, one more
            convolution at half resolution, and (with `full_resolution`) one or more after the skip from the images.
    """

    def __init__(
        self,
        dimension: int,
        features: tuple[Sequence[int], Sequence[int]],
        inputs: int = 2,
        full_resolution: bool = True,
    ) -> None:
        super().__init__()
        encoder, decoder = features
        levels = len(encoder)
        channels = [inputs, *encoder]
        self.full_resolution = full_resolution
        self.encoder = nn.ModuleList(
            StridedConvolution(dimension, channels[level], channels[level + 1]) for level in range(levels)
        )
        self.decoder = nn.ModuleList()
        previous = channels[-1]
        for position, outputs in enumerate(decoder):
            self.decoder.append(convolution(dimension, previous, outputs))
            skip = self._skip_after(position)
            previous = outputs + (channels[skip] if skip is not None else 0)
        self.flow = convolution(dimension, previous, dimension)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        levels = [images]
        for strided in self.encoder:
            levels.append(leaky_relu(strided(levels[-1])))
        x = levels[-1]
        for position, conv in enumerate(self.decoder):
            x = leaky_relu(conv(x))
            skip = self._skip_after(position)
            if skip is not None:
                x = torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), levels[skip]], dim=1)
        return in_float32(self.flow, x)

    def _skip_after(self, position: int) -> int | None:
        """The encoder level (0: the images) joined in, after upsampling, behind decoder convolution `position`."""
        levels = len(self.encoder)
        if position < levels - 1:
            return levels - 1 - position
        # Two convolutions are at half resolution, and only then comes the way up to the images' own.
        return 0 if self.full_resolution and position == levels else None
