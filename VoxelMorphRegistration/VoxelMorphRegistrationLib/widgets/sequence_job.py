"""A segmentation carried through a sequence node by the worker, its frames shown as they come."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from .job import JobEnd, OnEnd, Progress
from .steps import Steps
from .words import duration
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from ..mrml.prepared_sequence import PreparedSequence


class SequenceJob:
    """Writes the frames into the run folder, has them computed there, and puts each into the scene when it is there.

    `facts` of its end: `output`, the sequence of segmentations (None where no frame came), `frames`, how many came, and
    `seconds`, of the slowest of them.
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

        asked = frames if frames is not None and "--overwrite" in options else ()
        self._live = LiveRun(prepared, folder, asked)
        self._files = SequenceFiles(prepared, folder)
        self._worker, self._folder, self._options = worker, folder, options
        self._frames, self._progress, self._on_end = frames, progress, on_end
        self._job: str | None = None
        self._arrived: deque[int] = deque()
        self._count, self._seconds = 0, 0.0
        self._end_event: Mapping[str, Any] | None = None
        self._ended = False
        self._steps = Steps(self._files.write(), self._written, self._submit, self._failed)

    @property
    def output(self) -> slicer.vtkMRMLSequenceNode | None:
        """The sequence of segmentations, once a frame is there."""
        return self._live.output

    def cancel(self) -> None:
        if self._job is None:
            self._steps.stop()
            self._end(JobEnd("cancelled"))
        else:
            self._worker.cancel(self._job)

    def forget(self) -> None:
        """The scene is gone: put nothing into it any more."""
        self._steps.stop()
        self._ended = True
        if self._job is not None:
            self._worker.cancel(self._job)

    def _written(self, share: float) -> None:
        self._progress(None, _("Handing over the frames: {percent} %").format(percent=round(100 * share)))

    def _submit(self) -> None:
        try:
            arguments = ["--sequence", str(self._files.sequence), *self._files.options(), "--output", str(self._folder)]
        except Exception as error:
            self._failed(error)
            return
        if self._frames is not None:
            arguments += ["--frames", ",".join(str(frame) for frame in self._frames)]
        self._progress(None, _("Starting ..."))
        self._job = self._worker.submit("propagate", arguments + self._options, self._heard)

    def _heard(self, event: Mapping[str, Any]) -> None:
        if self._ended:
            return
        if event["event"] == "frame":
            self._arrived.append(event["index"])
            self._count += 1
            self._seconds = max(self._seconds, event["seconds"])
            said = _("Frame {done} of {frames}, about {left} left").format(
                done=event["done"], frames=event["frames"], left=duration(event["seconds_left"])
            )
            self._progress(event["done"] / event["frames"], said)
            if len(self._arrived) == 1:
                self._steps = Steps(self._shown(), lambda index: None, lambda: None, self._failed)
        elif event["event"] == "stage" and event["name"] == "assembling":
            self._progress(None, _("Assembling the sequence ..."))
        elif event["event"] in ("done", "cancelled", "error"):
            self._end_event = event
            self._steps.stop()
            self._steps = Steps(self._all_shown(), lambda index: None, self._finish, self._failed)

    def _shown(self) -> Iterator[int]:
        while self._arrived:
            # Taken from the queue only when it is shown: the queue says whether somebody works on it.
            self._live.frame(self._arrived[0])
            yield self._arrived.popleft()

    def _all_shown(self) -> Iterator[int]:
        """What came last, and what an earlier run had finished."""
        yield from self._live.catch_up()

    def _finish(self) -> None:
        self._live.finish()
        event = self._end_event
        assert event is not None
        facts = {"output": self.output, "frames": self._count, "seconds": self._seconds}
        if event["event"] == "error":
            self._end(JobEnd("failed", event["message"], event["details"], facts))
        else:
            self._end(JobEnd("done" if event["event"] == "done" else "cancelled", facts=facts))

    def _failed(self, error: Exception) -> None:
        if self._job is not None and self._end_event is None:
            self._worker.cancel(self._job)
        self._end(JobEnd("failed", str(error), "".join(traceback.format_exception(error))))

    def _end(self, end: JobEnd) -> None:
        if not self._ended:
            self._ended = True
            self._on_end(end)
