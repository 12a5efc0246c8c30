"""Simulated acquisition: what a scanner makes of a synthetic body."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .random_draws import Draw, smooth_noise


@dataclass(frozen=True)
class Scanner:
    """What the acquisitions of both images of a pair have in common.

    Attributes:
        voxel: how many times larger the scanner's voxels are than those of the images' grid.
        blur: sigma in voxels; None for one of each image's own.
        most_noise: bound of the noise's standard deviation, as a share of the range.
        slices: axis and thickness in voxels of the slices both are acquired in; None for at times some of each image's
            own.
    """

    voxel: float = 1.0
    blur: float | None = None
    most_noise: float = 0.06
    slices: tuple[int, float] | None = None


def simulate_acquisition(image: torch.Tensor, draw: Draw, margin: int, scanner: Scanner) -> torch.Tensor:
    """The image (1, 1, *shape + 2 margin) as a scanner gives it: (1, 1, *shape), intensities 0 to 1.

    Blurred, at times in thick slices; cropped to the field of view; at times with a bias field; sampled at the
    scanner's voxels, with noise; at times with a cut field of view; the first and last percent clipped; at times with
    another gamma.
    """
    shape = tuple(image.shape[2:])
    if scanner.blur is not None:
        image = _blur(image, scanner.blur)
    elif draw.chance(0.6):
        image = _blur(image, draw.uniform(0.3, 1.2))
    slices = scanner.slices
    if slices is None and draw.chance(0.25):
        slices = draw.integer(0, 2), draw.uniform(1.5, 4.0)
    if slices is not None:
        axis, thickness = slices
        coarse = list(shape)
        coarse[axis] = max(8, int(shape[axis] / thickness))
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
        image.narrow(axis, 0 if draw.chance(0.5) else shape[axis - 2] - width, width).copy_(image.min())
    low, high = torch.quantile(image[:, :, ::2, ::2, ::2].reshape(-1), torch.tensor([0.01, 0.99], device=image.device))
    image = ((image - low) / (high - low).clamp_min(1e-3)).clamp(0.0, 1.0)
    return image ** math.exp(draw.uniform(-0.35, 0.35)) if draw.chance(0.4) else image


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """A 3D image (1, 1, *shape) smoothed by a Gaussian of `sigma` voxels, its border repeated outwards."""
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
    """The inner part of (B, C, *shape), without `margin` voxels beyond every face."""
    inner = slice(margin, -margin) if margin else slice(None)
    return image[:, :, inner, inner, inner].contiguous()
