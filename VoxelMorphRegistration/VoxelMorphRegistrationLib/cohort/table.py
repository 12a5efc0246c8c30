"""OUT/cohort.csv: a row a patient, written whole whenever one ends."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files.atomic import atomic_write
from ..propagation.parts import Rows
from ..propagation.table import FrameTable, quoted_cells
from .cases import Case

TABLE = "cohort.csv"
_COLUMNS = ("case", "frames", "done", "flagged", "failed", "seconds", "message")


@dataclass(frozen=True)
class Result:
    """How a patient came out. Rows of frames stay on disk: a cohort may have tens of thousands.

    Attributes:
        cells: of its row; seconds are those of computing, of all frames; volumes are millilitres.
        folder: of its run; None where that has nothing of it.
    """

    cells: Mapping[str, str]
    folder: Path | None = None

    @classmethod
    def of(cls, case: Case, rows: Rows | None = None, message: str = "") -> Result:
        """With the rows of its frames.csv, if there are any, and why it ended early, if it did."""
        return cls(_cells(case, rows or {}, message), case.folder if rows else None)

    @property
    def case(self) -> str:
        return self.cells["case"]

    @property
    def frames(self) -> int:
        """How many were wanted."""
        return int(self.cells["frames"])

    @property
    def message(self) -> str:
        """Why it ended early, or ''."""
        return self.cells["message"]

    @property
    def rows(self) -> Rows:
        """The rows of its frames.csv, by frame."""
        return {} if self.folder is None else FrameTable(self.folder / "frames.csv", ()).read()


def write_table(folder: Path, results: Sequence[Result]) -> None:
    """Raises InputError when it cannot be written."""
    rows = [result.cells for result in results]
    further = sorted({name for row in rows for name in row} - set(_COLUMNS), key=_by_label)
    with atomic_write(folder / TABLE) as partial, open(partial, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [*_COLUMNS, *further], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(quoted_cells(row) for row in rows)


def _cells(case: Case, rows: Rows, message: str) -> dict[str, str]:
    done = [row for row in rows.values() if row["status"] != "failed"]
    seconds = sum(_number(row.get("seconds")) or 0.0 for row in rows.values())
    cells = {
        "case": case.name,
        "frames": str(case.frames),
        "done": str(len(done)),
        "flagged": str(sum(bool(row.get("flag")) for row in done)),
        "failed": str(len(rows) - len(done)),
        "seconds": f"{seconds:.1f}",
        "message": message,
    }
    for name in next(iter(rows.values()), {}):
        if name.startswith("volume_ml_"):
            cells |= _statistics(name, done)
        elif name.startswith("name_"):
            cells[name] = next((row[name] for row in done if row.get(name)), "")
    return cells


def _statistics(column: str, rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Of one label's volume over the frames: in the reference, least, median, largest."""
    reference = next((_number(row.get(column)) for row in rows if row["status"] == "reference"), None)
    known = [value for row in rows if (value := _number(row.get(column))) is not None]
    found = {"reference": reference}
    if known:
        found |= {"least": min(known), "median": float(np.median(known)), "most": max(known)}
    return {f"{column}_{name}": f"{value:.6g}" for name, value in found.items() if value is not None}


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _by_label(name: str) -> tuple[bool, int, str]:
    digits = "".join(one for one in name if one.isdecimal())
    return name.startswith("name_"), int(digits or 0), name
