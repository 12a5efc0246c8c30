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
    draw: Draw,
) -> torch.Tensor:
    """A smooth random velocity field (1, 3, *shape) in voxels: noise of several lengths, at times affine or along an
    axis.

    Args:
        amplitude: bounds of its root mean square, drawn log-uniformly.
        lengths: bounds of the distance over which the noise varies, drawn log-uniformly.
        stretch: the root mean square of its gradient is lowered to this where it is greater.
    """
    rms = draw.log_uniform(*amplitude)
    velocity = torch.zeros(1, 3, *shape, device=draw.device)
    for _ in range(3):
        length = draw.log_uniform(*lengths)
        noise = smooth_noise(shape, length, 3, draw.generator, smoothing=2)
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
    squared = [velocity.diff(dim=axis).pow(2).sum(1).mean() for axis in (2, 3, 4)]
    gradient = torch.stack(squared).sum().sqrt()
    return velocity * (stretch / gradient.clamp_min(1e-6)).clamp_max(1.0)


def sliding_displacement(shape: tuple[int, ...], amplitude: tuple[float, float], draw: Draw) -> torch.Tensor:
    """A displacement (1, 3, *shape) in voxels that is broken along a surface: one part slides past the other.

    The surface runs parallel to one axis, along which the part within moves by a length that changes slowly on the way,
    as liver and lung move behind the wall of the body: no tissue opens or overlaps across it.

    Args:
        amplitude: bounds of the greatest length, drawn log-uniformly; either way along the axis.
    """
    axis = draw.integer(0, 2)
    section = list(shape)
    section[axis] = 1
    across = smooth_noise(tuple(section), draw.uniform(16.0, 40.0), 1, draw.generator)
    within = across > draw.uniform(-0.5, 0.5)
    length = draw.log_uniform(*amplitude) * (1.0 if draw.chance(0.5) else -1.0)
    line = [1] * len(shape)
    line[axis] = shape[axis]
    # Squeezed by a tenth at most on the way: more than that would fold where the length is large.
    along = smooth_noise(tuple(line), draw.uniform(24.0, 64.0), 1, draw.generator)
    most = min(1.0, 2.0 / abs(length))
    along = length * (1.0 - 0.5 * most * torch.sigmoid(along))
    displacement = torch.zeros(1, 3, *shape, device=draw.device)
    displacement[:, axis : axis + 1] = torch.where(within, along, torch.zeros_like(along))
    return displacement


def _rms(field: torch.Tensor) -> torch.Tensor:
    return field.pow(2).sum(1).mean().sqrt().clamp_min(1e-6)
