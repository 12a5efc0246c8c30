"""Sampling, integration and composition of voxel fields in torch.

Fields are (B, d, *shape) in voxels of their own grid, channel c displaces along array axis c ('ij'), and they pull:
`warped(x) = moving(x + u(x))`. Coordinates are align_corners=True, as in VoxelMorph and neurite, and always float32: in
half precision a coordinate near 200 is quantised to more than a tenth of a voxel.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F

Padding = Literal["zeros", "border"]
_WORTH_SHARING = 20_000  # positions; fewer are sampled sooner than shared out
_INTERPOLATION = {2: "bilinear", 3: "trilinear"}


def identity(shape: tuple[int, ...], device: torch.device | str = "cpu") -> torch.Tensor:
    """Voxel coordinates of a grid of array shape `shape`: float32 (1, d, *shape), channel c along array axis c."""
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def sample(image: torch.Tensor, position: torch.Tensor, padding: Padding = "zeros", mode: str = "bilinear") -> torch.Tensor:
    """Values of `image` (B, C, *shape) at voxel positions (B, d, *out), channel c along array axis c.

    Args:
        padding: what lies outside: 'zeros', or 'border' for the nearest edge voxel.
        mode: 'bilinear' (linear in every axis) or 'nearest'.
    """
    scaled = [position[:, axis].float() * _extent(n) - 1.0 for axis, n in enumerate(image.shape[2:])]
    return sample_normalised(image, torch.stack(scaled[::-1], dim=1), padding, mode)


def warp(image: torch.Tensor, flow: torch.Tensor, padding: Padding = "zeros", mode: str = "bilinear") -> torch.Tensor:
    """`warped(x) = image(x + flow(x))`: image (B, C, *shape), flow (B, d, *shape) in voxels; returns (B, C, *shape)."""
    return sample_normalised(image, normalised_positions(flow, image.shape[2:]), padding, mode)


def normalised_positions(flow: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """x + flow(x) for the voxels x of the flow's grid (B, d, *out), as `sample_normalised` takes them.

    `shape` is that of the array whose voxels the flow counts in.
    """
    moved = []
    for axis, n in enumerate(shape):
        along = torch.arange(flow.shape[2 + axis], dtype=torch.float64) * _extent(n) - 1.0
        along = along.view([-1 if a == axis else 1 for a in range(len(shape))]).to(flow.device, torch.float32)
        moved.append(torch.add(along, flow[:, axis].float(), alpha=_extent(n)))
    return torch.stack(moved[::-1], dim=1)


def sample_normalised(
    image: torch.Tensor, position: torch.Tensor, padding: Padding = "zeros", mode: str = "bilinear"
) -> torch.Tensor:
    """`sample` at positions (B, d, *out) that run from -1 at the first voxel centre to 1 at the last, last axis first."""
    out = tuple(position.shape[2:])
    grid = position.to(image.dtype)
    options = {"mode": mode, "padding_mode": padding, "align_corners": True}
    parts = torch.get_num_threads() if image.device.type == "cpu" and image.shape[0] == 1 else 1
    count = math.prod(out)
    if parts == 1 or count < _WORTH_SHARING:
        return F.grid_sample(image, grid.movedim(1, -1), **options)
    # On a CPU grid_sample shares its work among threads by the batch only: make one of parts of the positions.
    each = -(-count // parts)
    flat = grid.reshape(len(out), count)
    flat = F.pad(flat, (0, parts * each - count)) if count % parts else flat
    flat = flat.view(len(out), parts, *[1] * (len(out) - 1), each).movedim(0, -1)
    sampled = F.grid_sample(image.expand(parts, *image.shape[1:]), flat, **options)
    sampled = sampled.reshape(parts, image.shape[1], each).transpose(0, 1).reshape(1, image.shape[1], -1)
    return sampled[..., :count].view(1, image.shape[1], *out)


def _extent(n: int) -> float:
    """Of a voxel where an axis of n voxels runs from -1 to 1 between its outermost centres; one voxel has no extent."""
    return 2.0 / max(n - 1, 1)


def compose_flows(outer: torch.Tensor, inner: torch.Tensor, padding: Padding = "zeros") -> torch.Tensor:
    """The flow of `x -> outer(inner(x))`, i.e. `inner(x) + outer(x + inner(x))`; both (B, d, *shape), in voxels."""
    return inner + warp(outer, inner, padding)


def integrate(velocity: torch.Tensor, steps: int, padding: Padding = "zeros") -> torch.Tensor:
    """exp(velocity): the displacement (B, d, *shape) after unit time of a stationary velocity field, in voxels.

    Scaling and squaring (Arsigny et al., A Log-Euclidean Framework for Statistics on Diffeomorphisms, MICCAI 2006):
    the velocity is divided by 2**steps and the small displacement composed with itself `steps` times. `padding` is what
    each composition samples outside the grid: 'zeros' in VoxelMorph's torch versions, 'border' in its TensorFlow ones.
    """
    displacement = velocity / (2**steps)
    for _ in range(steps):
        displacement = compose_flows(displacement, displacement, padding)
    return displacement


def integrate_coarsely(velocity: torch.Tensor, steps: int, padding: Padding = "zeros") -> torch.Tensor:
    """`integrate` computed on every second voxel an axis and interpolated: a sixth of the time, for what is not kept."""
    shape = tuple(velocity.shape[2:])
    half = tuple((n + 1) // 2 for n in shape)
    return resize_flow(integrate(resize_flow(velocity, half), steps, padding), shape)


def resize_flow(flow: torch.Tensor, shape: tuple[int, ...], scale: float | tuple[float, ...] | None = None) -> torch.Tensor:
    """The flow on a grid of another array shape, in voxels of that grid.

    The grids share their first and last voxel centres (align_corners=True). VoxelMorph multiplies a half-resolution field
    by exactly 2 and not by (n-1)/(m-1): give `scale=2` for its fields. By default each channel is scaled by the ratio that
    keeps the physical displacement for grids sharing their corner centres.
    """
    dimension = flow.shape[1]
    old = flow.shape[2:]
    if scale is None:
        scale = tuple((n - 1) / max(m - 1, 1) for n, m in zip(shape, old))
    factors = torch.as_tensor(scale, dtype=flow.dtype, device=flow.device).expand(dimension)
    if tuple(old) != tuple(shape):
        flow = F.interpolate(flow, size=tuple(shape), mode=_INTERPOLATION[dimension], align_corners=True)
    return flow * factors.view(1, dimension, *([1] * dimension))
