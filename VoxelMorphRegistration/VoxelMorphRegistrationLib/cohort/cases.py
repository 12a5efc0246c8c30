"""The table of a cohort: a row a patient, read and checked as a whole before anything starts."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import InputError, error_summary
from ..propagation.earlier_runs import check_run
from ..propagation.request import Request
from .first_sequence import FirstSequence
from .models import Models

NEEDED = ("case", "sequence", "reference_frame")
_OPENED = {"sequence", "segmentation", "reference_frame"}  # without which nothing else of a row can be looked at
_DELIMITERS = ",;\t"
_FORBIDDEN = set('<>:"/\\|?*')
_TAKEN = ("cohort.csv", "report.html")


class RowParser(Protocol):
    """Who knows the options of a propagation."""

    def option(self, column: str) -> str:
        """The option that a column gives. Raises InputError when it gives none."""

    def faults(self, cells: Mapping[str, str]) -> dict[str, str]:
        """What is wrong with cells, by column, as far as it is seen without opening a file."""

    def request(self, cells: Mapping[str, str], folder: Path) -> Request:
        """What is asked for by a row's cells but for `case`, in the folder of a run. Raises InputError."""


@dataclass(frozen=True)
class Case:
    """One patient.

    Attributes:
        name: of the row, and of the folder in the output. folder: of the run. request: what is to be done.
        frames: how many are wanted.
    """

    name: str
    folder: Path
    request: Request
    frames: int


def read_cases(
    table: str | Path,
    output: str | Path,
    parser: RowParser,
    models: Models,
    overwrite: bool = False,
    told: Callable[[str], None] = lambda note: None,
    first: FirstSequence | None = None,
) -> list[Case]:
    """The rows of a table, in its order, once all of them can be run: sequences are there, segmentations lie on their
    frames, networks load, folders hold nothing else.

    Args:
        table: CSV with commas, semicolons or tabs; columns case, sequence, segmentation, reference_frame, and any
            option of a propagation. Paths are relative to it.
        models: keeps the networks that were loaded.
        overwrite: what folders hold does not matter.
        told: called with what a person should know of a row, before a frame of it is read.
        first: keeps the first patient's sequence open.

    Raises InputError, naming all faults, a line each.
    """
    table, output = Path(table), Path(output)
    first = first or FirstSequence()
    columns, rows = _rows(table)
    faults = []
    for column in columns:
        try:
            parser.option(column)
        except InputError as error:
            faults.append(str(error))
    known = [column for column in columns if not any(fault.startswith(f"{column}:") for fault in faults)]
    cases: list[Case] = []
    taken: dict[str, int] = {}
    for line, cells in rows:
        name = cells["case"]
        where = f"line {line} ({name})" if name else f"line {line}"
        fault = _fault_of_name(name)
        if not fault and name.casefold() in taken:
            fault = f"the case {name!r} is named in line {taken[name.casefold()]} already; give each its own name"
        taken.setdefault(name.casefold(), line)
        if fault:
            faults.append(f"{where}: {fault}")
        given = {column: cells[column] for column in known if cells[column]}
        wrong = parser.faults(given)
        faults += [f"{where}: {one}" for one in wrong.values()]
        if _OPENED.intersection(wrong):
            continue
        given = {column: cell for column, cell in given.items() if column not in wrong}
        try:
            request = parser.request(given, output / name)
            cases.append(_checked(name, output / name, request, models, overwrite, told, first))
        except (InputError, OSError) as error:
            faults.append(f"{where}: {error_summary(error)}")
    if faults:
        what = "one thing is" if len(faults) == 1 else f"{len(faults)} things are"
        raise InputError("\n  ".join([f"{table}: {what} not right, and nothing was started", *faults]))
    return cases


def _checked(
    name: str,
    folder: Path,
    request: Request,
    models: Models,
    overwrite: bool,
    told: Callable[[str], None],
    first: FirstSequence,
) -> Case:
    frames = request.open_frames(shared=True)
    for note in (*frames.notes, *([frames.preparation] if frames.preparation else [])):
        told(f"{name}: {note}")
    try:
        propagation = request.open(models.of(request), frames)
    except InputError:
        if not first.drop():
            raise
        # There may be room for this sequence now.
        propagation = request.open(models.of(request), request.open_frames(shared=True))
    first.keep(name, propagation.frames)
    if not overwrite:
        check_run(folder, request.describe(propagation))
    return Case(name, folder, request, len(propagation.select))


def _rows(table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The columns that are options, and each row's cells with the number of its line."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{table}: cannot be read ({error_summary(error)}); give a CSV file in UTF-8 with a row a patient"
        ) from error
    lines = text.splitlines()
    head = lines[0] if lines else ""
    reader = csv.DictReader(lines, delimiter=max(_DELIMITERS, key=head.count))
    columns = [(name or "").strip() for name in reader.fieldnames or ()]
    lacking = [name for name in NEEDED if name not in columns]
    if lacking:
        raise InputError(f"{table}: lacks the column {', '.join(lacking)}; its first line names the columns")
    double = sorted({name for name in columns if name and columns.count(name) > 1})
    if double:
        raise InputError(f"{table}: names the column {', '.join(double)} twice")
    reader.fieldnames = columns
    rows = []
    for cells in reader:
        number = reader.line_num
        if None in cells:
            raise InputError(f"{table}: line {number} has more cells than there are columns; quote cells with commas")
        row = {name: (cell or "").strip() for name, cell in cells.items() if name}
        if any(row.values()):
            rows.append((number, row))
    if not rows:
        raise InputError(f"{table}: has no row; give one a patient")
    return [name for name in columns if name and name != "case"], rows


def _fault_of_name(name: str) -> str:
    if not name:
        return "case: is empty; give the patient a name"
    forbidden = _FORBIDDEN & set(name) or {one for one in name if not one.isprintable()}
    if forbidden or name.startswith(".") or name.endswith((".", " ")) or name.casefold() in _TAKEN:
        return f"case {name!r}: cannot be the name of a folder; use letters, digits, - and _"
    return ""
