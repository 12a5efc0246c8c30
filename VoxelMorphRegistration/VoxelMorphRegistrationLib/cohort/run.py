"""The loop of a cohort: patients are opened one after the other, units go to workers, what comes back is kept."""

from __future__ import annotations

import queue
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
from ..report.cohort import write_cohort_page
from ..report.frame_pictures import Limits
from ..report.run_page import PageSettings, State, write_run_page
from .cases import Case
from .models import Models
from .patient import Patient
from .progress import CohortProgress
from .table import Result, write_table
from .units import Unit
from .work import BegunElsewhere, work

_POLL_SECONDS = 0.5
_LOOK_SECONDS = 2.0
_PAGE_SECONDS = 60.0
_AHEAD = 2  # units a worker, so that it finds the next one when it ends one
_UNITS = 4  # of a patient for each worker, at least, where it has frames enough
_MOST_FRAMES = 40  # of a unit
_MOST_CLOSING = 4  # patients that wait to be put together, each with a name for every frame, before others are opened
_CLOSE_SECONDS = 10.0
_WITHOUT_WORKERS = 900.0  # seconds


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
        work: what a worker does with a unit.

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
    ) -> None:
        self._waiting = list(cases)
        self._order = {case.name: place for place, case in enumerate(cases)}
        self._output, self._client, self._models, self._progress = output, client, models, progress
        self._settings, self._work = settings or CohortSettings(), work
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{output}: cannot be made ({error.strerror}); choose another output folder") from error
        self._lock = FolderLock(output)
        self._active: list[Patient] = []
        self._results: list[Result] = []
        self._futures: dict[Any, tuple[Patient, Unit]] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closing: list[tuple[Patient, Future[Result]]] = []
        self._thread = ThreadPoolExecutor(1, "voxelmorph-patients")  # puts finished patients together
        self._looked = self._paged = self._worked = time.monotonic()
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
            return self._sorted_results()
        finally:
            self._leave()

    def _feed(self) -> None:
        """Give every worker a unit and the next one."""
        workers = self._workers()
        while len(self._futures) < _AHEAD * workers:
            found = self._next_unit(workers)
            if found is None:
                return
            patient, unit = found
            future = self._client.submit(self._work, unit, pure=False, retries=0)
            self._futures[future] = found
            future.add_done_callback(self._ended.put)

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
            propagation = case.request.open(self._models.of(case.request))
            run = case.request.describe(propagation)
            if not self._settings.overwrite:
                rows = finished_rows(case.folder, run, propagation)
                if rows is not None:
                    self._progress.found(case.frames)
                    self._end(Result.of(case, rows), case.folder)
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
            self._end(Result.of(case, message=error_summary(error)), case.folder)
            return
        for note in folder.notes:
            self._progress.note(f"{case.name}: {note}")
        size = self._settings.chunk or min(_MOST_FRAMES, max(1, case.frames // max(1, _UNITS * workers)))
        patient = Patient(case, propagation, folder, size)
        self._progress.found(patient.done)
        self._active.append(patient)
        self._page(patient, "running", Limits(0.0))

    def _hear(self) -> None:
        """Wait a moment for units that end."""
        if not self._futures and not self._closing and self._workers():
            return
        try:
            future = self._ended.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            self._check_scheduler()
            return
        while True:
            if future is not None:
                self._take(future)
            try:
                future = self._ended.get_nowait()
            except queue.Empty:
                return

    def _take(self, future: Any) -> None:
        patient, unit = self._futures.pop(future)
        if future.cancelled():
            self._check_scheduler()
        error = None if future.status == "finished" else _error_of(future)
        try:
            if error is None:
                new = patient.came_back(unit)
            elif isinstance(error, _lost()):
                new = patient.was_lost(unit)
                self._progress.note(f"{patient.case.name}: a worker ended, its frames are given to another")
            else:
                new = 0
                patient.came_back_failed(unit, error_summary(error))
        except (InputError, OSError) as wrong:
            new = 0
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
                self._page(patient, "running", Limits(0.0))
            self._paged = time.monotonic()

    def _close_ended(self) -> None:
        for patient in [one for one in self._active if one.is_over]:
            self._active.remove(patient)
            closing = self._thread.submit(self._closed, patient)
            closing.add_done_callback(lambda _: self._ended.put(None))
            self._closing.append((patient, closing))
        for patient, closing in [pair for pair in self._closing if pair[1].done()]:
            self._closing.remove((patient, closing))
            self._failed += len(patient.failed)
            self._end(closing.result(), patient.case.folder)

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
        self._page(patient, "interrupted" if message else None, Limits(), message)
        return Result.of(case, rows, message)

    def _end(self, result: Result, folder: Path) -> None:
        self._results.append(result)
        self._write()
        self._progress.patient(result.cells, str(folder))

    def _write(self) -> None:
        write_table(self._output, self._sorted_results())
        if self._settings.pages:
            try:
                write_cohort_page(self._output)
            except Exception as error:
                self._progress.note(f"no page report.html of the cohort ({error_summary(error)})")

    def _page(self, patient: Patient, state: State | None, limits: Limits, reason: str = "") -> None:
        """The page of a patient's run; a run goes on without it."""
        if not self._settings.pages:
            return
        try:
            settings = PageSettings(state=state, reason=reason, limits=limits)
            write_run_page(patient.case.folder, None if limits.seconds <= 0 else patient.frames(), settings)
        except Exception as error:
            self._progress.note(f"{patient.case.name}: no page report.html ({error_summary(error)})")

    def _failed_frames(self) -> int:
        return self._failed + sum(len(patient.failed) for patient in self._active)

    def _sorted_results(self) -> list[Result]:
        return sorted(self._results, key=lambda result: self._order[result.case])

    def _workers(self) -> int:
        """How many there are. Raises InputError when the scheduler, which knows, is gone."""
        gone = "scheduler: it is gone; the same command, given again, goes on with all frames that are finished"
        if self._client.status not in ("running", "connecting", "newly-created"):
            raise InputError(gone)
        try:
            return len(self._client.nthreads())
        except Exception as error:  # Whatever Dask meets while it tries to reach it again.
            raise InputError(gone) from error

    def _check_scheduler(self) -> None:
        if self._workers():
            self._worked = time.monotonic()
        elif time.monotonic() - self._worked > _WITHOUT_WORKERS:
            raise InputError(
                f"workers: there have been none for {_WITHOUT_WORKERS / 60:.0f} minutes; start some, and then the same "
                "command again, which goes on with all frames that are finished"
            )

    def _leave(self) -> None:
        """However the loop ended: nobody works any more, what was finished is in the tables, folders are free."""
        self._progress.close()
        self._end_workers()
        for patient in self._active:
            patient.error = patient.error or "stopped before it was finished; the same command goes on from here"
            try:
                patient.close()
            except (InputError, OSError):
                patient.folder.abandon()
            self._page(patient, "interrupted", Limits(0.0), "the cohort was stopped")
        self._thread.shutdown(wait=True)
        for _, closing in self._closing:
            self._results.append(closing.result())
        if self._active or self._closing:
            self._results += [Result.of(one.case, one.rows(), one.error) for one in self._active]
            try:
                self._write()
            except InputError:
                pass  # The error that ended the loop is the one to be told.
        self._lock.release()

    def _end_workers(self) -> None:
        """Where units are still out: workers of this machine end now, others with the frame they are at."""
        if not self._futures:
            return
        cluster = getattr(self._client, "cluster", None)
        try:
            if cluster is not None:
                cluster.close(timeout=_CLOSE_SECONDS)
            else:
                self._client.cancel(list(self._futures))
        except Exception as error:  # The scheduler is gone, and with it whoever could be told.
            self._progress.note(f"workers could not be told to end ({error_summary(error)})")


def _error_of(future: Any) -> BaseException:
    try:
        return future.exception(timeout=10) or RuntimeError("a unit ended without a result")
    except BaseException as error:  # A cancelled future raises it.
        if isinstance(error, KeyboardInterrupt):
            raise
        return error


def _lost() -> tuple[type[BaseException], ...]:
    """What says that a unit's worker is no more."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    return (KilledWorker, BegunElsewhere, CancelledError, FutureCancelledError)
