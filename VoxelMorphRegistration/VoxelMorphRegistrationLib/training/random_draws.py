"""Random numbers and smooth random images, all drawn from one generator."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


class Draw:
    """Random numbers from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator, device=self.device))

    def log_uniform(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def integer(self, low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=self.generator, device=self.device))

    def chance(self, probability: float) -> bool:
        return self.uniform(0.0, 1.0) < probability

    def numbers(self, count: int) -> torch.Tensor:
        return torch.rand(count, generator=self.generator, device=self.device)

    def normals(self, count: int) -> torch.Tensor:
        return torch.randn(count, generator=self.generator, device=self.device)


def smooth_noise(
    shape: tuple[int, ...], length: float, channels: int, generator: torch.Generator, smoothing: int = 0
) -> torch.Tensor:
    """Noise (1, channels, *shape) that varies over `length` voxels; `smoothing` box filters round its grid off."""
    coarse = [max(2, math.ceil(n / length) + 1) for n in shape]
    noise = torch.randn(1, channels, *coarse, generator=generator, device=generator.device)
    noise = F.interpolate(noise, size=shape, mode="trilinear", align_corners=True)
    width = 2 * int(length / 4) + 1
    for _ in range(smoothing):
        for axis in range(3):
            noise = _box(noise, width, axis)
    return noise


def _box(image: torch.Tensor, width: int, axis: int) -> torch.Tensor:
    padding, window = [0, 0, 0], [1, 1, 1]
    padding[axis], window[axis] = width // 2, width
    padded = F.pad(image, [p for n in reversed(padding) for p in (n, n)], mode="replicate")
    return F.avg_pool3d(padded, window, stride=1)
