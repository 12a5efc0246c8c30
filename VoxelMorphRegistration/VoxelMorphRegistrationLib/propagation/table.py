"""frames.csv: one row a frame, appended when everything else of the frame is on disk, so that a row means a finished
frame.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.atomic import atomic_write
from .flags import judge
from .frame_result import FrameResult

FIXED_COLUMNS = (
    "index", "index_value", "status", "similarity_before", "similarity_after", "folded_percent", "seconds", "message",
)  # fmt: skip
FURTHER_COLUMNS = (
    "similarity_metric", "inside_before", "inside_after", "around_before", "around_after", "inverse_consistency_mm",
    "interpolation_error_mm", "reference_frame", "volume_jump_percent", "centroid_jump_mm", "flag", "run", "strategy",
)  # fmt: skip

_NAME = "name_"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class FrameTable:
    """The rows on disk; memory holds which frames they are and no more.

    Columns: `FIXED_COLUMNS`, then volume_ml_L, centroid_r_L, centroid_a_L, centroid_s_L for each label L (RAS mm), then
    `FURTHER_COLUMNS`, then name_L for each label with a name. `flag` says why a person should look at the frame; `run`
    is the run of run.json that made it, `strategy` what found the displacement.
    """

    def __init__(self, path: Path, labels: Sequence[int], names: Mapping[int, str] | None = None) -> None:
        """`names` of label values, where they have names."""
        self.path = path
        self.labels = tuple(labels)
        self._names = dict(names or {})

    @property
    def names(self) -> dict[int, str]:
        """Of label values, where they have names."""
        return dict(self._names)

    @property
    def columns(self) -> list[str]:
        per_label = [
            f"{name}_{label}"
            for label in self.labels
            for name in ("volume_ml", "centroid_r", "centroid_a", "centroid_s")
        ]
        return [*FIXED_COLUMNS, *per_label, *FURTHER_COLUMNS, *self._name_cells()]

    def read(self) -> dict[int, dict[str, str]]:
        """The whole rows, by frame; a later row replaces an earlier one, and one that was cut short is left out."""
        if not self.path.is_file():
            return {}
        text = self.path.read_text(encoding="utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1]
        rows = {}
        for cells in csv.DictReader(io.StringIO(whole)):
            row = {name: plain_cell(cell) for name, cell in cells.items()}
            if row.get("index", "").isdigit() and None not in row.values() and None not in row:
                rows[int(row["index"])] = row
        return rows

    def start(self, rows: Mapping[int, Mapping[str, str]]) -> None:
        """Begin anew with these rows; labels they have and this run has not keep their columns."""
        known = {
            int(name.removeprefix("volume_ml_"))
            for row in rows.values()
            for name in row
            if name.startswith("volume_ml_")
        }
        self.labels = tuple(sorted({*self.labels, *known}))
        for row in rows.values():
            for label in self.labels:
                if row.get(f"{_NAME}{label}"):
                    self._names.setdefault(label, row[f"{_NAME}{label}"])
        self._rewrite(rows[index] for index in sorted(rows))

    def append(self, result: FrameResult, run: int) -> None:
        """Raises InputError when the disk does not take the row."""
        self.append_rows([_row(result, run)])

    def append_rows(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Rows as `read` gives them. Raises InputError when the disk does not take them."""
        lines = io.StringIO()
        writer = csv.DictWriter(lines, self.columns, restval="", lineterminator="\n", extrasaction="ignore")
        writer.writerows(quoted_cells({**row, **self._name_cells()}) for row in rows)
        try:
            with open(self.path, "a", encoding="utf-8", errors="backslashreplace", newline="") as stream:
                stream.write(lines.getvalue())
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror}); free space and start the run again"
            ) from error

    def finish(self) -> dict[int, dict[str, str]]:
        """Sort the rows and flag them; returns them."""
        rows = self.read()
        ordered = [rows[index] for index in sorted(rows)]
        for row, judgement in zip(ordered, judge(ordered, self.labels)):
            row["volume_jump_percent"] = _text(judgement.volume_jump_percent, 3)
            row["centroid_jump_mm"] = _text(judgement.centroid_jump_mm, 3)
            row["flag"] = judgement.reasons
        self._rewrite(ordered)
        return {int(row["index"]): row for row in ordered}

    def _rewrite(self, rows: Iterable[Mapping[str, str]]) -> None:
        with (
            atomic_write(self.path) as partial,
            open(partial, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
        ):
            writer = csv.DictWriter(stream, self.columns, restval="", lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(quoted_cells({**row, **self._name_cells()}) for row in rows)

    def _name_cells(self) -> dict[str, str]:
        return {f"{_NAME}{label}": self._names[label] for label in self.labels if label in self._names}


def plain_cell(cell: Any) -> Any:
    """The text of a cell of frames.csv without the apostrophe that keeps a spreadsheet from running it as a formula.

    What is no text (the cells that a row has too many, or lacks) comes back as it is.
    """
    quoted = isinstance(cell, str) and cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA)
    return cell[1:] if quoted else cell


def quoted_cells(row: Mapping[str, str]) -> dict[str, str]:
    """The cells as they are written: a spreadsheet would run text from a file as a formula where it begins like one."""
    return {name: f"'{cell}" if _is_formula(cell) else cell for name, cell in row.items()}


def _is_formula(cell: str) -> bool:
    bare = cell.lstrip("'")
    if bare != cell or not bare.startswith(_FORMULA):
        return bare.startswith(_FORMULA)
    try:
        float(cell)
    except ValueError:
        return True
    return False


def _row(result: FrameResult, run: int) -> dict[str, str]:
    quality = result.quality
    row = {
        "index": str(result.index),
        "index_value": result.value,
        "status": result.status,
        "similarity_before": _text(quality.similarity_before),
        "similarity_after": _text(quality.similarity_after),
        "folded_percent": _text(result.folded_percent),
        "seconds": _text(result.seconds, 3),
        "message": _one_line(result.message),
        "similarity_metric": quality.metric if result.status != "failed" else "",
        "inside_before": _text(quality.inside_before),
        "inside_after": _text(quality.inside_after),
        "around_before": _text(quality.around_before),
        "around_after": _text(quality.around_after),
        "inverse_consistency_mm": _text(quality.inverse_consistency_mm),
        "interpolation_error_mm": _text(result.interpolation_error_mm),
        "reference_frame": str(result.reference),
        "run": str(run),
        "strategy": result.strategy,
    }
    for label, (millilitres, centroid) in quality.labels.items():
        row[f"volume_ml_{label}"] = _text(millilitres, 6)
        for axis, value in zip("ras", centroid):
            row[f"centroid_{axis}_{label}"] = _text(value, 6)
    return row


def _one_line(text: str) -> str:
    """In characters that every reader of a table takes; what is no Unicode (old names of files) is written out."""
    known = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return " ".join("".join(one if one.isprintable() else " " for one in known).split())


def _text(value: float, digits: int = 5) -> str:
    return f"{value:.{digits}g}" if math.isfinite(value) else ""
