"""What patients came to: OUT/cohort.csv, and the pages of each run and of the cohort, as they stand while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import error_summary
from ..report.cohort import write_cohort_page
from ..report.frame_pictures import Limits
from ..report.run_page import PageSettings, State, write_run_page
from .cases import Case
from .patient import Patient
from .progress import CohortProgress
from .table import Result, write_table


class Results:
    """Results of the cases of a table, kept in its order.

    Args:
        output: the folder of the cohort. pages: write report.html of each run and of the cohort.
    """

    def __init__(self, output: Path, cases: Sequence[Case], progress: CohortProgress, pages: bool) -> None:
        self._output, self._progress, self._pages = output, progress, pages
        self._order = {case.name: place for place, case in enumerate(cases)}
        self._found: list[Result] = []

    def sorted(self) -> list[Result]:
        return sorted(self._found, key=lambda result: self._order[result.case])

    def add(self, result: Result, folder: Path) -> None:
        """A patient has ended. Raises InputError when the table cannot be written."""
        self.write([result])
        self._progress.patient(result.cells, str(folder))

    def write(self, further: Sequence[Result] = ()) -> None:
        """The table and the cohort's page, with `further` results. Raises InputError without room for the table."""
        self._found += further
        write_table(self._output, self.sorted())
        if self._pages:
            try:
                write_cohort_page(self._output)
            except Exception as error:
                self._progress.note(f"no page report.html of the cohort ({error_summary(error)})")

    def show_running(self, patient: Patient) -> None:
        """The page of a patient's run while it goes on: rows, no pictures."""
        self._page(patient, "running", Limits(0.0))

    def show_ended(self, patient: Patient, reason: str = "") -> None:
        """The page of a patient's run, with pictures; the reason is why it ended early."""
        self._page(patient, "interrupted" if reason else None, Limits(), reason)

    def show_stopped(self, patient: Patient) -> None:
        """The page of a patient's run that the end of the cohort has stopped: rows, no pictures."""
        self._page(patient, "interrupted", Limits(0.0), "the cohort was stopped")

    def _page(self, patient: Patient, state: State | None, limits: Limits, reason: str = "") -> None:
        """A run goes on without its page."""
        if not self._pages:
            return
        try:
            settings = PageSettings(state=state, reason=reason, limits=limits)
            write_run_page(patient.case.folder, None if limits.seconds <= 0 else patient.frames(), settings)
        except Exception as error:
            self._progress.note(f"{patient.case.name}: no page report.html ({error_summary(error)})")
