"""A segmentation carried through a sequence node by the worker, its frames shown as they come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from .job import JobEnd, OnEnd, Progress
from .steps import Steps
from .words import duration
from .worker_job import WorkerJob
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from ..mrml.prepared_sequence import PreparedSequence


class SequenceJob(WorkerJob):
    """Writes the frames into the run folder, has them computed there, and puts each into the scene when it is there.

    `facts` of its end: `output`, the sequence of segmentations (None where no frame came), and `seconds`, what a frame
    took (0 where none was computed).
    """

    def __init__(
        self,
        worker: WorkerProcess,
        prepared: PreparedSequence,
        folder: Path,
        options: list[str],
        frames: Sequence[int] | None,
        progress: Progress,
        on_end: OnEnd,
    ) -> None:
        """`frames`: only these, made anew where `options` say --overwrite."""
        from ..mrml.job_files import SequenceFiles
        from ..mrml.live_run import LiveRun

        super().__init__(worker, progress, on_end)
        asked = frames if frames is not None and "--overwrite" in options else ()
        self._live = LiveRun(prepared, folder, asked)
        self._files = SequenceFiles(prepared, folder)
        self._folder, self._options, self._frames = folder, options, frames
        self._arrived: deque[int] = deque()
        self._showing = False
        self._timing = _Timing()
        self._end_event: Mapping[str, Any] | None = None
        self._steps = Steps(self._files.write(), self._written, self._propagate, self._failed)

    @property
    def output(self) -> slicer.vtkMRMLSequenceNode | None:
        """The sequence of segmentations, once a frame is there."""
        return self._live.output

    def _written(self, share: float) -> None:
        self._progress(None, _("Handing over the frames: {percent} %").format(percent=round(100 * share)))

    def _propagate(self) -> None:
        try:
            arguments = ["--sequence", str(self._files.sequence), *self._files.options(), "--output", str(self._folder)]
        except Exception as error:
            self._failed(error)
            return
        if self._frames is not None:
            arguments += ["--frames", ",".join(str(frame) for frame in self._frames)]
        self._progress(None, _("Starting ..."))
        self._submit("propagate", arguments + self._options)

    def _heard(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "start":
            self._timing.begin()
            self._progress(None, _("Timing the first of {count} frames ...").format(count=event["frames"]))
        elif event["event"] == "frame":
            self._arrived.append(event["index"])
            self._timing.frame(event)
            said = _("Frame {done} of {frames}").format(done=event["done"], frames=event["frames"])
            if self._timing.seconds > 0 and event["done"] < event["frames"]:
                left = duration(self._timing.seconds * (event["frames"] - event["done"]))
                said += _(", about {left} left").format(left=left)
            self._progress(event["done"] / event["frames"], said)
            self._show()
        elif event["event"] == "stage" and event["name"] == "assembling":
            self._progress(None, _("Assembling the sequence ..."))
        elif event["event"] == "stage" and event["name"] == "preparing":
            said = _("Unpacking the file of the frames: {percent} %")
            self._progress(None, said.format(percent=round(100 * event["share"])))
        elif event["event"] == "stage" and event["name"] == "looking":
            said = _("Looking at all frames before any is found: {percent} %")
            self._progress(None, said.format(percent=round(100 * event["share"])))
        elif event["event"] in ("done", "cancelled", "error"):
            self._end_event = event
            shown = self._steps
            assert shown is not None
            shown.stop(self._catch_up)

    def _show(self) -> None:
        """One after the other, whatever arrives meanwhile."""
        if not self._showing:
            self._showing = True
            self._steps = Steps(self._shown(), lambda index: None, self._all_shown, self._failed)

    def _shown(self) -> Generator[Any, Any, None]:
        while self._arrived:
            index = self._arrived.popleft()
            yield from self._live.frame(index)
            yield index

    def _all_shown(self) -> None:
        self._showing = False
        if self._arrived:
            self._show()

    def _catch_up(self) -> None:
        """Show what came last, and what an earlier run had finished."""
        if not self._ended:
            self._steps = Steps(self._live.catch_up(), lambda index: None, self._finish, self._failed)

    def _finish(self) -> None:
        self._live.finish()
        event = self._end_event
        assert event is not None
        facts = {"output": self.output, "seconds": self._timing.seconds}
        if event["event"] == "error":
            self._end(JobEnd("failed", event["message"], event["details"], facts))
        else:
            self._end(JobEnd("done" if event["event"] == "done" else "cancelled", facts=facts))


class _Timing:
    """What a frame takes: of several, the time that went by until the last of them; of one, what it says itself."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began, self._count = time.monotonic(), 0

    def begin(self) -> None:
        self._began = time.monotonic()

    def frame(self, event: Mapping[str, Any]) -> None:
        """Reference frames are handed through, and say nothing."""
        if event["status"] != "reference":
            self._count += 1
            self.seconds = event["seconds"] if self._count == 1 else (time.monotonic() - self._began) / self._count
