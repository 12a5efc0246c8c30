"""Sampling, integration and composition of voxel fields in torch.

Fields are (B, d, *shape) in voxels of their own grid, channel c displaces along array axis c ('ij'), and they pull:
`warped(x) = moving(x + u(x))`. Coordinates are align_corners=True, as in VoxelMorph and neurite, and always float32: in
half precision a coordinate near 200 is quantised to more than a tenth of a voxel.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from . import trilinear
from .transfers import constant

Padding = Literal["zeros", "border"]
_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
_WORTH_SHARING = 20_000  # positions; fewer are sampled sooner than shared out


def identity(shape: tuple[int, ...], device: torch.device | str = "cpu") -> torch.Tensor:
    """Voxel coordinates of a grid of array shape `shape`: float32 (1, d, *shape), channel c along array axis c."""
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def affine_over(linear: np.ndarray, offset: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    """linear @ n + offset at every array index n of `shape`: float32 (len(offset), *shape)."""
    channels = []
    for row, start in zip(linear, offset):
        total = torch.full([1] * len(shape), float(start), dtype=torch.float64)
        for axis, count in enumerate(shape):
            view = [1] * len(shape)
            view[axis] = count
            total = total + (torch.arange(count, dtype=torch.float64) * float(row[axis])).view(view)
        channels.append(total.float())
    return torch.stack(channels)


def sample(
    image: torch.Tensor, position: torch.Tensor, padding: Padding = "zeros", mode: str = "bilinear"
) -> torch.Tensor:
    """Values of `image` (B, C, *shape) at voxel positions (B, d, *out), channel c along array axis c.

    Args:
        padding: what lies outside: 'zeros', or 'border' for the nearest edge voxel.
        mode: 'bilinear' (linear in every axis) or 'nearest'.
    """
    scaled = [position[:, axis].float() * extent(n) - 1.0 for axis, n in enumerate(image.shape[2:])]
    return sample_normalised(image, torch.stack(scaled[::-1], dim=1), padding, mode)


def warp(
    image: torch.Tensor, flow: torch.Tensor, padding: Padding = "zeros", mode: str = "bilinear", quick: bool = False
) -> torch.Tensor:
    """`warped(x) = image(x + flow(x))`: image (B, C, *shape), flow (B, d, *shape) in voxels; returns (B, C, *shape).

    Args:
        padding, mode: as `sample` has them.
        quick: for what is not handed out; see `sample_normalised`.
    """
    return sample_normalised(image, normalised_positions(flow, image.shape[2:]), padding, mode, quick)


def averaged(values: torch.Tensor, factor: int, stride: int | None = None) -> torch.Tensor:
    """The means of values (B, C, *shape) over `factor` voxels an axis, in steps of as many or of `stride`."""
    return values if factor == 1 else _POOL[values.dim() - 2](values, factor, stride or factor)


def warp_averaged(image: torch.Tensor, flow: torch.Tensor, factor: int, padding: Padding = "zeros") -> torch.Tensor:
    """About `averaged(warp(image, fine flow), factor)`, with one sample for each of the means.

    An average of neighbours is what interpolation has between its means: it is sampled where the middle of each cell
    is pulled from, as if the cell moved whole.

    Args:
        image: (B, C, *shape).
        flow: (B, d, *shape / factor), in voxels of its own grid, whose cells hold `factor` voxels an axis.
    """
    means = averaged(image, factor, stride=1)
    return sample_normalised(means, normalised_positions(flow, means.shape[2:], factor), padding, quick=True)


def normalised_positions(flow: torch.Tensor, shape: tuple[int, ...], stride: int = 1) -> torch.Tensor:
    """x + flow(x) for the voxels x of the flow's grid (B, d, *out), as `sample_normalised` takes them.

    `shape` is that of the array that is sampled, `stride` how many of its voxels each of the flow's grid is long, in
    which the flow counts; the first voxel centres lie on each other.
    """
    moved = []
    for axis, n in enumerate(shape):
        step = stride * extent(n)
        along = constant(flow.device, _ramp, flow.shape[2 + axis], step)
        along = along.view([-1 if a == axis else 1 for a in range(len(shape))])
        moved.append(torch.add(along, flow[:, axis].float(), alpha=step))
    return torch.stack(moved[::-1], dim=1)


def sample_normalised(
    image: torch.Tensor,
    position: torch.Tensor,
    padding: Padding = "zeros",
    mode: str = "bilinear",
    quick: bool = False,
) -> torch.Tensor:
    """`sample` at positions (B, d, *out) that run from -1 at the first voxel centre to 1 at the last, last axis
    first.

    Args:
        quick: whether a processor may miss a position by some 1e-4 voxel, for two fifths of the time: see `trilinear`.
    """
    out = tuple(position.shape[2:])
    grid = position.to(image.dtype)
    if quick and mode == "bilinear" and trilinear.is_quicker(image, grid):
        return trilinear.sample(image, grid, padding)
    grid_sample = partial(F.grid_sample, mode=mode, padding_mode=padding, align_corners=True)
    parts = torch.get_num_threads() if image.device.type == "cpu" and image.shape[0] == 1 else 1
    count = math.prod(out)
    if parts == 1 or count < _WORTH_SHARING:
        return grid_sample(image, grid.movedim(1, -1))
    # On a CPU grid_sample shares its work among threads by the batch only: make one of parts of the positions.
    each = -(-count // parts)
    flat = grid.reshape(len(out), count)
    flat = F.pad(flat, (0, parts * each - count)) if count % parts else flat
    flat = flat.view(len(out), parts, *[1] * (len(out) - 1), each).movedim(0, -1)
    sampled = grid_sample(image.expand(parts, *image.shape[1:]), flat)
    sampled = sampled.reshape(parts, image.shape[1], each).transpose(0, 1).reshape(1, image.shape[1], -1)
    return sampled[..., :count].view(1, image.shape[1], *out)


def _ramp(count: int, step: float) -> torch.Tensor:
    """-1 and `count` - 1 steps on, float32 of exact numbers."""
    return (torch.arange(count, dtype=torch.float64) * step - 1.0).float()


def extent(n: int) -> float:
    """Of a voxel where an axis of n voxels runs from -1 to 1 between its outermost centres; one voxel has no extent."""
    return 2.0 / max(n - 1, 1)
