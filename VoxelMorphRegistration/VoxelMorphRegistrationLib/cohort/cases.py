"""The table of a cohort: a row a patient, read and checked as a whole before anything starts."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, error_summary
from ..propagation.folder import check_run
from ..propagation.request import Request
from .models import Models

NEEDED = ("case", "sequence", "reference_frame")
_DELIMITERS = ",;\t"
_FORBIDDEN = set('<>:"/\\|?*')
_TAKEN = ("cohort.csv", "report.html")

Parse = Callable[[Mapping[str, str], Path], Request]
"""Of a row's cells but for `case`, and the folder of the run, what is asked for; raises InputError."""


@dataclass(frozen=True)
class Case:
    """One patient.

    Attributes:
        name: of the row, and of the folder in the output. folder: of the run. request: what is to be done.
        frames: how many are wanted; 0 before the case was checked.
    """

    name: str
    folder: Path
    request: Request
    frames: int = 0


def read_cases(table: str | Path, output: str | Path, parse: Parse) -> list[Case]:
    """The rows of a table, in its order; nothing is opened yet.

    Args:
        table: CSV with commas, semicolons or tabs; columns case, sequence, segmentation, reference_frame, and any
            option of a propagation. Paths are relative to it.

    Raises InputError, naming all faults, a line each.
    """
    table, output = Path(table), Path(output)
    rows = _rows(table)
    faults: list[str] = []
    cases: list[Case] = []
    taken: dict[str, int] = {}
    for line, cells in rows:
        name = cells.get("case", "")
        where = f"line {line} ({name})" if name else f"line {line}"
        fault = _fault_of_name(name)
        if not fault and name.casefold() in taken:
            fault = f"the case {name!r} is named in line {taken[name.casefold()]} already; give each its own name"
        taken.setdefault(name.casefold(), line)
        if fault:
            faults.append(f"{where}: {fault}")
        given = {column: cell for column, cell in cells.items() if column != "case" and cell}
        try:
            request = parse(given, output / name)
        except InputError as error:
            faults.append(f"{where}: {error}")
            continue
        cases.append(Case(name, output / name, request))
    _refuse(table, faults)
    return cases


def check_cases(table: str | Path, cases: Sequence[Case], models: Models, overwrite: bool = False) -> list[Case]:
    """The cases with their numbers of frames, once all of them can be run: sequences are there, segmentations lie on
    their frames, models load, folders hold nothing else.

    Raises InputError, naming all faults, a line each.
    """
    faults: list[str] = []
    checked = []
    for case in cases:
        try:
            propagation = case.request.open(models.of(case.request))
            if not overwrite:
                check_run(case.folder, case.request.describe(propagation))
        except InputError as error:
            faults.append(f"{case.name}: {error}")
        except OSError as error:
            faults.append(f"{case.name}: {error_summary(error)}")
        else:
            checked.append(replace(case, frames=len(propagation.select)))
    _refuse(Path(table), faults)
    return checked


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """Each row's cells with the number of its line."""
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
    return rows


def _fault_of_name(name: str) -> str:
    if not name:
        return "case: is empty; give the patient a name"
    forbidden = _FORBIDDEN & set(name) or {one for one in name if not one.isprintable()}
    if forbidden or name.startswith(".") or name.endswith((".", " ")) or name.casefold() in _TAKEN:
        return f"case {name!r}: cannot be the name of a folder; use letters, digits, - and _"
    return ""


def _refuse(table: Path, faults: Sequence[str]) -> None:
    if faults:
        what = "one row is" if len(faults) == 1 else f"{len(faults)} things are"
        raise InputError("\n  ".join([f"{table}: {what} not right, and nothing was started", *faults]))
