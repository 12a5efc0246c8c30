"""Small cohorts, and workers that meet with accidents."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from Testing.support.propagation_cases import weights_file, write_sequence
from VoxelMorphRegistrationLib.cli.cohort import RowReader
from VoxelMorphRegistrationLib.cohort.cases import read_cases
from VoxelMorphRegistrationLib.cohort.first_sequence import FirstSequence
from VoxelMorphRegistrationLib.cohort.models import Models
from VoxelMorphRegistrationLib.cohort.progress import CohortProgress
from VoxelMorphRegistrationLib.cohort.run import Cohort, CohortSettings
from VoxelMorphRegistrationLib.cohort.units import Unit
from VoxelMorphRegistrationLib.cohort.work import BegunElsewhere, work
from VoxelMorphRegistrationLib.propagation.frame_result import FrameResult
from VoxelMorphRegistrationLib.propagation.frames import FileFrames
from VoxelMorphRegistrationLib.propagation.parts import PartSink

LETHAL = "lethal"


def write_cohort_case(
    folder: Path,
    strategies: Sequence[str] = ("direct", "direct"),
    frames: int = 6,
    moved: Callable[[int], float] = float,
) -> Path:
    """FOLDER/cases.csv of patients p0, p1, ... with a strategy each, and all that it names; returns the table."""
    weights_file(folder)
    lines = ["case,sequence,segmentation,reference_frame,strategy,keyframe_step,model"]
    for n, strategy in enumerate(strategies):
        write_sequence(folder / f"p{n}", frames, 2, moved)
        lines.append(f"p{n},p{n}/frames,p{n}/segmentation2.nrrd,2,{strategy},2,tiny.pt")
    table = folder / "cases.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


@contextmanager
def _before_each_frame_is_read(act: Callable[[FileFrames, int], None]) -> Iterator[None]:
    read = FileFrames.__getitem__

    def reading(self: FileFrames, index: int):
        act(self, index)
        return read(self, index)

    FileFrames.__getitem__ = reading  # type: ignore[method-assign]
    try:
        yield
    finally:
        FileFrames.__getitem__ = read  # type: ignore[method-assign]


def _end_at_a_lethal_file(frames: FileFrames, index: int) -> None:
    if LETHAL in frames.file(index).name:
        os.kill(os.getpid(), signal.SIGKILL)


def work_that_lethal_frames_end(unit: Unit) -> None:
    """A worker's work, where reading a file with LETHAL in its name ends the process at once."""
    with _before_each_frame_is_read(_end_at_a_lethal_file):
        work(unit)


def slow_work(unit: Unit) -> None:
    """A worker's work, with a tenth of a second more for each frame that is read."""
    with _before_each_frame_is_read(lambda frames, index: time.sleep(0.1)):
        work(unit)


class InlineFuture:
    """What a client in this process hands out: it has ended."""

    def __init__(self, error: BaseException | None) -> None:
        self._error = error
        self.status = "finished" if error is None else "error"

    def cancelled(self) -> bool:
        return False

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return self._error

    def add_done_callback(self, call) -> None:
        call(self)


class InlineClient:
    """Stands in for a `distributed.Client`: units are worked on at once, in this process, in the order they come.

    A frame with LETHAL in its name ends its unit as the end of a worker's process does.
    """

    status = "running"

    def __init__(self, workers: int = 2) -> None:
        self._workers = workers
        self.units: list[Unit] = []

    def nthreads(self) -> dict[str, int]:
        return {f"worker {n}": 1 for n in range(self._workers)}

    def submit(self, function, unit: Unit, pure: bool = True, retries: int = 0) -> InlineFuture:
        self.units.append(unit)
        read = FileFrames.__getitem__

        def reading(self: FileFrames, index: int):
            if LETHAL in self.file(index).name:
                raise WorkerEnded
            return read(self, index)

        FileFrames.__getitem__ = reading  # type: ignore[method-assign]
        try:
            function(unit)
        except WorkerEnded:
            return InlineFuture(BegunElsewhere("its worker ended"))
        except Exception as error:
            return InlineFuture(error)
        finally:
            FileFrames.__getitem__ = read  # type: ignore[method-assign]
        return InlineFuture(None)


class WorkerEnded(BaseException):
    """In place of the end of a process: nothing that handles errors of frames takes it for one."""


def work_without_registering(unit: Unit) -> None:
    """Rows of the frames of a unit at once, and their label files as the reference's: what a worker says, unworked."""
    part = unit.part
    sink = PartSink(part, ())
    files = part.folder / "segmentation"
    for index in unit.frames:
        reference = index == unit.request.reference_frames[0]
        target = files / f"{index:04d}.nrrd"
        if not target.exists():
            os.link(unit.request.segmentations[0], target)
        status = "reference" if reference else "done"
        sink.frame(FrameResult(index, str(index), status, 0, displacement=sitk.Image(1, 1, 1, sitk.sitkVectorFloat32)))
    sink.finish()


def run_cohort(given, output, client=None, events=None, work=work):
    """Run a table in this process; returns the results."""
    models, first = Models(), FirstSequence()
    found = read_cases(given, output, RowReader(given.parent, []), models, first=first)
    frames = sum(case.frames for case in found)
    progress = CohortProgress("json", len(found), frames, (events if events is not None else []).append)
    how = CohortSettings(chunk=3)
    return Cohort(found, output, client or InlineClient(), models, progress, how, work, first).run()
