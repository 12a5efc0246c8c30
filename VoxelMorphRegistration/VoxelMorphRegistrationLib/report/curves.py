"""What the page's script draws: the curves over the frames and the columns of the table, as plain lists."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .run_folder import RunFolder, number
from .verdict import share_of_reference

_LABELS_DRAWN = 8
_COEFFICIENTS_DRAWN = 8
_AXES = (("s", "superior"), ("a", "anterior"), ("r", "right"))

Chart = dict[str, Any]


def charts_of(run: RunFolder) -> list[Chart]:
    """Charts, each {'title', 'unit', 'note', 'series': [{'name', 'colour', 'values'}]}; a value a row, None for none.

    Of many labels those whose volume changes most; `note` says so.
    """
    if not run.rows:
        return []
    shares = {label: share_of_reference(run, label) for label in run.labels}
    drawn = sorted(sorted(shares, key=lambda label: -_spread(shares[label]))[:_LABELS_DRAWN])
    note = "" if len(drawn) == len(shares) else f"{len(drawn)} of {len(shares)} labels, those that change most"
    charts = [
        _chart(
            "Volume, percent of the reference's",
            "%",
            [(run.label_name(label), n, shares[label]) for n, label in enumerate(drawn)],
            note,
        )
    ]
    reference = run.reference or run.rows[0]
    for axis, direction in _AXES:
        moved = []
        for n, label in enumerate(drawn):
            column = f"centroid_{axis}_{label}"
            values = np.array([number(row, column) for row in run.rows]) - number(reference, column)
            moved.append((run.label_name(label), n, values))
        charts.append(_chart(f"Centre moved to {direction}", "mm", moved, note))
    inside = [(name, column) for name, column in (("untouched", "inside_before"), ("after", "inside_after"))]
    where = "inside the segmentation"
    if not any(math.isfinite(number(row, "inside_after")) for row in run.rows):
        inside, where = [("untouched", "similarity_before"), ("after", "similarity_after")], "over the frame"
    # The reference is as alike to itself as can be, which would press the other frames together.
    rows = [row if row["status"] != "reference" else {} for row in run.rows]
    metric = next((row["similarity_metric"] for row in run.rows if row.get("similarity_metric")), "similarity")
    charts.append(
        _chart(
            f"Similarity {where}",
            metric,
            [(name, 7 - 7 * n, [number(row, column) for row in rows]) for n, (name, column) in enumerate(inside)],
        )
    )
    motion = _motion(run)
    if motion:
        charts.append(_chart("Coefficients of the motion model", "", motion))
    return [chart for chart in charts if chart["series"]]


def volume_ranges(run: RunFolder) -> list[dict[str, Any]]:
    """Of each label its name and the smallest, median and largest volume, percent of the reference's."""
    ranges = []
    for label in run.labels:
        share = share_of_reference(run, label)
        share = share[np.isfinite(share)]
        if share.size:
            ranges.append(
                {
                    "name": run.label_name(label),
                    "least": float(share.min()),
                    "middle": float(np.median(share)),
                    "most": float(share.max()),
                }
            )
    return ranges


def rounded(values: Iterable[float]) -> list[float | None]:
    """Five digits, None for what is not finite: short in JSON."""
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values]


def _motion(run: RunFolder) -> list[tuple[str, int, list[float]]]:
    """The numeric columns of motion.csv beside the frame's number, in which a motion model keeps its coefficients."""
    path = run.path / "motion.csv"
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", errors="replace", newline="") as stream:
        rows = list(csv.DictReader(stream))
    by_frame = {row["index"]: row for row in rows if row.get("index")}
    names = [name for name in (rows[0] if rows else {}) if name and name not in ("index", "index_value")]
    found: list[tuple[str, int, list[float]]] = []
    for name in names:
        values = [number(by_frame.get(row["index"], {}), name) for row in run.rows]
        if any(math.isfinite(value) for value in values):
            found.append((name, len(found), values))
    return found[:_COEFFICIENTS_DRAWN]


def _chart(title: str, unit: str, series: Sequence[tuple[str, int, Iterable[float]]], note: str = "") -> Chart:
    drawn = []
    for name, colour, values in series:
        short = rounded(values)
        if any(value is not None for value in short):
            drawn.append({"name": name, "colour": colour, "values": short})
    return {"title": title, "unit": unit, "note": note, "series": drawn}


def _spread(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.ptp(known)) if known.size else -1.0
