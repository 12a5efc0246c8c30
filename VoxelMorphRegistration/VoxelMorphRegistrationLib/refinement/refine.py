"""Optimisation of one pair's velocity, from a network's answer or from nothing.

A stationary velocity on half the resolution of each level, coarse to fine: v <- smooth(v + size * smooth(force)), the
log-domain demons scheme (Vercauteren et al., Symmetric log-domain diffeomorphic image registration, MICCAI 2008) driven
by LNCC or MIND-SSC. What is optimised is the change to the start, so a network's velocity is never smoothed away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from ..errors import InputError
from ..flow import integration, sampling
from ..flow.folding import folded_voxels, smooth_folds
from .contrast import choose_similarity, smoothed_lncc
from .field_of_view import FieldOfView
from .forces import Forces
from .levels import level_shape, shrink
from .optimise import optimise
from .pair import ImagePair
from .schemes import OTHER_CONTRAST, Scheme, scheme_for
from .settings import RefinementSettings, Similarity

_BACKTRACK = (1.0, 0.5, 0.25)


@dataclass(frozen=True)
class Refinement:
    """What refinement did.

    Attributes:
        velocity: (1, d, *shape), in voxels, channel c along array axis c; the start itself where nothing better was
            found.
        displacement: exp(velocity) (1, d, *shape), in voxels, with the padding and squarings of the settings; it pulls.
        updates: how many were taken, over all levels.
        similarity: which one was used.
        similarity_before, similarity_after: mean LNCC (0..1), or minus the MIND-SSC distance; larger is better.
        folded_before, folded_after: voxels whose Jacobian determinant is <= 0.
        accepted: whether velocity differs from the start.
    """

    velocity: torch.Tensor
    displacement: torch.Tensor
    updates: int
    similarity: Similarity
    similarity_before: float
    similarity_after: float
    folded_before: int
    folded_after: int
    accepted: bool


def refine(
    images: ImagePair,
    start: torch.Tensor | None = None,
    settings: RefinementSettings | None = None,
    *,
    start_displacement: torch.Tensor | None = None,
    before: torch.Tensor | None = None,
    finer: Callable[[], ImagePair] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refinement:
    """Improve the velocity that warps the moving onto the fixed image.

    The result is never worse in the similarity that is maximised and never has more folded voxels than the start: where
    neither the whole change found nor a half nor a quarter of it is better, the start comes back. Nothing is drawn at
    random: the same input gives the same result. Outside a mask the motion follows smoothly.

    Args:
        images: the pair, on a grid of array shape (*shape).
        start: velocity (1, d, *shape) in voxels, channel c along array axis c; None starts at the identity.
        settings: `RefinementSettings()` unless given.
        start_displacement: exp(start), (1, d, *shape), where the caller has it already.
        before: a displacement (1, d, *shape), in voxels, by which the moving image is pulled first; the velocity that
            is found comes after it, x -> before(exp(velocity)(x)). Folds and similarity are those of both together,
            measured on the moving image as it was given: it is interpolated once for each, so that blur decides
            nothing.
        finer: makes the images of a last level, asked for only where the pair wants one: on a grid that shares its
            corner voxel centres with theirs and halves the spacing along some axis or all of them, (1, 1, *shape) with
            2 n - 1 voxels where they have n. Its own mask is not looked at.
        progress: called with (updates done, most updates possible); what it raises stops the refinement.

    Raises:
        InputError: for a start whose shape does not fit the images, and for a mask that is zero everywhere.
    """
    settings = settings or RefinementSettings()
    shape, device = images.shape, images.fixed.device
    _check(images, start)
    images = replace(images, mask=None if images.mask is None else images.mask.to(device, torch.float32))
    pulled = images if before is None else replace(images, moving=sampling.warp(images.moving, before, "border"))
    velocity = torch.zeros((1, len(shape), *shape), device=device) if start is None else start.detach().float()
    first = start_displacement
    if first is None:
        first = velocity if start is None else integration.integrate(velocity, settings.squarings, settings.padding)
    started = pulled if start is None else replace(pulled, moving=sampling.warp(pulled.moving, first, "border"))
    similarity = choose_similarity(started) if settings.similarity == "auto" else settings.similarity
    if settings.updates == 0:
        whole = _whole(before, first)
        value, folded = Forces(images, similarity).at(1).value(whole), folded_voxels(whole)
        return Refinement(velocity, first, 0, similarity, value, value, folded, folded, False)

    view = FieldOfView.of(pulled.fixed, pulled.moving)
    seen = _inside(view, pulled)
    forces = Forces(seen, similarity)
    scheme = OTHER_CONTRAST if similarity == "mind" else scheme_for(smoothed_lncc(_inside(view, started)))
    finest = None
    if finer is not None and forces.finest == 1 and scheme.finer_updates > 0:
        finest = partial(_finer_inside, view, finer, seen.mask)
    found = optimise(forces, view.cut(velocity), scheme, settings, finest, progress)
    change = view.extended(integration.resize_flow(found.change, seen.shape))
    judged = forces if before is None else Forces(_inside(view, images), similarity)
    judge = _Judge(judged, view, scheme, before)
    return _accepted(velocity, first, change, found.updates, judge, settings)


def _whole(before: torch.Tensor | None, displacement: torch.Tensor) -> torch.Tensor:
    """The displacement of x -> before(displacement(x)), all (1, d, *shape) in voxels."""
    return displacement if before is None else integration.compose_flows(before, displacement, "border")


class _Judge:
    """The similarity at the finest level of a scheme, and the folds, of displacements that come after `before`."""

    def __init__(self, forces: Forces, view: FieldOfView, scheme: Scheme, before: torch.Tensor | None = None) -> None:
        factor = forces.finest * scheme.factors[-1]
        self.similarity = forces.similarity
        self._view, self._force, self._before = view, forces.at(factor), before
        self._shape = level_shape(forces.images.shape, factor)

    def __call__(self, displacement: torch.Tensor) -> tuple[float, int]:
        """The similarity at a displacement (1, d, *shape) of the whole grid, and its folded voxels."""
        whole = _whole(self._before, displacement)
        return self._force.value(integration.resize_flow(self._view.cut(whole), self._shape)), folded_voxels(whole)


def _accepted(
    velocity: torch.Tensor,
    before: torch.Tensor,
    change: torch.Tensor,
    updates: int,
    judge: _Judge,
    settings: RefinementSettings,
) -> Refinement:
    """The largest share of the change that is better and no more folded than the start, folds smoothed; or the start.

    All fields are (1, d, *shape); `before` is exp(velocity).
    """
    value_before, folded_before = judge(before)
    for share in _BACKTRACK:
        candidate = smooth_folds(velocity, share * change, folded_before, settings.squarings, settings.padding)
        value, folded = judge(candidate.displacement)
        if value > value_before and folded <= folded_before:
            return Refinement(
                candidate.velocity,
                candidate.displacement,
                updates,
                judge.similarity,
                value_before,
                value,
                folded_before,
                folded,
                True,
            )
    return Refinement(
        velocity, before, updates, judge.similarity, value_before, value_before, folded_before, folded_before, False
    )


def _inside(view: FieldOfView, images: ImagePair) -> ImagePair:
    mask = images.mask
    return ImagePair(view.cut(images.fixed), view.cut(images.moving), None if mask is None else view.cut(mask))


def _finer_inside(view: FieldOfView, finer: Callable[[], ImagePair], mask: torch.Tensor | None) -> ImagePair:
    """The finer images in the field of view, with the coarser mask (1, 1, *inside) brought onto their grid."""
    images = finer()
    fixed, moving = view.cut(images.fixed), view.cut(images.moving)
    return ImagePair(fixed, moving, None if mask is None else shrink(mask, tuple(fixed.shape[2:])))


def _check(images: ImagePair, start: torch.Tensor | None) -> None:
    shape = images.shape
    if start is not None and tuple(start.shape) != (1, len(shape), *shape):
        raise InputError(
            f"refinement: a start of shape {tuple(start.shape)} does not fit images of {shape}; "
            f"give a velocity of shape {(1, len(shape), *shape)}"
        )
    if images.mask is not None and not bool((images.mask > 0).any()):
        raise InputError("refinement: the mask is empty on the network's grid; choose one that covers the anatomy")
