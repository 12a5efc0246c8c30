"""The thread that writes finished frames, in a run's own process and in those that help it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from .frame_files import FrameFiles
from .frame_result import FrameResult
from .table import FrameTable

_WAITING = 2  # finished frames that may wait for the disk


class FrameWriter:
    """Writes frames in a thread, in the order they are handed in: a frame's files first, and then its row.

    Args:
        run: the number in run.json of the run that makes the frames.
        written: called with each frame and its files once all of them, and its row, are on disk; in the thread.
        releases: displacements that were kept of other frames are removed once a frame needs them no more.
    """

    def __init__(
        self,
        files: FrameFiles,
        table: FrameTable,
        run: int,
        written: Callable[[FrameResult, dict[str, str]], None] = lambda result, files: None,
        releases: bool = True,
    ) -> None:
        self._files, self._table, self._run, self._written, self._releases = files, table, run, written, releases
        self._thread = ThreadPoolExecutor(1, "voxelmorph-write")
        self._waiting: list[Future] = []

    def add(self, result: FrameResult) -> None:
        """Hand in a frame to be written; waits when the disk is behind. Raises what writing an earlier one raised."""
        while len(self._waiting) >= _WAITING:
            self._waiting.pop(0).result()
        self._waiting.append(self._thread.submit(self._write, result))

    def close(self) -> None:
        """Wait until everything handed in is written; raises what writing raised."""
        self._thread.shutdown(wait=True)
        waiting, self._waiting = self._waiting, []
        for pending in waiting:
            pending.result()

    def abandon(self) -> None:
        """Finish the file that is being written, and leave the rest."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _write(self, result: FrameResult) -> None:
        if result.status == "failed":
            self._files.log_failure(result)
        else:
            self._files.write(result)
        self._table.append(result, self._run)
        if self._releases:
            for index in result.release:
                self._files.release(index)
        self._written(result, self._files.of(result))
