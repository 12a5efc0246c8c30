"""Optimisation of one pair's velocity, from the network's answer or from nothing.

A stationary velocity on half the resolution of each level, coarse to fine: v <- smooth(v + step * smooth(force)), the
log-domain demons scheme (Vercauteren et al., Symmetric log-domain diffeomorphic image registration, MICCAI 2008) driven
by LNCC or MIND-SSC. What is optimised is the change to the start, so a network's velocity is never smoothed away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from ..errors import InputError
from ..flow import integration, sampling
from ..flow.folding import folded_voxels, unfolded
from ..flow.sampling import Padding
from ..flow.similarity import ncc
from .ascent import OTHER_CONTRAST, ascend, scheme_for
from .field_of_view import FieldOfView
from .forces import SIMILARITIES, Forces, Images, Similarity, agreement, level_shape, shrink

_MOST_VOXELS = 2_500_000  # of the finest level, or thereabouts: a 2 mm head has 1 million
_BACKTRACK = (1.0, 0.5, 0.25)
_SAME_CONTRAST = 0.6  # correlation of the foregrounds; pairs of one contrast reach .9 and more, ADC and b-value .5


@dataclass(frozen=True)
class Refinement:
    """What refinement did.

    Attributes:
        velocity: (1, d, *shape), voxels of the network grid; the start itself where nothing better was found.
        displacement: exp(velocity) (1, d, *shape) with the padding and steps that were given.
        steps_taken: updates over all levels.
        similarity: which one was used.
        similarity_before, similarity_after: mean LNCC (0..1), or minus the MIND-SSC distance; larger is better.
        folded_before, folded_after: voxels whose Jacobian determinant is <= 0.
        accepted: whether velocity differs from the start.
    """

    velocity: torch.Tensor
    displacement: torch.Tensor
    steps_taken: int
    similarity: Similarity
    similarity_before: float
    similarity_after: float
    folded_before: int
    folded_after: int
    accepted: bool


def refine(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    start: torch.Tensor | None = None,
    start_displacement: torch.Tensor | None = None,
    *,
    steps: int | Literal["auto"] = "auto",
    similarity: Similarity | Literal["auto"] = "auto",
    mask: torch.Tensor | None = None,
    padding: Padding = "border",
    integration_steps: int = 7,
    in_domain: bool = False,
    progress: Callable[[int, int], None] | None = None,
    seed: int = 0,
    finer: Callable[[], tuple[torch.Tensor, torch.Tensor]] | None = None,
) -> Refinement:
    """Improve the velocity that warps `moving` onto `fixed`; never worse in similarity, never more folded than `start`.

    Args:
        fixed, moving: (1, 1, *shape), 2D or 3D, on one grid and normalised alike.
        start: velocity (1, d, *shape) in voxels, channel c along array axis c; None starts at the identity.
        start_displacement: exp(start), where the caller has it already.
        steps: updates over all levels together, or 'auto': each level stops when it gains no more.
        similarity: 'lncc' for one contrast, 'mind' (MIND-SSC) for different ones, 'auto' by `choose_similarity`.
        mask: (1, 1, *shape) weights on the fixed image; only there images are compared. The motion around it follows
            smoothly.
        padding, integration_steps: how the caller integrates the velocity.
        in_domain: the pair is what the network was trained for; 'auto' then leaves its answer alone.
        progress: called with (updates done, most updates possible); what it raises stops the refinement.
        seed: accepted for symmetry with the other stages; nothing here is random.
        finer: makes the images of a last level, asked for only where the pair wants one: fixed and moving on a grid
            that shares its corner voxel centres with theirs and halves the spacing along some axis or all of them,
            (1, 1, *shape) with 2 n - 1 voxels where they have n.

    Raises:
        InputError: for shapes that do not fit, a negative number of steps or an unknown similarity.
    """
    dimension, shape = fixed.dim() - 2, tuple(fixed.shape[2:])
    _check(fixed, moving, start, mask, steps, similarity)
    velocity = torch.zeros((1, dimension, *shape), device=fixed.device) if start is None else start.detach().float()
    images = Images(fixed, moving, None if mask is None else mask.to(fixed.device, torch.float32))
    before = start_displacement
    if before is None:
        before = velocity if start is None else integration.integrate(velocity, integration_steps, padding)
    warped = sampling.warp(moving, before, "border")
    if similarity == "auto":
        similarity = choose_similarity(fixed, warped, images.mask)
    if steps == 0 or (steps == "auto" and in_domain):
        value = Forces(images, similarity).at(1).value(before)
        folds = folded_voxels(before)
        return Refinement(velocity, before, 0, similarity, value, value, folds, folds, False)

    view = FieldOfView.of(fixed, moving)
    images = Images(*(None if image is None else view.cut(image) for image in (fixed, moving, images.mask)))
    inner = tuple(images.fixed.shape[2:])
    base = _finest_factor(inner)
    if similarity == "mind":
        scheme = OTHER_CONTRAST
    else:
        scheme = scheme_for(agreement(images.fixed, view.cut(warped), images.mask))

    def finer_images() -> Images:
        seen = [view.cut(image) for image in finer()]
        return Images(*seen, None if images.mask is None else shrink(images.mask, tuple(seen[0].shape[2:])))

    wants_finer = finer is not None and base == 1 and scheme.finer_steps > 0
    forces = Forces(images, similarity)
    change, taken = ascend(
        forces, view.cut(velocity), scheme, base, steps, padding, progress, finer_images if wants_finer else None
    )
    change = view.extended(integration.resize_flow(change, inner))
    judge = forces.at(base * scheme.factors[-1])
    at_level = level_shape(inner, base * scheme.factors[-1])
    value_before, folds_before = judge.value(integration.resize_flow(view.cut(before), at_level)), folded_voxels(before)
    for share in _BACKTRACK:
        candidate, after, folds = unfolded(velocity, share * change, folds_before, integration_steps, padding)
        value = judge.value(integration.resize_flow(view.cut(after), at_level))
        if value > value_before and folds <= folds_before:
            return Refinement(candidate, after, taken, similarity, value_before, value, folds_before, folds, True)
    return Refinement(
        velocity, before, taken, similarity, value_before, value_before, folds_before, folds_before, False
    )


def choose_similarity(fixed: torch.Tensor, moving: torch.Tensor, mask: torch.Tensor | None = None) -> Similarity:
    """'lncc' where the foregrounds of two roughly aligned images (1, 1, *shape) correlate, 'mind' where they do not.

    Foreground is what exceeds 5 % of either image's range, at a quarter of the resolution: the empty background, alike
    in every contrast, and noise say nothing about it.
    """
    shape = level_shape(fixed.shape[2:], 4)
    one, other = shrink(fixed, shape), shrink(moving, shape)
    foreground = torch.zeros_like(one)
    for image in (one, other):
        low, high = image.min(), image.max()
        foreground = torch.maximum(foreground, (image > low + 0.05 * (high - low)).float())
    if mask is not None:
        foreground = foreground * shrink(mask, shape)
    return "lncc" if float(ncc(one, other, foreground)) >= _SAME_CONTRAST else "mind"


def _finest_factor(shape: tuple[int, ...]) -> int:
    """How much coarser than the images the finest level is: a whole number, or some voxels would be blurred more than
    others.
    """
    return max(1, round((math.prod(shape) / _MOST_VOXELS) ** (1 / len(shape))))


def _check(fixed, moving, start, mask, steps, similarity) -> None:
    shape = tuple(fixed.shape[2:])
    if fixed.shape != moving.shape or tuple(fixed.shape[:2]) != (1, 1) or len(shape) not in (2, 3):
        raise InputError(
            f"refinement: fixed {tuple(fixed.shape)} and moving {tuple(moving.shape)} must both be (1, 1, *shape); "
            "prepare them on one grid"
        )
    if start is not None and tuple(start.shape) != (1, len(shape), *shape):
        raise InputError(
            f"refinement: a start of shape {tuple(start.shape)} does not fit images of {shape}; "
            f"give a velocity of shape {(1, len(shape), *shape)}"
        )
    if mask is not None and tuple(mask.shape) != (1, 1, *shape):
        raise InputError(
            f"refinement: a mask of shape {tuple(mask.shape)} does not fit images of {shape}; resample it to their grid"
        )
    if mask is not None and not bool((mask > 0).any()):
        raise InputError("refinement: the mask is empty on the network's grid; choose one that covers the anatomy")
    if steps != "auto" and (not isinstance(steps, int) or steps < 0):
        raise InputError(f"refinement: steps is {steps!r}; give a number from 0 on, or 'auto'")
    if similarity != "auto" and similarity not in SIMILARITIES:
        raise InputError(
            f"refinement: similarity {similarity!r} is unknown; choose one of auto, {', '.join(SIMILARITIES)}"
        )
