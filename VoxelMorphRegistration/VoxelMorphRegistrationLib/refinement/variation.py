"""A velocity that follows the LNCC force of one resolution while the whole displacement varies little.

Organs slide along the body wall: smoothness that is squared drags what is still along with what moves, or holds back
what moves. Total variation lets a displacement jump along a surface at the same price as a ramp (Vishnevskiy et al.,
Isotropic total variation regularization of displacements in parametric image registration, TMI 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..flow import integration
from ..flow.filters import apply_separable, gaussian_matrices
from ..flow.sampling import Padding
from .adam import Adam
from .forces import Force
from .levels import Lattice

_EDGE = 0.05  # gradients of the displacement below this are smoothed quadratically
_LAST_STEP = 0.2  # of the first


@dataclass(frozen=True)
class Fit:
    """How a velocity is fitted at one resolution. Lengths are voxels of the velocity's grid.

    Attributes:
        step: what a voxel moves in an update at first; a fifth of it in the last.
        variation: weight of the total variation against the sum of the force over the images' voxels.
        smoothing: sigma of the Gaussian through which the velocity is seen.
        still: as `Adam` has it.
        integrates: whether a velocity is fitted; else a displacement, which may fold and takes two thirds of the time.
    """

    step: float
    variation: float
    smoothing: float
    still: float = 0.0
    integrates: bool = True


def variation_gradient(field: torch.Tensor) -> torch.Tensor:
    """The derivative of the SUM of sqrt(|gradient|^2 + edge^2) by the field (1, d, *shape): minus a divergence."""
    differences = _differences(field)
    inverse = (_squared_gradient(differences) + _EDGE**2).rsqrt_()
    gradient = torch.zeros_like(field)
    for axis, difference in enumerate(differences, start=2):
        flux = difference * inverse
        gradient -= flux
        count = flux.shape[axis] - 1
        gradient.narrow(axis, 1, count).add_(flux.narrow(axis, 0, count))
    return gradient


def fitted(
    force: Force,
    before: torch.Tensor,
    updates: int,
    fit: Fit,
    padding: Padding,
    progress: Callable[[], None] | None = None,
) -> torch.Tensor:
    """The velocity (or displacement) (1, d, *shape), in voxels, that comes after a displacement and makes the images
    more similar.

    Adam on minus the similarity plus the total variation of before + velocity.

    Args:
        force: between the images as pulled by `before` already.
        before: the displacement so far (1, d, *shape), in voxels of the velocity's grid.
        progress: called after each update.
    """
    shape, seen = tuple(before.shape[2:]), force.shape
    device = before.device
    lattice = Lattice(seen, shape, device)
    gaussian = gaussian_matrices(shape, fit.smoothing, device)
    # A force is per voxel of the images: here their sum by the displacement in voxels of the velocity's grid.
    ratio = [(n - 1) / max(m - 1, 1) for n, m in zip(seen, shape)]
    scale = math.prod(seen) * torch.tensor(ratio, device=device).view(1, -1, *[1] * len(shape))
    parameters = torch.zeros_like(before)
    adam = Adam(parameters, fit.still)
    for number in range(1, updates + 1):
        velocity = apply_separable(parameters, gaussian)
        displacement = velocity
        if fit.integrates:
            displacement = integration.integrate(velocity, squarings_for(velocity), padding, quick=True)
        _, ascent = force(displacement, lattice)
        descent = fit.variation * variation_gradient(before + velocity) - scale * ascent
        size = fit.step * (1 - (1 - _LAST_STEP) * (number - 1) / updates)
        adam.step(apply_separable(descent, gaussian), size)
        if progress is not None:
            progress()
    return apply_separable(parameters, gaussian)


def squarings_for(velocity: torch.Tensor) -> int:
    """Enough squarings that the first displacement of a velocity stays below two voxels, on the way to an optimum."""
    return max(1, math.ceil(math.log2(max(float(velocity.abs().max()), 1e-3))) - 1)


def _differences(field: torch.Tensor) -> list[torch.Tensor]:
    """Forward differences along each axis, 0 at its end: (1, d, *shape) each."""
    axes = range(2, field.dim())
    return [field.diff(dim=a, append=field.narrow(a, field.shape[a] - 1, 1)) for a in axes]


def _squared_gradient(differences: list[torch.Tensor]) -> torch.Tensor:
    """(1, 1, *shape), over axes and channels."""
    total = torch.zeros_like(differences[0][:, :1])
    for difference in differences:
        total = total + difference.square().sum(1, keepdim=True)
    return total
