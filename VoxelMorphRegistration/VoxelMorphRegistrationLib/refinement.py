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
import torch.nn.functional as F

from . import warping
from .errors import InputError
from .refinement_ascent import OTHER_CONTRAST, Images, ascend, scheme_for
from .refinement_forces import FORCES, Similarity, agreement, level_shape, shrink
from .separable import apply_separable, box_matrices, gaussian_matrices
from .similarity import ncc

_MOST_VOXELS = 2_500_000  # of the finest level, or thereabouts: a 2 mm head has 1 million
_BACKTRACK = (1.0, 0.5, 0.25)
_MENDS = 3  # attempts to smooth folds away
_MENDED = 9  # voxels: edge of what is smoothed around one
_MENDING = 1.5  # voxels: sigma of that
_CUT = 0.2  # share of a plane that is filled where an image was cut, not where anatomy ends
_LEAST_PLANES = 8
_FAINT = 0.02  # of the images' range: what the blur of interpolation leaves beside an edge
_SURROUNDINGS = 8  # voxels kept around what is visible: more than a window, and some motion
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
    padding: warping.Padding = "border",
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
        before = _integrated(velocity, start is None, integration_steps, padding)
    warped = warping.warp(moving, before, "border")
    if similarity == "auto":
        similarity = choose_similarity(fixed, warped, images.mask)
    if steps == 0 or (steps == "auto" and in_domain):
        value = FORCES[similarity](fixed, moving, 1, images.mask).value(before)
        folds = folded_voxels(before)
        return Refinement(velocity, before, 0, similarity, value, value, folds, folds, False)

    view = field_of_view(fixed, moving)
    images = images.cut(view)
    inner = tuple(images.fixed.shape[2:])
    base = _finest_factor(inner)
    if similarity == "mind":
        scheme = OTHER_CONTRAST
    else:
        scheme = scheme_for(agreement(images.fixed, warped[view], images.mask))
    wants_finer = finer is not None and base == 1 and scheme.finer_steps > 0
    change, taken = ascend(
        images, velocity[view], scheme, base, steps, similarity, padding, progress,
        (lambda: _finer_images(finer, images, view, shape)) if wants_finer else None,
    )
    change = _extended(warping.resize_flow(change, inner), view, shape)
    judge = FORCES[similarity](images.fixed, images.moving, base * scheme.factors[-1], images.mask)
    at_level = level_shape(inner, base * scheme.factors[-1])
    value_before, folds_before = judge.value(warping.resize_flow(before[view], at_level)), folded_voxels(before)
    for share in _BACKTRACK:
        candidate, after, folds = _unfolded(velocity, share * change, folds_before, integration_steps, padding)
        value = judge.value(warping.resize_flow(after[view], at_level))
        if value > value_before and folds <= folds_before:
            return Refinement(candidate, after, taken, similarity, value_before, value, folds_before, folds, True)
    return Refinement(
        velocity, before, taken, similarity, value_before, value_before, folds_before, folds_before, False
    )


