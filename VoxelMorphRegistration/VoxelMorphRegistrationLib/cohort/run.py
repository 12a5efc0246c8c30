"""The loop of a cohort: patients are opened one after the other, units go to workers, what comes back is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, error_summary
from ..files.lock import FolderLock
from ..propagation.earlier_runs import finished_rows
from ..propagation.folder import RunFolder
from .cases import Case
from .crew import Crew, is_loss
from .first_sequence import FirstSequence
from .models import Models
from .patient import Patient
from .progress import CohortProgress
from .results import Results
from .table import Result
from .units import Unit
from .work import work

_LOOK_SECONDS = 2.0
_PAGE_SECONDS = 60.0
_UNITS = 4  # of a patient for each worker, at least, where it has frames enough
_MOST_FRAMES = 40  # of a unit
_MOST_CLOSING = 4  # patients that wait to be put together, each with a name for every frame, before others are opened


@dataclass(frozen=True)
class CohortSettings:
    """How a cohort is run.

    Attributes:
        overwrite: start again. chunk: frames a unit; None: few enough for all workers to share a patient.
        pages: write report.html of each run and of the cohort.
    """

    overwrite: bool = False
    chunk: int | None = None
    pages: bool = True


class Cohort:
    """Runs the cases of a checked table on the workers of a client.

    Args:
        output: the folder of the cohort. client: a `distributed.Client`. models: those the check has loaded.
        work: what a worker does with a unit. first: the sequence that the check has kept open.

    Raises InputError when another process writes into the folder.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        output: Path,
        client: Any,
        models: Models,
        progress: CohortProgress,
        settings: CohortSettings | None = None,
        work: Callable[[Unit], None] = work,
        first: FirstSequence | None = None,
    ) -> None:
        self._waiting = list(cases)
        self._models, self._progress, self._settings = models, progress, settings or CohortSettings()
        self._first = first or FirstSequence()
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{output}: cannot be made ({error.strerror}); choose another output folder") from error
        self._lock = FolderLock(output)
        self._crew = Crew(client, work)
        self._results = Results(output, cases, progress, self._settings.pages)
        self._active: list[Patient] = []
        self._closing: list[tuple[Patient, Future[Result]]] = []
        self._thread = ThreadPoolExecutor(1, "voxelmorph-patients")  # puts finished patients together
        self._looked = self._paged = time.monotonic()
        self._failed = 0

    def run(self) -> list[Result]:
        """The results of all patients, in the order of the table, once they have ended.

        Raises InputError when the scheduler is gone or the output cannot be written.
        """
        try:
            while self._waiting or self._active or self._closing:
                self._feed()
                self._hear()
                self._look()
                self._close_ended()
            return self._results.sorted()
        finally:
            self._leave()

    def _feed(self) -> None:
        """Give every worker a unit and the next one."""
        workers = self._crew.count()
        while self._crew.has_room(workers):
            found = self._next_unit(workers)
            if found is None:
                return
            self._crew.give(*found)

    def _next_unit(self, workers: int) -> tuple[Patient, Unit] | None:
        """A unit of the first patient that has one; where none has, further patients are opened."""
        looked = 0
        while True:
            for patient in self._active[looked:]:
                try:
                    unit = patient.next_unit()
                except (InputError, OSError) as error:
                    patient.give_up(error_summary(error))
                    continue
                if unit is not None:
                    return patient, unit
            looked = len(self._active)
            if not self._waiting or len(self._closing) >= _MOST_CLOSING:
                return None
            self._open(self._waiting.pop(0), workers)

    def _open(self, case: Case, workers: int) -> None:
        """Open a patient's folder; one that is finished, or cannot be opened, ends at once."""
        try:
            # What is made of a compressed sequence stays as long as the patient does, for all workers of this machine.
            frames = self._first.take(case.name) or case.request.open_frames(shared=True)
            propagation = case.request.open(self._models.of(case.request), frames)
            run = case.request.describe(propagation)
            if not self._settings.overwrite:
                rows = finished_rows(case.folder, run, propagation)
                if rows is not None:
                    self._progress.found(case.frames)
                    self._results.add(Result.of(case, rows), case.folder)
                    return
            folder = RunFolder(
                case.folder,
                run,
                propagation.frames,
                propagation.segments(),
                case.request.wanted,
                self._settings.overwrite,
                propagation.select if case.request.frames is not None else None,
            )
        except (InputError, OSError) as error:
            self._results.add(Result.of(case, message=error_summary(error)), case.folder)
            return
        for note in folder.notes:
            self._progress.note(f"{case.name}: {note}")
        size = self._settings.chunk or min(_MOST_FRAMES, max(1, case.frames // max(1, _UNITS * workers)))
        patient = Patient(case, propagation, folder, size)
        self._progress.found(patient.done)
        self._active.append(patient)
        self._results.show_running(patient)

    def _hear(self) -> None:
        """Wait a moment for units that end."""
        if self._crew.is_idle and not self._closing and self._crew.count():
            return
        for patient, unit, error in self._crew.ended():
            self._take(patient, unit, error)

    def _take(self, patient: Patient, unit: Unit, error: BaseException | None) -> None:
        new = 0
        try:
            if error is None:
                new = patient.came_back(unit)
            elif is_loss(error):
                new = patient.was_lost(unit)
                self._progress.note(f"{patient.case.name}: a worker ended, its frames are given to another")
            else:
                patient.came_back_failed(unit, error_summary(error))
        except (InputError, OSError) as wrong:
            patient.came_back_failed(unit, error_summary(wrong))
        self._progress.made(new, self._failed_frames())

    def _look(self) -> None:
        """Take over rows of units that are being worked on, and write pages, every now and then."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            new = 0
            for patient in self._active:
                try:
                    new += patient.look()
                except (InputError, OSError) as error:
                    patient.give_up(error_summary(error))
            self._progress.made(new, self._failed_frames())
            self._looked = time.monotonic()
        if now - self._paged >= _PAGE_SECONDS:
            for patient in self._active:
                self._results.show_running(patient)
            self._paged = time.monotonic()

    def _close_ended(self) -> None:
        for patient in [one for one in self._active if one.is_over]:
            self._active.remove(patient)
            closing = self._thread.submit(self._closed, patient)
            closing.add_done_callback(lambda _: self._crew.wake())
            self._closing.append((patient, closing))
        for patient, closing in [pair for pair in self._closing if pair[1].done()]:
            self._closing.remove((patient, closing))
            self._failed += len(patient.failed)
            self._results.add(closing.result(), patient.case.folder)

    def _closed(self, patient: Patient) -> Result:
        """Put a patient together: flags, one sequence for Slicer, the page."""
        case, message = patient.case, patient.error
        try:
            if message:
                patient.close()
                rows = patient.rows()
            else:
                rows = patient.folder.finish(patient.grid)
        except (InputError, OSError) as error:
            message = message or error_summary(error)
            patient.folder.abandon()
            rows = {}
        self._results.show_ended(patient, message)
        return Result.of(case, rows, message)

    def _failed_frames(self) -> int:
        return self._failed + sum(len(patient.failed) for patient in self._active)

    def _leave(self) -> None:
        """However the loop ended: nobody works any more, what was finished is in the tables, folders are free."""
        self._progress.close()
        try:
            self._crew.dismiss()
        except Exception as error:  # The scheduler is gone.
            self._progress.note(f"workers could not be told to end ({error_summary(error)})")
        for patient in self._active:
            patient.error = patient.error or "stopped before it was finished; the same command goes on from here"
            try:
                patient.close()
            except (InputError, OSError):
                patient.folder.abandon()
            self._results.show_stopped(patient)
        self._thread.shutdown(wait=True)
        further = [closing.result() for _, closing in self._closing]
        further += [Result.of(one.case, one.rows(), one.error) for one in self._active]
        if further:
            try:
                self._results.write(further)
            except InputError:
                pass  # The error that ended the loop is the one to be told.
        self._lock.release()
