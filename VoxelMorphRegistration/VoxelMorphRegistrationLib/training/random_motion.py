"""Smooth random velocity fields, as tissue moves."""

from __future__ import annotations

import torch

from ..flow.sampling import identity
from .random_draws import Draw, smooth_noise


def random_velocity(
    shape: tuple[int, ...],
    amplitude: tuple[float, float],
    lengths: tuple[float, float],
    stretch: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """A smooth random velocity field (1, 3, *shape) in voxels: noise of several lengths, at times affine or along an
    axis.

    Args:
        amplitude: bounds of its root mean square, drawn log-uniformly.
        lengths: bounds of the distance over which the noise varies, drawn log-uniformly.
        stretch: the root mean square of its gradient is lowered to this where it is greater.
    """
    draw = Draw(generator)
    rms = draw.log_uniform(*amplitude)
    velocity = torch.zeros(1, 3, *shape, device=generator.device)
    for _ in range(3):
        length = draw.log_uniform(*lengths)
        noise = smooth_noise(shape, length, 3, generator, smoothing=2)
        # Short motions are small ones: the gradient, not the displacement, is of one size in tissue.
        velocity += draw.uniform(0.2, 1.0) * length * noise / _rms(noise)
    velocity /= _rms(velocity)
    if draw.chance(0.5):
        centred = torch.stack([c - (n - 1) / 2 for c, n in zip(identity(shape, velocity.device)[0], shape)])
        matrix = draw.normals(9).view(3, 3)
        linear = torch.einsum("cd,d...->c...", matrix, centred)[None]
        linear = linear / _rms(linear) + draw.uniform(0.0, 1.0) * draw.normals(3).view(1, 3, 1, 1, 1)
        velocity += draw.uniform(0.0, 1.5) * linear
    if draw.chance(0.25):
        # Breathing is mostly along one axis.
        axis = draw.integer(0, 2)
        velocity[:, [c for c in range(3) if c != axis]] *= 0.2
    velocity *= rms / _rms(velocity)
    gradient = sum(float(velocity.diff(dim=axis).pow(2).sum(1).mean()) for axis in (2, 3, 4)) ** 0.5
    return velocity * min(1.0, stretch / max(gradient, 1e-6))


def _rms(field: torch.Tensor) -> torch.Tensor:
    return field.pow(2).sum(1).mean().sqrt().clamp_min(1e-6)
