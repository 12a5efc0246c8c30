"""Optimisation of one pair after a network's answer, or from nothing: a change that is composed with it.

Two changes follow one another. The first follows LNCC while the whole displacement varies little (`variation`): it
brings home what a network leaves where organs slide. The second is a stationary velocity, coarse to fine,
v <- smooth(v + size * smooth(force)), the log-domain demons scheme (Vercauteren et al., Symmetric log-domain
diffeomorphic image registration, MICCAI 2008) driven by LNCC or MIND-SSC. Neither moves what is alike already: there
nothing but interpolation and noise is left to follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..errors import InputError
from ..flow import integration
from ..flow.folding import around_folds, folded_voxels, smooth_folds
from ..flow.surroundings import Surroundings
from .contrast import choose_similarity
from .finer import FinerImages, FinerLevel
from .forces import Forces
from .judge import Judge
from .levels import integration_shape, level_shape, shrink
from .optimise import optimise
from .pair import ImagePair
from .schemes import ONE_CONTRAST, OTHER_CONTRAST, FitLevel
from .settings import RefinementSettings
from .similarities import Similarity
from .updates import Updates
from .variation import fitted

_BACKTRACK = (1.0, 0.5, 0.25)
# Of what LNCC lacks of 1 where the pair is unlike: real pairs that refinement betters gain .33 to .58 of it. Where it
# brings displacements further from the truth it gains .09 to .22, but in the deepest noisy breaths: by following noise.
_LEAST_SHARE = 0.32
# The fits alone gain .27 at least of it where a whole change betters a real pair, .19 at most in the eleven simulated
# ones whose change is refused in the end: who gains less than this by them is not followed further.
_FIRST_SHARE = 0.2
_FOLD_ATTEMPTS = 3
# Where a pair is clearly unlike, but for a tenth at either end of each axis, and some voxels around: hearts are
# a third to two thirds of their images and end .004 of Dice better; of other real pairs that is nearly everything.
_CLEARLY_UNLIKE, _LEFT_OUT, _AROUND_UNLIKE = 0.3, 0.1, 8
_VELOCITY_COARSER = 2  # than the images


@dataclass(frozen=True)
class Refinement:
    """What refinement did.

    Attributes:
        velocities: (1, d, *any) each, in voxels of their own grid, which shares its corner voxel centres with the
            images', channel c along array axis c: the change is the composition of their exponentials,
            x -> first(second(...(x))). Empty where nothing better was found.
        displacement: of the change (1, d, *shape), in voxels, with the padding and squarings of the settings, within
            .0005 voxel (`sampling.sample_normalised`); it pulls.
        updates: how many were taken, over all levels.
        similarity: which one was used.
        similarity_before, similarity_after: mean local LNCC where the fixed image has structure (0..1), or minus the
            MIND-SSC distance; larger is better.
        folded_before, folded_after: voxels whose Jacobian determinant is <= 0.
        part: share of the grid that was looked at, where similarity was compared and motion may have changed; 0 to 1.
    """

    velocities: tuple[torch.Tensor, ...]
    displacement: torch.Tensor
    updates: int
    similarity: Similarity
    similarity_before: float
    similarity_after: float
    folded_before: int
    folded_after: int
    part: float

    def refused(self) -> Refinement:
        """The same without its change, where somebody else finds that it is worse."""
        still = torch.zeros_like(self.displacement)
        value, folded = self.similarity_before, self.folded_before
        return replace(self, velocities=(), displacement=still, similarity_after=value, folded_after=folded)

    def summary(self) -> dict[str, Any]:
        """Its numbers, ready for JSON."""
        numbers = ("similarity", "updates", "similarity_before", "similarity_after", "accepted", "part")
        return {name: getattr(self, name) for name in numbers}

    @property
    def accepted(self) -> bool:
        """Whether there is a change."""
        return bool(self.velocities)


def refine(
    images: ImagePair,
    settings: RefinementSettings | None = None,
    *,
    before: torch.Tensor | None = None,
    finer: Callable[[], FinerImages] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refinement:
    """The change to a displacement that warps the moving onto the fixed image better.

    The result is never less similar and never has more folded voxels than before: where neither the whole change found
    nor a half nor a quarter of it is better, there is none. By LNCC it is better when it gains .32 at least of what
    the pair lacks: less is gained by following noise. Nothing is drawn at random: the same input gives the same
    result. Outside a mask the motion follows smoothly. By LNCC, where most of what is unlike lies in a part of the
    images, that part alone is looked at and changed.

    Args:
        images: the pair, on a grid of array shape (*shape).
        settings: `RefinementSettings()` unless given.
        before: a displacement (1, d, *shape), in voxels, by which the moving image is pulled first; the change comes
            after it, x -> before(change(x)). Folds and similarity are those of both together, measured on the moving
            image as it was given: it is interpolated once for each, so that blur decides nothing.
        finer: makes the images of a last level; asked for only where the pair wants one.
        progress: called with (updates done, most updates possible); what it raises stops the refinement.

    Raises:
        InputError: for a displacement whose shape does not fit the images, and for a mask that is zero everywhere.
    """
    settings = settings or RefinementSettings()
    device = images.fixed.device
    _check(images, before)
    images = replace(images, mask=None if images.mask is None else images.mask.to(device, torch.float32))
    start = torch.zeros((1, len(images.shape), *images.shape), device=device) if before is None else before
    pulled = images if before is None else images.pulled(before)
    similarity = choose_similarity(pulled) if settings.similarity == "auto" else settings.similarity
    judge = Judge(images, similarity, start)
    if settings.updates == 0:
        return _unchanged(0, judge)
    weight = judge.weigh() if similarity == "lncc" else None
    if weight is not None and images.within is None:
        within = _most_of(weight)
        if within is not None:
            images, pulled = (replace(each, within=within) for each in (images, pulled))
            judge = Judge(images, similarity, start)
            weight = judge.weigh()

    view, seen = pulled.field_of_view, pulled.seen
    scheme = ONE_CONTRAST if similarity == "lncc" else OTHER_CONTRAST
    use_finer = finer is not None and bool(scheme.finer) and Forces(seen, similarity).finest == 1
    updates = Updates(scheme, settings, use_finer, progress)
    found: list[torch.Tensor] = []
    whole = start
    # No velocity is found on a finer grid than this, but by the last level on finer images.
    grid = integration_shape(images.shape)
    for number, level in enumerate(scheme.fits):
        if updates.of_fit(number) == 0:
            continue
        velocity = _fitted(images.pulled(whole).inside(view), view.cut(whole), level, number, updates)
        found.append(integration.resize_flow(view.extended(velocity), grid))
        change = integration.integrate(found[-1], settings.squarings, settings.padding, quick=True)
        whole = integration.compose_flows(whole, integration.resize_flow(change, images.shape), "border", quick=True)

    if weight is not None and found and updates.are_left:
        if judge(torch.lerp(start, whole, weight)) < judge.lifted(_FIRST_SHARE):
            return _unchanged(updates.taken, judge)

    def finest() -> FinerLevel:
        assert finer is not None
        return finer().level(view, view.cut(whole), seen.mask)

    forces = Forces(images.pulled(whole).inside(view), similarity)
    velocity = optimise(forces, scheme.even, updates, settings.padding, finest if use_finer else None)
    last = images.shape if use_finer else grid
    found.append(integration.resize_flow(view.extended(integration.resize_flow(velocity, seen.shape)), last))
    if weight is not None:
        found = _weighted(found, weight)
    if images.within is not None:
        found = _weighted(found, images.within.weights(device))
    return _accepted(found, updates.taken, judge, settings)


def _most_of(unlike: torch.Tensor) -> Surroundings | None:
    """The box around most of what is unlike (1, 1, *shape); None where that is nearly everywhere.

    Where a small organ moves in still surroundings, what is left there of noise and flow would set the pace.
    """
    clearly, shape = (unlike[0, 0] - _CLEARLY_UNLIKE).clamp(min=0), tuple(unlike.shape[2:])
    if not bool(clearly.any()):
        return None
    box = []
    for axis, count in enumerate(shape):
        along = clearly.sum([other for other in range(len(shape)) if other != axis]).cumsum(0)
        first, stop = (int((along < share * along[-1]).sum()) for share in (_LEFT_OUT, 1 - _LEFT_OUT))
        box.append(slice(min(first, count - 1), min(stop + 1, count)))
    return Surroundings(shape, tuple(box)).grown(_AROUND_UNLIKE).unless_most()


def _weighted(velocities: list[torch.Tensor], weight: torch.Tensor) -> list[torch.Tensor]:
    """Each (1, d, *any) times a weight (1, 1, *shape)."""
    return [shrink(weight, velocity.shape[2:]) * velocity for velocity in velocities]


def _fitted(images: ImagePair, before: torch.Tensor, level: FitLevel, number: int, updates: Updates) -> torch.Tensor:
    """The velocity (1, d, *shape), in voxels, of one fit; `before` (1, d, *shape) pulled the images already."""
    seen = images.shrunk(images.isotropic_shape(level.voxels)) if level.voxels else images
    forces = Forces(seen, "lncc")
    force = forces.at(forces.finest)
    coarse = level_shape(force.shape, _VELOCITY_COARSER)
    so_far = integration.resize_flow(before, coarse)
    velocity = fitted(force, so_far, updates.of_fit(number), level.fit, "border", updates.count)
    return integration.resize_flow(velocity, images.shape)


@dataclass(frozen=True)
class _Change:
    """Velocities one after the other, their displacement, and what it makes of the start."""

    velocities: tuple[torch.Tensor, ...]
    displacement: torch.Tensor
    folded: int
    similarity: float


def _accepted(found: list[torch.Tensor], updates: int, judge: Judge, settings: RefinementSettings) -> Refinement:
    """The largest share of the velocities that is better and no more folded than the start: of all or all but the last.

    The last goes further than those before it, and not everywhere to the better.
    """
    folded_before = folded_voxels(judge.start)
    least = judge.lifted(_LEAST_SHARE) if judge.similarity == "lncc" else judge.before
    for share in _BACKTRACK:
        changes = _changes(found, share, folded_before, judge, settings)
        better = [each for each in changes if each.similarity > least and each.folded <= folded_before]
        if better:
            best = max(better, key=lambda each: each.similarity)
            numbers = judge.before, best.similarity, folded_before, best.folded, judge.part
            return Refinement(best.velocities, best.displacement, updates, judge.similarity, *numbers)
    return _unchanged(updates, judge)


def _changes(
    found: list[torch.Tensor], share: float, most: int, judge: Judge, settings: RefinementSettings
) -> list[_Change]:
    """A share of all velocities, and of all but the last; a smaller one around what folds after the start."""
    start = judge.start
    shape = tuple(start.shape[2:])
    shares = torch.full_like(start[:, :1], share)
    made: list[_Change] = []
    for _ in range(_FOLD_ATTEMPTS):
        velocities: tuple[torch.Tensor, ...] = ()
        change, whole = torch.zeros_like(start), start
        for number, velocity in enumerate(found, start=1):
            of_it = shrink(shares, velocity.shape[2:])
            smoothed = smooth_folds(of_it * velocity, 0, settings.squarings, settings.padding)
            velocities = (*velocities, smoothed.velocity)
            displacement = integration.resize_flow(smoothed.displacement, shape)
            change = integration.compose_flows(change, displacement, "border", quick=True)
            if number >= len(found) - 1:
                whole = integration.compose_flows(start, change, "border", quick=True)
                made.append(_Change(velocities, change, folded_voxels(whole), judge(whole)))
        if made[-1].folded <= most:
            break
        shares = shares * (1 - around_folds(whole))
    return made


def _unchanged(updates: int, judge: Judge) -> Refinement:
    value, folded = judge.before, folded_voxels(judge.start)
    still = torch.zeros_like(judge.start)
    return Refinement((), still, updates, judge.similarity, value, value, folded, folded, judge.part)


def _check(images: ImagePair, before: torch.Tensor | None) -> None:
    shape = images.shape
    if before is not None and tuple(before.shape) != (1, len(shape), *shape):
        raise InputError(
            f"refinement: a displacement of shape {tuple(before.shape)} does not fit images of {shape}; "
            f"give one of shape {(1, len(shape), *shape)}"
        )
    if images.mask is not None and not bool((images.mask > 0).any()):
        raise InputError("refinement: the mask is empty on the network's grid; choose one that covers the anatomy")