def _finer_images(
    finer: Callable[[], tuple[torch.Tensor, torch.Tensor]],
    images: Images,
    view: tuple[slice, ...],
    shape: tuple[int, ...],
) -> Images:
    """The finer images in the field of view of the coarser ones, whose whole grid has this shape."""
    fixed, moving = finer()
    times = [(many - 1) // max(n - 1, 1) for many, n in zip(fixed.shape[2:], shape)]
    inside = []
    for part, n, k in zip(view[2:], shape, times):
        start, stop, _ = part.indices(n)
        inside.append(slice(k * start, k * (stop - 1) + 1))
    finer_view = (slice(None), slice(None), *inside)
    fixed, moving = fixed[finer_view], moving[finer_view]
    return Images(fixed, moving, None if images.mask is None else shrink(images.mask, tuple(fixed.shape[2:])))


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


def field_of_view(fixed: torch.Tensor, moving: torch.Tensor) -> tuple[slice, ...]:
    """Where two images (1, 1, *shape) have content: both without the planes a grid was padded with, or that are empty.

    Padding ends at a cut through the anatomy, and a similarity that saw the cut would hold it fast against tissue that
    moves through it. Constant planes are padding when the first other plane is mostly filled. The empty surroundings of
    a skull-stripped head end in a plane that is nearly empty itself: what is near the head stays.
    """
    view = [slice(None), slice(None)]
    for axis in range(2, fixed.dim()):
        others = [a for a in range(fixed.dim()) if a != axis]
        filled, shown = (
            torch.stack([(i > i.amin(others, keepdim=True) + least).float().mean(others) for i in (fixed, moving)]).amax(0)
            for least in (1e-6, _FAINT)
        )
        content = torch.nonzero(filled > 0).flatten()
        if len(content) == 0:
            view.append(slice(None))
            continue
        first, last = int(content[0]), int(content[-1])
        visible = torch.nonzero(shown > 0).flatten() if bool((shown > 0).any()) else content
        low = first if filled[first] > _CUT else max(0, int(visible[0]) - _SURROUNDINGS)
        high = last + 1 if filled[last] > _CUT else min(len(filled), int(visible[-1]) + 1 + _SURROUNDINGS)
        view.append(slice(low, high) if high - low >= _LEAST_PLANES else slice(None))
    return tuple(view)


def folded_voxels(displacement: torch.Tensor) -> int:
    """Voxels of a displacement (1, d, *shape) at which the Jacobian determinant is <= 0 (central differences)."""
    return int(_folded(displacement).sum())


def _folded(displacement: torch.Tensor) -> torch.Tensor:
    """Where a displacement (1, d, *shape) folds: bool (*shape)."""
    dimension = displacement.shape[1]
    if min(displacement.shape[2:]) < 2:
        return torch.zeros(displacement.shape[2:], dtype=torch.bool, device=displacement.device)
    rows = [torch.gradient(displacement[0, c]) for c in range(dimension)]
    matrix = [[rows[c][a] + (1.0 if a == c else 0.0) for a in range(dimension)] for c in range(dimension)]
    return _determinant(matrix) <= 0


def _unfolded(
    velocity: torch.Tensor, change: torch.Tensor, most_folds: int, steps: int, padding: warping.Padding
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The velocity changed, its displacement and its folded voxels; the change smoothed where more of them fold than may."""
    shape, device = tuple(change.shape[2:]), change.device
    for attempt in range(_MENDS + 1):
        candidate = velocity + change
        after = _integrated(candidate, False, steps, padding)
        folded = _folded(after)
        count = int(folded.sum())
        if count <= most_folds or attempt == _MENDS:
            break
        around = apply_separable(folded[None, None].float(), box_matrices(shape, _MENDED, 1, device)) > 0
        share = apply_separable(around.float(), gaussian_matrices(shape, 1.0, device))
        change = torch.lerp(change, apply_separable(change, gaussian_matrices(shape, _MENDING, device)), share)
    return candidate, after, count


def _determinant(matrix: list[list[torch.Tensor]]) -> torch.Tensor:
    if len(matrix) == 2:
        return matrix[0][0] * matrix[1][1] - matrix[0][1] * matrix[1][0]
    total = torch.zeros_like(matrix[0][0])
    for column in range(3):
        one, two = (column + 1) % 3, (column + 2) % 3
        total += matrix[0][column] * (matrix[1][one] * matrix[2][two] - matrix[1][two] * matrix[2][one])
    return total


def _finest_factor(shape: tuple[int, ...]) -> int:
    """How much coarser than the images the finest level is: a whole number, or some voxels would be blurred more than others."""
    return max(1, round((math.prod(shape) / _MOST_VOXELS) ** (1 / len(shape))))


def _integrated(velocity: torch.Tensor, is_zero: bool, steps: int, padding: warping.Padding) -> torch.Tensor:
    with torch.no_grad():
        return velocity if is_zero else warping.integrate(velocity, steps, padding)


def _extended(change: torch.Tensor, view: tuple[slice, ...], shape: tuple[int, ...]) -> torch.Tensor:
    """A change inside the field of view on the whole grid, repeated outwards."""
    pads: list[int] = []
    for part, n in zip(reversed(view[2:]), reversed(shape)):
        start, stop, _ = part.indices(n)
        pads += [start, n - stop]
    return F.pad(change, pads, mode="replicate") if any(pads) else change


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
    if similarity != "auto" and similarity not in FORCES:
        raise InputError(
            f"refinement: similarity {similarity!r} is unknown; choose one of auto, {', '.join(sorted(FORCES))}"
        )
