"""One loop takes a propagation's frames; whoever wants them is a sink of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import SimpleITK as sitk

from .frame_result import FrameResult
from .propagate import Propagation


class FrameSink(Protocol):
    """Where the frames of a propagation go: a folder, a scene.

    `deliver` calls `begin` once, `frame` with each frame in the order in which they are made, and then either `finish`
    or `abort`.
    """

    @property
    def finished(self) -> Collection[int]:
        """Frames that are there already and are not to be made again."""

    def recall(self, index: int) -> sitk.Image | None:
        """The displacement that was kept of a finished frame (`FrameResult.keep`), exactly as it was; or None."""

    def begin(self, propagation: Propagation) -> None:
        """Make ready for the frames of a propagation that is set up and checked."""

    def frame(self, result: FrameResult) -> bool:
        """Take a frame, finished or failed; False stops the run, as if this frame were the last one."""

    def finish(self) -> None:
        """All frames were handed in, or `frame` stopped the run."""

    def abort(self, error: BaseException) -> None:
        """The run ends early: interrupted, or by an error, which is raised once this returns."""


def deliver(propagation: Propagation, sink: FrameSink) -> None:
    """Compute a propagation frame by frame into a sink; each frame is handed in before the next one is computed.

    Raises what the propagation or the sink raises, after the sink's `abort`.
    """
    sink.begin(propagation)
    results = propagation.run(sink.finished, sink.recall)
    try:
        for result in results:
            if not sink.frame(result):
                break
        results.close()
        sink.finish()
    except BaseException as error:
        results.close()
        sink.abort(error)
        raise
