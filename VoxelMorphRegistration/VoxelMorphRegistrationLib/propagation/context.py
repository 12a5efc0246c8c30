"""What strategies work with: frames that are read ahead, registration, and what an earlier run finished."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import SimpleITK as sitk

from ..errors import DependencyMissing
from ..registration.ahead import Prepare
from .choices import StrategyName
from .failure import Failure
from .frames import Frames
from .references import Reference

if TYPE_CHECKING:
    from .motion_model_means import MotionMeans

#: Of no single frame: a package that is missing is missing for all of them.
OF_THE_RUN = (DependencyMissing, ImportError)


class Registered(NamedTuple):
    """A registered pair: its displacement on the fixed image's grid, fixed point + u = moving point, LPS mm."""

    displacement: sitk.Image
    notes: Sequence[str] = ()


class Register(Protocol):
    """Registers a pair (fixed, moving); `near`: its images lie on each other but for little."""

    def __call__(self, fixed: sitk.Image, moving: sitk.Image, near: bool = False) -> Registered: ...


@dataclass(frozen=True)
class Outcome:
    """What a strategy found for one frame.

    Attributes:
        image: the frame; None when it could not be read.
        displacement: frame point + u = reference point, LPS mm, on the frame's grid; None for the reference itself and
            for a failure.
        failure: why there is no displacement; None when all is well.
        direct_too: the direct displacement, where an interpolated one is to be compared with it.
        keep: the displacement is needed to go on from here after an interruption.
        release: frames whose kept displacement is needed no more once this frame is recorded.
        strategy: which strategy found it, where that is another one than was asked for.
    """

    index: int
    image: sitk.Image | None = None
    displacement: sitk.Image | None = None
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    direct_too: sitk.Image | None = None
    keep: bool = False
    release: tuple[int, ...] = ()
    strategy: StrategyName | None = None


@dataclass(frozen=True)
class Later:
    """An outcome that any thread may find: the frame is read, and nothing that comes after it changes it."""

    find: Callable[[], Outcome]

    def releasing(self, frames: tuple[int, ...]) -> Later:
        """The same outcome, which releases these frames."""
        return Later(lambda: replace(self.find(), release=frames))


class ReadingStopped(BaseException):
    """The run ends early, and with it whatever still asks for frames; it is no error of a frame."""


class FrameReader:
    """Reads frames in a thread of its own: the next one while the present one is worked on. Use it in a `with`."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._thread = ThreadPoolExecutor(1, "voxelmorph-read")
        self._ahead: dict[int, Future[sitk.Image]] = {}
        self._stopped = False

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def stop(self) -> None:
        """Whoever asks for a frame from now on gets ReadingStopped, in whatever thread."""
        self._stopped = True

    def read(self, index: int, ahead: int | None = None, prepare: Prepare | None = None) -> sitk.Image:
        """The frame; while it is worked on, frame `ahead` is read, and prepared. Raises what reading it raises.

        One frame is read ahead at most: another one takes its place, and none leaves it as it is.
        """
        if self._stopped:
            raise ReadingStopped
        pending = self._ahead.pop(index, None) or self._thread.submit(self._frames.__getitem__, index)
        if ahead is not None and ahead not in self._ahead:
            self._ahead = {ahead: self._thread.submit(self._read, ahead, prepare)}
        return pending.result()

    def _read(self, index: int, prepare: Prepare | None) -> sitk.Image:
        image = self._frames[index]
        if prepare is not None:
            with suppress(Exception):  # Whoever asks for what was prepared meets it again.
                prepare(image)
        return image

    def name(self, index: int) -> str:
        """What people call the frame."""
        return self._frames.name(index)


@dataclass(frozen=True)
class FrameContext:
    """The frames that one reference serves, and all that finding their displacements takes.

    Attributes:
        reference: the segmented frame.
        indices: the frames it serves, ascending; itself among them where it is wanted.
        finished: frames that an earlier run finished: no outcome is wanted of them.
        recall: the displacement that was kept of a finished frame, None when there is none.
        keyframe_step: for strategy keyframes.
        motion: for strategy motion-model.
        prepare: what `register` does with a frame alone, for the thread that reads; None where that would gain nothing.
    """

    reference: Reference
    indices: Sequence[int]
    reader: FrameReader
    register: Register
    finished: Collection[int] = frozenset()
    recall: Callable[[int], sitk.Image | None] = lambda index: None
    keyframe_step: int = 1
    motion: MotionMeans | None = None
    prepare: Prepare | None = None

    def itself(self) -> Iterator[Outcome]:
        """The reference, where it is wanted."""
        index = self.reference.index
        if index in self.indices and index not in self.finished:
            yield Outcome(index, self.reference.image)

    def attempt(
        self, index: int, ahead: int | None, find: Callable[[sitk.Image], Outcome], prepare: Prepare | None = None
    ) -> Outcome:
        """The outcome of `find` for the frame's image; any error of reading or finding becomes a failed outcome.

        Meanwhile frame `ahead` is read, and prepared where a way is given. Raises DependencyMissing and ImportError
        alone.
        """
        return self.later(index, ahead, find, prepare).find()

    def later(
        self, index: int, ahead: int | None, find: Callable[[sitk.Image], Outcome], prepare: Prepare | None = None
    ) -> Later:
        """`attempt` with the frame read, and the rest left to whoever wants it."""
        image, failure = None, None
        try:
            image = self.reader.read(index, ahead, prepare)
        except OF_THE_RUN:
            raise
        except Exception as error:
            failure = Failure.of(error, self.reader.name(index))
        return Later(partial(self._found, index, image, failure, find))

    def _found(
        self, index: int, image: sitk.Image | None, failure: Failure | None, find: Callable[[sitk.Image], Outcome]
    ) -> Outcome:
        if image is None:
            return Outcome(index, failure=failure)
        try:
            return find(image)
        except OF_THE_RUN:
            raise
        except Exception as error:
            return Outcome(index, image, failure=Failure.of(error, self.reader.name(index)))

    def direct(
        self, index: int, ahead: int | None = None, keep: bool = False, prepare: Prepare | None = None
    ) -> Outcome:
        """The frame registered with the reference; see `attempt`."""

        def find(image: sitk.Image) -> Outcome:
            displacement, notes = self.register(image, self.reference.image)
            return Outcome(index, image, displacement, notes=tuple(notes), keep=keep)

        return self.attempt(index, ahead, find, prepare)

    def recalled(self, index: int) -> Outcome:
        """The displacement of a frame that an earlier run finished: as it was kept, or else registered again."""
        kept = self.recall(index)
        return self.direct(index) if kept is None else Outcome(index, displacement=kept)


def found_now(outcome: Outcome | Later) -> Outcome:
    """The outcome, found here and now where it was left for later."""
    return outcome.find() if isinstance(outcome, Later) else outcome


def with_next(indices: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """Each frame with the one that is read ahead while it is worked on."""
    return zip(indices, [*indices[1:], None])
