"""A job that the worker does for the window: prepared in pieces, ended once."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from .job import JobEnd, OnEnd, Progress
from .steps import Steps
from .worker_process import WorkerProcess


class WorkerJob:
    """What the jobs of the panel share. A job that is made has begun, and `on_end` is called exactly once, unless the
    job was forgotten.
    """

    def __init__(self, worker: WorkerProcess, progress: Progress, on_end: OnEnd) -> None:
        self._worker, self._progress, self._on_end = worker, progress, on_end
        self._steps: Steps | None = None
        self._job: str | None = None
        self._computing = self._ended = False

    def cancel(self) -> None:
        """End it within seconds; what is finished stays, and is put into the scene."""
        if self._job is not None:
            self._worker.cancel(self._job)
        elif self._steps is not None:
            self._steps.stop(lambda: self._end(JobEnd("cancelled")))

    def forget(self) -> None:
        """The scene is gone: put nothing into it any more, and tell nobody."""
        self._ended = True
        if self._steps is not None:
            self._steps.stop()
            self._steps.wait()
        if self._computing and self._job is not None:
            self._worker.cancel(self._job)
        else:
            self._clean()

    def _submit(self, command: str, arguments: list[str]) -> None:
        self._computing = True
        self._job = self._worker.submit(command, arguments, self._take)

    def _take(self, event: Mapping[str, Any]) -> None:
        if event["event"] in ("done", "cancelled", "error"):
            self._computing = False
        if not self._ended:
            self._heard(event)
        elif not self._computing:
            self._clean()

    def _heard(self, event: Mapping[str, Any]) -> None:
        """An event of the worker, while somebody waits for the job's end."""
        raise NotImplementedError

    def _clean(self) -> None:
        """Remove what was there for the worker alone."""

    def _failed(self, error: Exception) -> None:
        if self._computing and self._job is not None:
            self._worker.cancel(self._job)
        self._end(JobEnd("failed", str(error), "".join(traceback.format_exception(error))))

    def _end(self, end: JobEnd) -> None:
        if self._ended:
            return
        self._ended = True
        if not self._computing:
            self._clean()
        self._on_end(end)
