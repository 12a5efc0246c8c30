"""In what order frames are visited, and how each gets its displacement to its reference.

direct      each frame is registered with its reference: no error is handed on.
sequential  each frame is registered with the one before it, outward from the reference, and the displacements are
composed;
            labels are warped once, from the reference. For motion too large for one step.
keyframes   every K-th frame is registered with the reference, and displacements are interpolated linearly between. On
some
            frames between the interpolation is compared with the direct registration.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space import displacement as displacements
from ..space.grid import Grid
from .frames import Frames
from .references import Reference

_CHECKS = 10  # about so many interpolated frames are compared with the direct registration
_FRAME_ERRORS = (InputError, RuntimeError, ValueError, OSError, ArithmeticError)


@dataclass(frozen=True)
class Outcome:
    """What a strategy found for one frame.

    Attributes:
        image: the frame; None when it could not be read.
        displacement: frame point to reference point, on the frame's grid; None for the reference itself or a failure.
        error: why there is no displacement; '' when all is well.
        direct_too: the direct displacement, where an interpolated one was compared with it.
        keep: the displacement is needed to go on from here after an interruption.
        release: frames whose kept displacement is needed no more once this frame is recorded.
    """

    index: int
    reference: Reference
    image: sitk.Image | None = None
    displacement: sitk.Image | None = None
    error: str = ""
    notes: tuple[str, ...] = ()
    direct_too: sitk.Image | None = None
    keep: bool = False
    release: tuple[int, ...] = ()


class Bench:
    """What strategies work with: frames read ahead in a thread, registration, and what an earlier run finished.

    Attributes:
        register: of (fixed, moving), gives (displacement, notes); set for each reference before its frames.
        recall: gives a displacement that was kept, by frame number.
    """

    register: Callable[[sitk.Image, sitk.Image], tuple[sitk.Image, Sequence[str]]]

    def __init__(
        self,
        frames: Frames,
        finished: Collection[int] = (),
        recall: Callable[[int], sitk.Image | None] = lambda index: None,
    ) -> None:
        self.frames = frames
        self.finished = frozenset(finished)
        self.recall = recall
        self._reader = ThreadPoolExecutor(1, "voxelmorph-read")
        self._ahead: dict[int, Future] = {}

    def read(self, index: int, ahead: int | None = None) -> sitk.Image:
        """The frame; while it is worked on, frame `ahead` is read."""
        pending = self._ahead.pop(index, None) or self._reader.submit(self.frames.__getitem__, index)
        self._ahead = {} if ahead is None else {ahead: self._reader.submit(self.frames.__getitem__, ahead)}
        return pending.result()

    def close(self) -> None:
        self._reader.shutdown(wait=True, cancel_futures=True)

    def attempt(
        self, index: int, reference: Reference, ahead: int | None, find: Callable[[sitk.Image], Outcome]
    ) -> Outcome:
        """The outcome of `find`, or one that says why the frame could not be read or registered."""
        image = None
        try:
            image = self.read(index, ahead)
            return find(image)
        except _FRAME_ERRORS as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            named = reason if self.frames.name(index) in reason else f"{self.frames.name(index)}: {reason}"
            return Outcome(index, reference, image, error=named)

    def direct(self, index: int, reference: Reference, ahead: int | None = None, keep: bool = False) -> Outcome:
        def find(image: sitk.Image) -> Outcome:
            displacement, notes = self.register(image, reference.image)
            return Outcome(index, reference, image, displacement, notes=tuple(notes), keep=keep)

        return self.attempt(index, reference, ahead, find)


def direct(bench: Bench, reference: Reference, indices: Sequence[int], step: int = 0) -> Iterator[Outcome]:
    for index, following in _with_next([index for index in indices if index not in bench.finished]):
        if index == reference.index:
            yield Outcome(index, reference, reference.image)
        else:
            yield bench.direct(index, reference, following)


@dataclass(frozen=True)
class _Reached:
    """The frame a chain has come to: its image, and its displacement to the reference (None at the reference
    itself).
    """

    index: int
    image: sitk.Image
    displacement: sitk.Image | None = None


def sequential(bench: Bench, reference: Reference, indices: Sequence[int], step: int = 0) -> Iterator[Outcome]:
    yield from _reference_itself(bench, reference, indices)
    for chain in _outward(reference, indices):
        reached = _Reached(reference.index, reference.image)
        passed: list[int] = []  # finished frames beyond the one reached
        for index, following in _with_next(chain):
            if index in bench.finished:
                passed.append(index)
                continue
            reached = _resumed(bench, passed, index) or reached
            passed = []
            outcome = bench.attempt(index, reference, following, partial(_one_step, bench, reference, reached, index))
            yield outcome
            if not outcome.error:
                reached = _Reached(index, outcome.image, outcome.displacement)


def _resumed(bench: Bench, passed: list[int], ahead: int) -> _Reached | None:
    """The last of the finished frames whose displacement was kept."""
    for index in reversed(passed):
        kept = bench.recall(index)
        if kept is not None:
            return _Reached(index, bench.read(index, ahead), kept)
    return None


def _one_step(bench: Bench, reference: Reference, reached: _Reached, index: int, frame: sitk.Image) -> Outcome:
    step, notes = bench.register(frame, reached.image)
    whole = step if reached.displacement is None else displacements.compose(step, reached.displacement)
    release = () if reached.index == reference.index else (reached.index,)
    return Outcome(index, reference, frame, whole, notes=tuple(notes), keep=True, release=release)


def keyframes(bench: Bench, reference: Reference, indices: Sequence[int], step: int) -> Iterator[Outcome]:
    yield from _reference_itself(bench, reference, indices)
    for chain in _outward(reference, indices):
        segments = [chain[start : start + step] for start in range(0, len(chain), step)]
        checked = _evenly(range(len(segments)), _CHECKS)
        near: tuple[int, sitk.Image | None] = (reference.index, None)
        waiting: list[int] = []
        for number, segment in enumerate(segments):
            *between, key = segment
            check = between[len(between) // 2] if between and number in checked else None
            between = [index for index in waiting + between if index not in bench.finished]
            waiting = []
            if key not in bench.finished:
                outcome = bench.direct(key, reference, between[0] if between else None, keep=True)
                if not between and near[0] != reference.index:
                    outcome = _releasing(outcome, near[0])
                yield outcome
                if outcome.error:
                    waiting = between
                    continue
                far = (key, outcome.displacement)
            elif between:
                far = (key, _found_again(bench, key, reference))
            else:
                near = (key, None)
                continue
            if between and near[1] is None and near[0] != reference.index:
                near = (near[0], _found_again(bench, near[0], reference))
            for index, following in _with_next(between):
                outcome = _between(bench, reference, index, following, near, far, index == check)
                yield _releasing(outcome, near[0]) if following is None and near[0] != reference.index else outcome
            near = far
        for index, following in _with_next(waiting):
            yield bench.direct(index, reference, following)


STRATEGIES = {"direct": direct, "sequential": sequential, "keyframes": keyframes}


def _between(
    bench: Bench,
    reference: Reference,
    index: int,
    following: int | None,
    near: tuple[int, sitk.Image | None],
    far: tuple[int, sitk.Image],
    check: bool,
) -> Outcome:
    """Interpolated linearly in the frame number between two key frames (the reference's displacement is zero)."""

    def find(image: sitk.Image) -> Outcome:
        grid = Grid.of(image)
        share = (index - near[0]) / (far[0] - near[0])
        vectors = np.float32(share) * _vectors(far[1], grid)
        if near[1] is not None:
            vectors += np.float32(1.0 - share) * _vectors(near[1], grid)
        found = displacements.from_array(vectors, grid)
        too = bench.register(image, reference.image)[0] if check else None
        return Outcome(index, reference, image, found, direct_too=too)

    return bench.attempt(index, reference, following, find)


def _vectors(displacement: sitk.Image, grid: Grid) -> np.ndarray:
    if not Grid.of(displacement).same_as(grid):
        displacement = displacements.resample(displacement, grid)
    return sitk.GetArrayFromImage(displacement)


def _found_again(bench: Bench, index: int, reference: Reference) -> sitk.Image:
    """The displacement of a key frame that an earlier run finished: kept by it, or else registered again."""
    kept = bench.recall(index)
    return bench.register(bench.read(index), reference.image)[0] if kept is None else kept


def _reference_itself(bench: Bench, reference: Reference, indices: Sequence[int]) -> Iterator[Outcome]:
    if reference.index in indices and reference.index not in bench.finished:
        yield Outcome(reference.index, reference, reference.image)


def _outward(reference: Reference, indices: Sequence[int]) -> list[list[int]]:
    """The frames after the reference, then those before it, each starting next to it."""
    return [[i for i in indices if i > reference.index], [i for i in reversed(indices) if i < reference.index]]


def _with_next(indices: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    return zip(indices, [*indices[1:], None])


def _releasing(outcome: Outcome, index: int) -> Outcome:
    return replace(outcome, release=(*outcome.release, index))


def _evenly(items: Sequence[int], count: int) -> set[int]:
    if len(items) <= count:
        return set(items)
    return {items[round((n + 0.5) * len(items) / count - 0.5)] for n in range(count)}
