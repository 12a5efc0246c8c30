"""Where `propagate` hands its frames: the folder of a run."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..propagation.folder import RunFolder
    from ..propagation.frame_result import FrameResult
    from ..propagation.progress import Progress
    from ..propagation.propagate import Propagation
    from ..space.grid import Grid


class RunFolderSink:
    """Frames into the folder of a run, while it is said how far the run is."""

    def __init__(self, folder: RunFolder, progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._reference: Grid | None = None
        self._started = time.perf_counter()
        self.rows: dict[int, dict[str, str]] = {}

    @property
    def finished(self) -> Collection[int]:
        return self._folder.finished

    def recall(self, index: int) -> sitk.Image | None:
        return self._folder.recall(index)

    def begin(self, propagation: Propagation) -> None:
        from ..space.grid import Grid

        self._started = time.perf_counter()
        self._reference = Grid.of(propagation.references[0].image)

    def frame(self, result: FrameResult) -> bool:
        self._folder.add(result)
        return True

    def finish(self) -> None:
        assert self._reference is not None
        self._folder.close()
        self._folder.seconds["frames"] = time.perf_counter() - self._started
        self._progress.stage("assembling", 0.0)
        self.rows = self._folder.finish(self._reference)
        self._progress.stage("assembling", 1.0)

    def abort(self, error: BaseException) -> None:
        """What was computed is still written, unless a person interrupts and waits."""
        self._progress.close()
        try:
            if isinstance(error, Exception):
                self._folder.close()
        except Exception:
            pass  # The error that ended the run is the one to be told.
        finally:
            self._folder.abandon()
