"""What training minimises. Fields are (B, 3, *shape) in voxels; every loss is a scalar tensor."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..flow.integration import integrate, resize_flow
from ..flow.sampling import identity, sample
from ..flow.similarity import LocalCorrelation
from ..flow.slabs import inside
from .synthesis import Pair


class Loss(NamedTuple):
    """What one update minimises.

    Attributes:
        total: scalar, to be differentiated.
        parts: scalars it is made of, by the names they have in a log, without gradient. They stay on their device:
            reading one would wait for it.
    """

    total: torch.Tensor
    parts: dict[str, torch.Tensor]


def displacement_error(displacement: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Smooth L1 distance to the true displacement in units of 1 + its own size, averaged with weights (B, 1, *shape):
    (B,).

    Without that unit the largest motions, which a network cannot find at first, drown out what it could learn.
    """
    axes = tuple(range(1, truth.dim()))
    error = F.smooth_l1_loss(displacement, truth, reduction="none").mean(1, keepdim=True)
    size = truth.pow(2).sum(1, keepdim=True).mean(axes).sqrt()
    return (error * weight).sum(axes) / weight.sum(axes) / (1.0 + size)


def soft_dice(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Dice of soft label maps (B, L, *shape), averaged over the labels that are present in `b`; 0 to 1."""
    axes = tuple(range(2, a.dim()))
    size = a.sum(axes) + b.sum(axes)
    present = (b.sum(axes) > 0).float()
    dice = (2.0 * (a * b).sum(axes) + 1e-3) / (size + 1e-3)
    return (dice * present).sum() / present.sum().clamp_min(1.0)


def gradient_penalty(velocity: torch.Tensor) -> torch.Tensor:
    """Mean squared forward difference of (B, d, *shape), over the axes and components."""
    total = torch.zeros((), device=velocity.device)
    for axis in range(2, velocity.dim()):
        total = total + velocity.diff(dim=axis).pow(2).mean()
    return total / (velocity.dim() - 2)


def pair_loss(velocity: torch.Tensor, pair: Pair, stride: int = 1, smoothness: float = 0.2) -> Loss:
    """The loss of a velocity (B, 3, *shape) for a batch of synthetic pairs, the mean over them.

    1 - local correlation of the clean images, which are of one contrast whatever the network was shown, + 4 times the
    error of the displacement (once for two bodies: other displacements match them as well) + 1 - Dice of the labels +
    `smoothness` times the mean squared gradient of the velocity.

    Args:
        stride: compare every so many voxels along each axis; 2 is enough for a pass at a coarser resolution.
    """
    shape = tuple(velocity.shape[2:])
    half = tuple((n + 1) // 2 for n in shape)
    displacement = resize_flow(integrate(resize_flow(velocity, half), 5, "border"), shape)
    every = (slice(None, None, stride),) * (velocity.dim() - 2)
    displacement = inside(displacement, every)
    position = inside(identity(shape, velocity.device), every) + displacement + pair.margin
    warped = sample(pair.moving_content, position, "border")
    content = inside(pair.fixed_content, every)
    images = pair.CLEAN_IMAGES
    correlation = LocalCorrelation(content[:, :images].flatten(0, 1)[:, None], 9 if stride == 1 else 5)
    errors = displacement_error(displacement, inside(pair.displacement, every), inside(pair.weight, every))
    parts = {
        "dissimilarity": 1.0 - correlation(warped[:, :images].flatten(0, 1)[:, None]),
        "displacement": errors.mean(),
        "overlap": 1.0 - soft_dice(warped[:, images:], content[:, images:]),
        "gradient": gradient_penalty(velocity),
    }
    known = errors.new_tensor([4.0 if correlation == 1.0 else 1.0 for correlation in pair.correlation])
    total = parts["dissimilarity"] + (known * errors).mean() + parts["overlap"] + smoothness * parts["gradient"]
    return Loss(total, {name: value.detach() for name, value in parts.items()})
