"""Composition, integration and resampling of voxel fields in torch; conventions as in `sampling`."""

from __future__ import annotations

import torch

from .filters import box_smoothed, resized
from .sampling import Padding, warp
from .transfers import constant


def compose_flows(
    outer: torch.Tensor | None, inner: torch.Tensor, padding: Padding = "zeros", quick: bool = False
) -> torch.Tensor:
    """The flow of `x -> outer(inner(x))`, i.e. `inner(x) + outer(x + inner(x))`; both (B, d, *shape), in voxels.

    `outer` may be None for the identity: then it is `inner`. `quick`: as `sampling.warp` has it.
    """
    return inner if outer is None else inner + warp(outer, inner, padding, quick=quick)


def integrate(velocity: torch.Tensor, squarings: int, padding: Padding = "zeros", quick: bool = False) -> torch.Tensor:
    """exp(velocity): the displacement (B, d, *shape) after unit time of a stationary velocity field, in voxels.

    Scaling and squaring (Arsigny et al., A Log-Euclidean Framework for Statistics on Diffeomorphisms, MICCAI 2006): the
    velocity is divided by 2**squarings and the small displacement composed with itself `squarings` times.

    Args:
        velocity: (B, d, *shape), in voxels, channel c along array axis c.
        padding: what each composition samples outside the grid: 'zeros' in VoxelMorph's torch versions, 'border' in its
            TensorFlow ones.
        quick: for what is not handed out; see `sampling.sample_normalised`.
    """
    displacement = velocity / (2**squarings)
    for _ in range(squarings):
        displacement = compose_flows(displacement, displacement, padding, quick)
    return displacement


def integrate_coarsely(velocity: torch.Tensor, squarings: int, padding: Padding = "zeros") -> torch.Tensor:
    """`integrate` on a grid of half as many voxels an axis, interpolated linearly back to (B, d, *shape).

    A tenth of the time, for displacements that are not handed out.
    """
    shape = tuple(velocity.shape[2:])
    half = tuple((n + 1) // 2 for n in shape)
    return resize_flow(integrate(resize_flow(velocity, half), squarings, padding, quick=True), shape)


def logarithm(displacement: torch.Tensor, padding: Padding = "zeros", rounds: int = 8) -> torch.Tensor:
    """A velocity whose exponential is about the displacement, smoothed: v <- v + (u - exp(v)), to first order.

    Both (B, d, *shape), in voxels. Between the rounds the velocity is averaged over 3 voxels an axis: a displacement
    that folds has no logarithm, and what comes back does not fold.
    """
    velocity = displacement
    for number in range(rounds):
        velocity = velocity + (displacement - integrate(velocity, 6, padding, quick=True))
        if number < rounds - 1:
            velocity = box_smoothed(velocity)
    return velocity


def resize_flow(
    flow: torch.Tensor, shape: tuple[int, ...], scale: float | tuple[float, ...] | None = None
) -> torch.Tensor:
    """A flow (B, d, *any) resampled linearly on a grid of another array shape, (B, d, *shape), in voxels of that grid.

    The grids share their first and last voxel centres (align_corners=True). VoxelMorph multiplies a half-resolution
    field by exactly 2 and not by (n-1)/(m-1): give `scale=2` for its fields. By default each channel is scaled by the
    ratio that keeps the physical displacement for grids sharing their corner centres.
    """
    dimension = flow.shape[1]
    old = flow.shape[2:]
    if scale is None:
        scale = tuple((n - 1) / max(m - 1, 1) for n, m in zip(shape, old))
    scales = tuple(scale) if isinstance(scale, (tuple, list)) else (scale,) * dimension
    factors = constant(flow.device, _factors, *scales).to(flow.dtype)
    return resized(flow, shape) * factors.view(1, dimension, *([1] * dimension))


def _factors(*scales: float) -> torch.Tensor:
    return torch.tensor(scales, dtype=torch.float64)
