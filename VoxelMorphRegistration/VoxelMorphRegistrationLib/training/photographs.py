"""What a scanner makes of a synthetic body."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .random_draws import Draw, smooth_noise


@dataclass(frozen=True)
class Scanner:
    """What both images of a pair have in common.

    Attributes:
        voxel: how much larger the scanner's voxels are than those of the grid the images are on and handed back on.
        blur: sigma in voxels; None for one of each image's own.
        most_noise: bound of the noise's standard deviation, as a share of the range.
    """

    voxel: float = 1.0
    blur: float | None = None
    most_noise: float = 0.06


def photograph(image: torch.Tensor, draw: Draw, margin: int, scanner: Scanner) -> torch.Tensor:
    """The image as a scanner of little virtue gives it, cropped to the field of view and scaled to [0, 1]."""
    shape = tuple(image.shape[2:])
    if scanner.blur is not None:
        image = _blur(image, scanner.blur)
    elif draw.chance(0.6):
        image = _blur(image, draw.uniform(0.3, 1.2))
    if draw.chance(0.25):
        axis = draw.integer(0, 2)
        coarse = list(shape)
        coarse[axis] = max(8, int(shape[axis] / draw.uniform(1.5, 4.0)))
        image = F.interpolate(F.interpolate(image, size=coarse, mode="area"), size=shape, mode="trilinear")
    image = crop(image, margin)
    shape = tuple(image.shape[2:])
    if draw.chance(0.5):
        bias = draw.uniform(0.0, 0.3) * smooth_noise(shape, draw.uniform(24.0, 64.0), 1, draw.generator)
        image = image * torch.exp(bias)
    if scanner.voxel > 1.0:
        image = F.interpolate(image, size=[max(8, round(n / scanner.voxel)) for n in shape], mode="area")
    image = image + draw.uniform(0.0, scanner.most_noise) * torch.randn(
        image.shape, generator=draw.generator, device=image.device
    )
    if scanner.voxel > 1.0:
        image = F.interpolate(image, size=shape, mode="trilinear")
    if draw.chance(0.1):
        axis = draw.integer(2, 4)
        width = draw.integer(1, shape[axis - 2] // 4)
        image.narrow(axis, 0 if draw.chance(0.5) else shape[axis - 2] - width, width).fill_(float(image.min()))
    low, high = torch.quantile(image[:, :, ::2, ::2, ::2].reshape(-1), torch.tensor([0.01, 0.99], device=image.device))
    image = ((image - low) / (high - low).clamp_min(1e-3)).clamp(0.0, 1.0)
    return image ** math.exp(draw.uniform(-0.35, 0.35)) if draw.chance(0.4) else image


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    radius = max(1, int(2.5 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[axis + 2] = -1
        padding = [0, 0, 0]
        padding[axis] = radius
        padded = F.pad(image, [p for n in reversed(padding) for p in (n, n)], mode="replicate")
        image = F.conv3d(padded, kernel.view(shape))
    return image


def crop(image: torch.Tensor, margin: int) -> torch.Tensor:
    inner = slice(margin, -margin) if margin else slice(None)
    return image[:, :, inner, inner, inner].contiguous()
