"""In what order frames are visited, and how each gets its displacement to its reference.

direct      each frame is registered with its reference: no error is handed on.
sequential  each frame is registered with the one before it, outward from the reference, and the displacements are
            composed; labels are warped once, from the reference. For motion too large for one registration.
keyframes   every K-th frame is registered with the reference, and displacements are interpolated linearly between. On
            some frames between the interpolation is compared with the direct registration.
motion-model  few frames are registered with the reference, every other one is the combination of theirs that a coarse
            look at it asks for, checked against its image: see `motion_model`.

A strategy takes a `FrameContext` and yields an `Outcome` for each of its frames that no earlier run finished. A frame
that fails is left out, and the others are found without it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import SimpleITK as sitk

from ..space import displacement as displacements
from ..space.grid import Grid
from .choices import StrategyName
from .context import FrameContext, Later, Outcome, with_next
from .motion_model import motion_model

_CHECKS = 10  # about so many interpolated frames are compared with the direct registration


def direct(context: FrameContext) -> Generator[Outcome, None, None]:
    """Ascending; each frame with the reference."""
    reference = context.reference
    for index, following in with_next([index for index in context.indices if index not in context.finished]):
        if index == reference.index:
            yield Outcome(index, reference.image)
        else:
            yield context.direct(index, following, prepare=context.prepare)


@dataclass(frozen=True)
class _Reached:
    """The frame a chain has come to: its image, and its displacement to the reference (None at the reference)."""

    index: int
    image: sitk.Image
    displacement: sitk.Image | None = None


def sequential(context: FrameContext) -> Generator[Outcome, None, None]:
    """The reference, the frames after it, then those before it backwards; each with the last one that was found.

    Frames that an earlier run finished are gone along, wanted or not. Where what was kept of them is missing, they are
    registered again on the way, without an outcome of their own, and the frame that needed it says so.
    """
    yield from context.itself()
    for chain in _outward(context):
        usual = min((abs(one - other) for one, other in zip(chain, chain[1:])), default=1)
        reached = _Reached(context.reference.index, context.reference.image)
        passed: list[int] = []  # finished frames beyond the one reached
        for index, following in with_next(_with_finished(context, chain)):
            if index in context.finished:
                passed.append(index)
                continue
            reached, told = _gone_along(context, reached, passed)
            passed = []
            if abs(index - reached.index) > usual:
                told += (f"registered with frame {reached.index}, as none between was wanted and found",)
            outcome = _one_step(context, reached, index, following)
            yield replace(outcome, notes=(*outcome.notes, *told))
            if outcome.image is not None and outcome.failure is None:
                reached = _Reached(index, outcome.image, outcome.displacement)


def _with_finished(context: FrameContext, chain: Sequence[int]) -> list[int]:
    """The frames of a chain and the finished ones on the way to its last; all are nearest to the same reference."""
    middle = context.reference.index
    if not chain:
        return []
    low, high = sorted((middle, chain[-1]))
    along = {*chain, *(index for index in context.finished if low < index < high)}
    return sorted(along, reverse=chain[-1] < middle)


def _gone_along(context: FrameContext, reached: _Reached, passed: Sequence[int]) -> tuple[_Reached, tuple[str, ...]]:
    """The last of the finished frames, from the last one whose displacement was kept; and what had to be done again."""
    start = 0
    for number in reversed(range(len(passed))):
        kept = context.recall(passed[number])
        if kept is None:
            continue
        outcome = context.attempt(passed[number], None, partial(Outcome, passed[number], displacement=kept))
        if outcome.image is not None:
            reached, start = _Reached(passed[number], outcome.image, kept), number + 1
            break
    again = []
    for index, following in with_next(passed[start:]):
        outcome = _one_step(context, reached, index, following)
        if outcome.image is not None and outcome.failure is None:
            reached = _Reached(index, outcome.image, outcome.displacement)
            again.append(str(index))
    if not again:
        return reached, ()
    which = f"frame {again[0]} was" if len(again) == 1 else f"frames {again[0]} to {again[-1]} were"
    return reached, (f"{which} registered again on the way, as what was kept is gone",)


def _one_step(context: FrameContext, reached: _Reached, index: int, following: int | None) -> Outcome:
    def find(image: sitk.Image) -> Outcome:
        step, notes = context.register(image, reached.image)
        whole = step if reached.displacement is None else displacements.compose(step, reached.displacement)
        release = () if reached.index == context.reference.index else (reached.index,)
        return Outcome(index, image, whole, notes=tuple(notes), keep=True, release=release)

    return context.attempt(index, following, find, context.prepare)


@dataclass(frozen=True)
class _Key:
    """A key frame and its displacement to the reference; None at the reference, and where it is not looked up yet."""

    index: int
    displacement: sitk.Image | None = None


def keyframes(context: FrameContext) -> Generator[Outcome, None, None]:
    """The reference, then outward: each key frame, and after it the frames between it and the key frame before."""
    yield from context.itself()
    for chain in _outward(context):
        yield from _along_keyframes(context, chain)


def _along_keyframes(context: FrameContext, chain: Sequence[int]) -> Generator[Outcome, None, None]:
    step, reference = context.keyframe_step, context.reference.index
    segments = [chain[start : start + step] for start in range(0, len(chain), step)]
    checked = _evenly(range(len(segments)), _CHECKS)
    near = _Key(reference)
    waiting: list[int] = []  # frames whose key frame failed: interpolated as far as the next one
    for number, segment in enumerate(segments):
        *between, key = segment
        check = between[len(between) // 2] if between and number in checked else None
        between = [index for index in waiting + between if index not in context.finished]
        waiting = []
        if key in context.finished and not between:
            near = _Key(key)
            continue
        if key in context.finished:
            far = context.recalled(key)
        else:
            far = context.direct(key, between[0] if between else None, keep=True)
            yield far if between else _releasing(far, near.index, reference)
        if far.failure is not None:
            waiting = between
            continue
        if between and near.displacement is None and near.index != reference:
            near = _Key(near.index, context.recalled(near.index).displacement)
        for index, following in with_next(between):
            outcome = _between(context, index, following, near, _Key(key, far.displacement), index == check)
            yield outcome if following is not None else _releasing(outcome, near.index, reference)
        near = _Key(key, far.displacement)
    for index, following in with_next(waiting):
        yield context.direct(index, following)


def _between(context: FrameContext, index: int, following: int | None, near: _Key, far: _Key, check: bool) -> Outcome:
    """Interpolated linearly in the frame number between two key frames (the reference's displacement is zero).

    Registered directly where the displacement of one of them cannot be had any more.
    """
    start, end = near.displacement, far.displacement
    if end is None or (start is None and near.index != context.reference.index):
        return context.direct(index, following)

    def find(image: sitk.Image) -> Outcome:
        grid = Grid.of(image)
        share = (index - near.index) / (far.index - near.index)
        vectors = np.float32(share) * _vectors(end, grid)
        if start is not None:
            vectors += np.float32(1.0 - share) * _vectors(start, grid)
        found = displacements.from_array(vectors, grid)
        too = context.register(image, context.reference.image).displacement if check else None
        return Outcome(index, image, found, direct_too=too)

    return context.attempt(index, following, find)


#: By name; `auto` stands for one of them, see `PropagationSettings.chosen`.
STRATEGIES: Mapping[StrategyName, Callable[[FrameContext], Generator[Outcome | Later, None, None]]] = {
    "direct": direct,
    "sequential": sequential,
    "keyframes": keyframes,
    "motion-model": motion_model,
}


def _vectors(displacement: sitk.Image, grid: Grid) -> np.ndarray:
    """The displacement's vectors (..., d) on the grid."""
    if not Grid.of(displacement).same_as(grid):
        displacement = displacements.resample(displacement, grid)
    return sitk.GetArrayFromImage(displacement)


def _outward(context: FrameContext) -> list[list[int]]:
    """The frames after the reference, then those before it, each starting next to it."""
    middle = context.reference.index
    after = [index for index in context.indices if index > middle]
    before = [index for index in reversed(context.indices) if index < middle]
    return [after, before]


def _releasing(outcome: Outcome, index: int, reference: int) -> Outcome:
    """With key frame `index` released; of the reference nothing is kept."""
    return outcome if index == reference else replace(outcome, release=(*outcome.release, index))


def _evenly(items: Sequence[int], count: int) -> set[int]:
    if len(items) <= count:
        return set(items)
    return {items[round((n + 0.5) * len(items) / count - 0.5)] for n in range(count)}
