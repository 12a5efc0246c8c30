"""`OUT/report.html`: the page of many patients, made from OUT/cohort.csv and the folders of their runs.

cohort.csv has a row a patient and these columns: `case`, the patient's name, which is also the name of the folder of
the run in OUT; `done`, `flagged`, `failed`, numbers of frames; `seconds`, the run's time. `message` may say why a
patient has no result. Other columns are left alone. Where the folder OUT/CASE is there, the numbers of its own table go
before.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..propagation.frame_order import natural_order
from .provenance import duration, sum_of
from .rendering import write_page
from .run_folder import RunFolder, number, read_run_folder
from .run_page import PAGE
from .verdict import judge_run, share_of_reference

TABLE = "cohort.csv"
_NEEDED = ("case", "done", "flagged", "failed", "seconds")
_CURVE_POINTS = 120
_CURVE_PERCENT = 5.0  # of the volume, which fills the height of a small curve at least
_DEVIATIONS = 3.5  # robust standard deviations from the middle of the patients, as Iglewicz and Hoaglin advise
_ORDER = {"failed": 0, "stop": 1, "look": 2, "unfinished": 3, "fine": 4}
_MEASURES = (
    ("least volume, % of the reference's", "least_volume"),
    ("largest volume, % of the reference's", "most_volume"),
    ("similarity inside, median", "similarity"),
    ("frames that stand out or failed, %", "odd_percent"),
    ("seconds a frame", "seconds_a_frame"),
)


@dataclass
class Patient:
    """A row of the page.

    Attributes:
        name: as shown. folder: of the run, relative to the page; '' where there is none, or it is not to be named.
        level: 'failed' (no result at all), 'stop', 'look', 'unfinished' or 'fine'. words: the verdict.
        done, flagged, failed: frames. seconds: of the run.
        curve: SVG path of the volume over the frames, 100 wide and 30 high; '' without a run.
        measures: by name, NaN where unknown. outlier: names of those far from the other patients'.
    """

    name: str
    folder: str
    level: str
    words: str
    done: int
    flagged: int
    failed: int
    seconds: float
    curve: str
    measures: dict[str, float]
    outlier: tuple[str, ...] = ()


def write_cohort_page(folder: str | Path, anonymous: bool = False) -> Path:
    """Make the page of a cohort's folder; returns its path. Patients are read one after the other.

        write_cohort_page("out")

    Args:
        anonymous: patients are numbered, and neither named nor linked.

    Raises InputError when cohort.csv is missing or lacks a column, DependencyMissing without jinja2.
    """
    folder = Path(folder)
    patients = [_patient(folder, row, n, anonymous) for n, row in enumerate(_rows(folder / TABLE))]
    _find_outliers(patients)
    patients.sort(
        key=lambda one: (_ORDER[one.level], -len(one.outlier), -one.measures["odd_percent"], natural_order(one.name))
    )
    counts = {level: sum(one.level == level for one in patients) for level in _ORDER}
    return write_page(
        "cohort.html",
        folder / PAGE,
        title="A cohort" if anonymous else folder.resolve().name,
        patients=patients,
        counts=counts,
        headline=_headline(counts, len(patients)),
        outliers=sum(bool(one.outlier) for one in patients),
        frames=sum(one.done for one in patients),
        time=duration(sum(one.seconds for one in patients)),
        duration=duration,
        plots=[_plot(title, [(one.name, one.measures[name]) for one in patients]) for title, name in _MEASURES],
    )


def _oddest_first(one: Patient) -> tuple[Any, ...]:
    return _ORDER[one.level], -len(one.outlier), -one.measures["odd_percent"], natural_order(one.name)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            lacking = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            rows = list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read; give the output folder of a cohort") from error
    if lacking:
        raise InputError(f"{path}: lacks the column {lacking[0]}; give the output folder of a cohort")
    return rows


def _patient(folder: Path, row: dict[str, str], n: int, anonymous: bool) -> Patient:
    case = row["case"]
    run = _run(folder, case)
    if run is None:
        message = row.get("message") or "no result; the folder of the run is not there"
        words = "no result" if anonymous else message
        done, flagged, failed = (int(np.nan_to_num(number(row, name))) for name in ("done", "flagged", "failed"))
        seconds = float(np.nan_to_num(number(row, "seconds")))
        level = "failed" if done == 0 else "look" if flagged + failed else "fine"
        if level != "failed":
            words = "the folder of the run is not beside this page"
        measures = {name: math.nan for _, name in _MEASURES}
        measures["odd_percent"] = 100 * (flagged + failed) / max(1, done + failed)
        return Patient(_name(case, n, anonymous), "", level, words, done, flagged, failed, seconds, "", measures)
    verdict = judge_run(run)
    level = str(verdict.level)
    if level == "fine" and run.wanted is not None and not run.complete:
        level = "unfinished"
    seconds = number(row, "seconds")
    return Patient(
        _name(case, n, anonymous),
        "" if anonymous else case,
        level,
        verdict.headline if level != "unfinished" else f"{len(run.rows)} of {run.wanted} frames are finished.",
        len(verdict.fine) + len(verdict.odd),
        len(verdict.odd),
        len(verdict.failed),
        seconds if math.isfinite(seconds) else sum_of(run.rows, "seconds"),
        _curve(run),
        _measures(run, (len(verdict.odd) + len(verdict.failed)) / max(1, len(run.rows))),
    )


def _run(folder: Path, case: str) -> RunFolder | None:
    """The run of a patient; None where there is none. A name that leads out of the folder has none."""
    path = folder / case
    if not case or folder.resolve() not in path.resolve().parents:
        return None
    try:
        return read_run_folder(path)
    except InputError:
        return None


def _name(case: str, n: int, anonymous: bool) -> str:
    return f"patient {n + 1}" if anonymous else case


def _measures(run: RunFolder, odd: float) -> dict[str, float]:
    shares = [share_of_reference(run, label) for label in run.labels]
    known = [share[np.isfinite(share)] for share in shares]
    known = [share for share in known if share.size]
    similarity = np.array([number(row, "inside_after") for row in run.rows if row["status"] == "done"])
    seconds = np.array([number(row, "seconds") for row in run.rows if row["status"] == "done"])
    return {
        "least_volume": min((float(share.min()) for share in known), default=math.nan),
        "most_volume": max((float(share.max()) for share in known), default=math.nan),
        "similarity": float(np.nanmedian(similarity)) if np.isfinite(similarity).any() else math.nan,
        "odd_percent": 100 * odd,
        "seconds_a_frame": float(np.nanmedian(seconds)) if np.isfinite(seconds).any() else math.nan,
    }


def _curve(run: RunFolder) -> str:
    """The volume of the label that changes most, as a path in a box of 100 by 30."""
    shares = [share_of_reference(run, label) for label in run.labels]
    shares = [share for share in shares if np.isfinite(share).sum() > 1]
    if not shares:
        return ""
    share = max(shares, key=lambda one: float(np.nanmax(one) - np.nanmin(one)))
    places = np.flatnonzero(np.isfinite(share))
    places = places[np.unique(np.linspace(0, len(places) - 1, _CURVE_POINTS).round().astype(int))]
    low, high = float(share[places].min()), float(share[places].max())
    span = max(high - low, _CURVE_PERCENT)  # What changes by less looks still.
    x, y = 100 * places / max(1, len(share) - 1), 15 - 26 * (share[places] - (low + high) / 2) / span
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y))


def _find_outliers(patients: Sequence[Patient]) -> None:
    for title, name in _MEASURES:
        values = np.array([one.measures[name] for one in patients])
        known = values[np.isfinite(values)]
        if known.size < 4:
            continue
        middle = float(np.median(known))
        spread = 1.4826 * float(np.median(np.abs(known - middle)))
        limit = max(_DEVIATIONS * spread, 0.05 * abs(middle), 1e-9)
        for one, value in zip(patients, values):
            if abs(value - middle) > limit:
                one.outlier = (*one.outlier, f"{title.split(',')[0]} {value:.3g} (others {middle:.3g})")


def _plot(title: str, named: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """A dot a patient along a line from the smallest to the largest value."""
    known = [(name, value) for name, value in named if math.isfinite(value)]
    if not known:
        return {"title": title, "dots": [], "low": math.nan, "high": math.nan}
    low, high = min(value for _, value in known), max(value for _, value in known)
    span = high - low
    stacked: dict[int, int] = {}
    dots: list[dict[str, Any]] = []
    for name, value in sorted(known, key=lambda one: one[1]):
        place = round(60 * (value - low) / span) if span else 30
        stacked[place] = stacked.get(place, 0) + 1
        dots.append({"x": 10 + place * 580 / 60, "level": stacked[place], "name": name, "value": value})
    rise = min(11.0, 64.0 / max(stacked.values()))
    for dot in dots:
        dot["y"] = 72 - rise * (dot["level"] - 1)
    return {"title": title, "dots": dots, "low": low, "high": high}


def _headline(counts: dict[str, int], patients: int) -> str:
    if not patients:
        return "No patient is in the table yet."
    words = {
        "failed": ("has no result", "have no result"),
        "stop": ("is not to be used as it is", "are not to be used as they are"),
        "look": ("has frames to look at", "have frames to look at"),
        "unfinished": ("is not finished", "are not finished"),
        "fine": ("shows nothing that stands out", "show nothing that stands out"),
    }
    parts = [f"{counts[level]} {words[level][counts[level] != 1]}" for level in reversed(_ORDER) if counts[level]]
    return f"Of {patients} patient{'' if patients == 1 else 's'} {', '.join(parts)}."
