"""Linear sampling of volumes on a processor, as two 2D samplings.

PyTorch's 2D sampling computes many positions at once (aten/src/ATen/native/cpu/GridSamplerKernel.cpp), its 3D sampling
one after the other: it takes two and a half times as long as two samplings in 2D (Testing/benchmarks/sampling.py). The
slices of a volume are one tall image here, each below the one before. Between two slices both are sampled, and the two
values interpolated.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

_POSITIONS = 65_536  # at a time and thread: what is computed on the way stays in a processor's cache
_FEW = 4000  # positions; of fewer all that has to be started takes longer
_ROUNDING = 1e-7  # of a tall image's rows: by so many is one missed


def is_quicker(image: torch.Tensor, position: torch.Tensor) -> bool:
    """Whether `sample` can take the place of PyTorch's 3D sampling, and is quicker: for many positions in one float32
    volume on a processor.
    """
    if image.dim() != 5 or image.shape[0] != 1 or min(image.shape[2:]) < 2 or image.device.type != "cpu":
        return False
    return image.dtype == position.dtype == torch.float32 and position[0, 0].numel() >= _FEW


def sample(image: torch.Tensor, position: torch.Tensor, padding: str) -> torch.Tensor:
    """Values of an image (1, C, *shape) at positions (1, 3, *out), linear in every axis: (1, C, *out). Differentiable.

    Positions run from -1 at the first voxel centre to 1 at the last, last axis first. Along the second array axis they
    are met within a few 1e-4 voxel where thousands of rows are looked at, for float32 counts them.

    Args:
        padding: what lies outside: 'zeros', or 'border' for the nearest edge voxel.
    """
    threads, out = torch.get_num_threads(), position.shape[2:]
    tall = _Tall(image, padding)
    parts = position.reshape(3, -1).split(threads * _POSITIONS, dim=1)
    return torch.cat([tall.sampled(part, threads) for part in parts], dim=1).view(1, image.shape[1], *out)


class _Tall:
    """A volume (1, C, *shape) as one image (1, C, all rows, columns)."""

    def __init__(self, image: torch.Tensor, padding: str) -> None:
        self._depth, self._height = image.shape[2:4]
        self._padding = padding
        # What lies beyond a slice's first and last row is 0, and not the slice before or after it.
        self._outside = 0 if padding == "border" else 1
        image = F.pad(image, (0, 0, self._outside, self._outside)) if self._outside else image
        self._rows = image.shape[3]  # of a slice
        self._image = image.reshape(1, image.shape[1], -1, image.shape[4])

    def sampled(self, position: torch.Tensor, threads: int) -> torch.Tensor:
        """At positions (3, n): (C, n)."""
        half = (self._depth - 1) / 2
        place = (position[2] * half).add_(half).clamp_(-self._outside, self._depth - 1 + self._outside)
        below = place.detach().floor().clamp_(max=self._depth - 2 + self._outside)
        lowest, highest = (float(each) for each in below.aminmax())
        if math.isnan(lowest):
            return self.sampled(position.nan_to_num(nan=-1.0), threads)
        first, last = max(int(lowest), 0), min(int(highest) + 1, self._depth - 1)
        seen = self._image[:, :, first * self._rows : (last + 1) * self._rows]
        height = seen.shape[2]

        # From the middle of what is seen, where numbers are smallest.
        half = (self._height - 1) / 2
        furthest = half + 1 if self._outside else half - _ROUNDING * height
        share, above = place.sub_(below), below.sub_((first + last) / 2)
        row = (position[1] * half).clamp_(-furthest, furthest).add_(above, alpha=self._rows).mul_(2 / (height - 1))
        lower = self._at(seen, position[0], row, threads)
        upper = self._at(seen, position[0], row.add_(2 * self._rows / (height - 1)), threads)
        return torch.lerp(lower, upper, share)

    def _at(self, seen: torch.Tensor, column: torch.Tensor, row: torch.Tensor, threads: int) -> torch.Tensor:
        """At columns and rows (n,), in parts that PyTorch shares out among threads: (C, n)."""
        count, channels = len(row), seen.shape[1]
        grid = torch.stack([column, row])
        if count % threads:
            grid = F.pad(grid, (0, -count % threads))
        grid = grid.view(2, threads, 1, -1).permute(1, 2, 3, 0)
        found = F.grid_sample(seen.expand(threads, -1, -1, -1), grid, padding_mode=self._padding, align_corners=True)
        return found[:, :, 0].transpose(0, 1).reshape(channels, -1)[:, :count]
