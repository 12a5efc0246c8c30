"""Random numbers and smooth random images, all drawn from one generator."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


class Draw:
    """Random numbers: what is decided from a generator on the CPU, what fills tensors from one on their device.

    Asking a GPU for a single number would wait for all it still has to do. On a CPU both are one generator.

    Args:
        seed: the same one draws the same numbers again, on one device.
        device: where `numbers`, `normals` and `smooth_noise` are.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.decisions = torch.Generator().manual_seed(seed)
        on_cpu = self.device.type == "cpu"
        self.generator = self.decisions if on_cpu else torch.Generator(self.device).manual_seed(seed)

    def state(self) -> torch.Tensor:
        """Of both generators, for a checkpoint."""
        if self.generator is self.decisions:
            return self.decisions.get_state()
        return torch.cat([self.decisions.get_state(), self.generator.get_state()])

    def restore(self, state: torch.Tensor) -> None:
        """Go on from a `state`."""
        length = len(self.decisions.get_state())
        self.decisions.set_state(state.cpu()[:length])
        if self.generator is not self.decisions:
            self.generator.set_state(state.cpu()[length:])

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.decisions))

    def log_uniform(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def integer(self, low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=self.decisions))

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
