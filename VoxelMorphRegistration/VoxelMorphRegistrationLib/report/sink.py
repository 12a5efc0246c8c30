"""The page of a run while it goes on: a sink of frames around the one that writes the folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

import SimpleITK as sitk

from ..errors import error_summary
from ..propagation.frame_result import FrameResult
from ..propagation.frames import Frames
from ..propagation.propagate import Propagation
from ..propagation.sinks import FrameSink
from .frame_pictures import FramePictures, Limits
from .rendering import check_available
from .run_page import PageSettings, State, write_run_page

_EVERY_SECONDS = 60.0
_SHARE = 0.02  # of the time that has passed, which drawing may take
_AT_THE_END_SECONDS = 5.0
_NOTHING = Limits(0.0)


class ReportingSink:
    """Hands everything on to the sink of a run's folder, and writes the folder's page: at the start, then every minute,
    and at the end, however that comes.

    A page that cannot be written stops no run: it is told once, in one line, by `tell`.
    """

    def __init__(self, sink: FrameSink, folder: Path, tell: Callable[[str], None]) -> None:
        self._sink, self._folder, self._tell = sink, folder, tell
        self._pictures = FramePictures()
        self._frames: Frames | None = None
        self._started = self._written = time.monotonic()
        self._every = _EVERY_SECONDS
        self._works = True

    @property
    def finished(self) -> Collection[int]:
        return self._sink.finished

    def recall(self, index: int) -> sitk.Image | None:
        return self._sink.recall(index)

    def begin(self, propagation: Propagation) -> None:
        self._sink.begin(propagation)
        self._frames = propagation.frames
        self._write("running", _NOTHING)

    def frame(self, result: FrameResult) -> bool:
        goes_on = self._sink.frame(result)
        passed = time.monotonic() - self._written
        if passed >= self._every:
            self._write("running", Limits(_SHARE * passed))
        return goes_on

    def finish(self) -> None:
        self._sink.finish()
        passed = time.monotonic() - self._started
        self._write(None, Limits(max(_AT_THE_END_SECONDS, _SHARE * passed)))

    def abort(self, error: BaseException) -> None:
        self._sink.abort(error)
        by_hand = isinstance(error, KeyboardInterrupt)
        reason = "a person or the batch system stopped it" if by_hand else error_summary(error)
        self._write("interrupted", _NOTHING, reason)

    def _write(self, state: State | None, limits: Limits, reason: str = "") -> None:
        if not self._works:
            return
        started = time.monotonic()
        try:
            check_available()
            settings = PageSettings(state=state, reason=reason, limits=limits)
            write_run_page(self._folder, self._frames, settings, self._pictures)
        except Exception as error:
            self._works = False
            self._tell(f"no page report.html, the run goes on without it ({error_summary(error)})")
        self._written = time.monotonic()
        # A table of many thousand frames takes longer to write: then the page comes less often.
        self._every = max(_EVERY_SECONDS, (self._written - started) / _SHARE)
