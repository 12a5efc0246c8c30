"""Which frames a person should look at, and why: judged from the table of all frames, once neighbours are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_FOLDED_PERCENT = 0.5
_INVERSE_MM = 2.0
_SIMILARITY_DROP = 0.01
_SIMILARITY_SPREAD = 0.05
_ALIKE = {"ncc": 0.98, "nmi": 1.5}  # of frames that lie on their reference; interpolation alone costs nmi a tenth
_LOST = {"ncc": 0.01, "nmi": 0.2}
_VOLUME_JUMP_PERCENT = 10.0
_VOLUME_SHARE = 0.5
_CENTROID_JUMP_MM = 3.0
_DEVIATIONS = 5.0  # times the robust standard deviation


@dataclass(frozen=True)
class Judgement:
    """`reasons` is '' for a frame that looks like the others. Jumps are against what both neighbours let expect."""

    volume_jump_percent: float = math.nan
    centroid_jump_mm: float = math.nan
    reasons: str = ""


def judge(rows: Sequence[Mapping[str, str]], labels: Sequence[int]) -> list[Judgement]:
    """A judgement for each row of frames.csv (ascending, values as text)."""
    volumes = {label: _column(rows, f"volume_ml_{label}") for label in labels}
    centroids = {label: np.stack([_column(rows, f"centroid_{axis}_{label}") for axis in "ras"], -1) for label in labels}
    index = _column(rows, "index")
    alive = np.asarray([row["status"] != "failed" for row in rows], dtype=bool)
    volume_jumps = {
        label: 100 * _jumps(index, values[:, None], alive) / np.nanmedian(np.append(values[values > 0], np.nan))
        if np.any(values > 0)
        else np.full(len(rows), math.nan)
        for label, values in volumes.items()
    }
    centroid_jumps = {label: _jumps(index, values, alive) for label, values in centroids.items()}
    reference = next((n for n, row in enumerate(rows) if row["status"] == "reference"), None)
    after = np.where(alive, _column(rows, "inside_after"), math.nan)
    low = _limit(-after, _SIMILARITY_SPREAD, centred=True)
    judgements = []
    for n, row in enumerate(rows):
        if not alive[n]:
            judgements.append(Judgement(reasons="failed"))
            continue
        reasons = _of_frame(row, after[n], low)
        reasons += _of_labels(n, reference, volumes) if row["status"] == "done" else []
        for label in labels:
            if volume_jumps[label][n] > _limit(volume_jumps[label], _VOLUME_JUMP_PERCENT):
                reasons.append(f"volume of label {label} jumps by {volume_jumps[label][n]:.0f} %")
            if centroid_jumps[label][n] > _limit(centroid_jumps[label], _CENTROID_JUMP_MM):
                reasons.append(f"label {label} jumps by {centroid_jumps[label][n]:.1f} mm")
        judgements.append(Judgement(_greatest(volume_jumps, n), _greatest(centroid_jumps, n), "; ".join(reasons)))
    return judgements


def _of_frame(row: Mapping[str, str], after: float, low: float) -> list[str]:
    reasons = []
    untouched, warped = _number(row.get("similarity_before", "")), _number(row.get("similarity_after", ""))
    metric = row.get("similarity_metric") or "ncc"
    if row["status"] == "done" and warped <= untouched and not _as_good(metric, untouched, warped):
        reasons.append(f"similarity is {warped:.3g} and was {untouched:.3g} untouched: nothing was gained")
    before = _number(row.get("inside_before", ""))
    if after < before - _SIMILARITY_DROP:
        reasons.append(f"similarity inside the segmentation fell from {before:.2f} to {after:.2f}")
    if -after > low:
        reasons.append(f"similarity inside the segmentation is {after:.2f}, lower than in other frames")
    folded, inverse = _number(row.get("folded_percent", "")), _number(row.get("inverse_consistency_mm", ""))
    if folded > _FOLDED_PERCENT:
        reasons.append(f"{folded:.1f} % of the voxels fold, more than {_FOLDED_PERCENT:g} %")
    if inverse > _INVERSE_MM:
        reasons.append(f"points come back {inverse:.1f} mm from where they were")
    return reasons


def _as_good(metric: str, untouched: float, warped: float) -> bool:
    """Whether a frame lay on its reference before, so that there was nothing to gain."""
    return metric in _ALIKE and untouched >= _ALIKE[metric] and warped >= untouched - _LOST[metric]


def _of_labels(n: int, reference: int | None, volumes: Mapping[int, np.ndarray]) -> list[str]:
    reasons = []
    for label, values in volumes.items():
        usual = values[reference] if reference is not None else np.nanmedian(np.append(values, np.nan))
        now = np.nan_to_num(values[n])
        if usual > 0 and now == 0:
            reasons.append(f"label {label} is gone")
        elif usual > 0 and not _VOLUME_SHARE <= now / usual <= 1 / _VOLUME_SHARE:
            reasons.append(f"label {label} has {100 * now / usual:.0f} % of its volume")
    return reasons


def _jumps(index: np.ndarray, values: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """Distance of each frame's values (n, c) from the line between its neighbours' that did not fail; NaN at the
    ends.
    """
    jumps = np.full(len(index), math.nan)
    kept = np.flatnonzero(alive)
    for before, here, after in zip(kept, kept[1:], kept[2:]):
        share = (index[here] - index[before]) / (index[after] - index[before])
        jumps[here] = np.linalg.norm(values[here] - (1 - share) * values[before] - share * values[after])
    return jumps


def _limit(values: np.ndarray, least: float, centred: bool = False) -> float:
    """What a value must exceed to stand out: `least` and some robust standard deviations (above the median)."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return math.inf
    middle = float(np.median(known))
    spread = _DEVIATIONS * 1.4826 * float(np.median(np.abs(known - middle)))
    return middle + max(least, spread) if centred else max(least, middle + spread)


def _greatest(jumps: Mapping[int, np.ndarray], n: int) -> float:
    known = [values[n] for values in jumps.values() if math.isfinite(values[n])]
    return max(known, default=math.nan)


def _column(rows: Sequence[Mapping[str, str]], name: str) -> np.ndarray:
    return np.asarray([_number(row.get(name, "")) for row in rows], dtype=float)


def _number(text: str | None) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:  # A cell that a person or a bad disk changed says nothing.
        return math.nan
