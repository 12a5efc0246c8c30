"""Can this run be used, and where must a person look: one sentence and its reasons, from the table of frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .run_folder import Row, RunFolder, number

Level = Literal["fine", "look", "stop"]
_FOLDED_PERCENT = 0.5  # as flags.py has it
_PLAUSIBLE_PERCENT = (80.0, 125.0)
_TOO_MANY = 0.25  # share of frames that failed or stand out
_NAMED = 12  # frames or labels named in one sentence


@dataclass(frozen=True)
class Verdict:
    """
    Attributes:
        level: 'fine' (nothing stands out), 'look' (some frames), 'stop' (so much is odd that the run is not to be used
            as it is).
        headline: one sentence. reasons: sentences.
        fine, odd, failed: frame numbers.
    """

    level: Level
    headline: str
    reasons: tuple[str, ...]
    fine: tuple[int, ...]
    odd: tuple[int, ...]
    failed: tuple[int, ...]


def judge_run(run: RunFolder) -> Verdict:
    """The verdict on a run as it stands."""
    failed = _numbers(run.rows, lambda row: row["status"] == "failed")
    odd = _numbers(run.rows, lambda row: row["status"] != "failed" and bool(row.get("flag")))
    fine = _numbers(run.rows, lambda row: row["status"] != "failed" and not row.get("flag"))
    count = len(run.rows)
    reasons = [_of_frames(run, fine, odd, failed)]
    doubtful = False
    for reason, doubt in (_of_volumes(run), _of_folding(run.rows), _of_similarity(run.rows)):
        if reason:
            reasons.append(reason)
        doubtful = doubtful or doubt
    reasons += [reason for reason in (_of_consistency(run.rows), _of_interpolation(run.rows)) if reason]
    if not count:
        return Verdict("look", "No frame is finished yet.", tuple(reasons), fine, odd, failed)
    if (len(odd) + len(failed)) / count > _TOO_MANY or doubtful:
        return Verdict(
            "stop",
            "Do not use this as it is: too much stands out. See why below, then redo it with other settings.",
            tuple(reasons),
            fine,
            odd,
            failed,
        )
    if odd or failed:
        some = _plural(len(odd) + len(failed), "frame")
        return Verdict("look", f"Look at {some} before this is used.", tuple(reasons), fine, odd, failed)
    return Verdict("fine", "Nothing stands out.", tuple(reasons), fine, odd, failed)


def severity(row: Row) -> tuple[float, float, float]:
    """A sorting key by which the oddest frames come first: a label that is gone, then more reasons, then larger jumps,
    then lower similarity.
    """
    flag = row.get("flag") or ""
    jumps = np.nan_to_num([number(row, "volume_jump_percent"), 3 * number(row, "centroid_jump_mm")])
    after = float(np.nan_to_num(number(row, "inside_after")))
    return (-(100.0 * ("is gone" in flag) + flag.count(";") + bool(flag)), -float(jumps.max()), after)


def share_of_reference(run: RunFolder, label: int) -> np.ndarray:
    """The label's volume in each row as percent of that in the reference frame (of the median where it has none)."""
    volumes = np.array([number(row, f"volume_ml_{label}") for row in run.rows])
    alive = np.array([row["status"] != "failed" for row in run.rows], bool)
    usual = math.nan if run.reference is None else number(run.reference, f"volume_ml_{label}")
    known = volumes[np.isfinite(volumes) & (volumes > 0)]
    if not usual > 0:
        usual = float(np.median(known)) if known.size else math.nan
    return np.where(alive, 100 * np.where(alive, np.nan_to_num(volumes), math.nan) / usual, math.nan)


def listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(one) for one in numbers[:_NAMED])
    return shown + (f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else "")


def _of_frames(run: RunFolder, fine: Sequence[int], odd: Sequence[int], failed: Sequence[int]) -> str:
    count = len(run.rows)
    parts = [f"{len(fine)} of {_plural(count, 'frame')} look like the others" if count else "no frame is there"]
    if odd:
        parts.append(f"{len(odd)} stand out and should be looked at ({listed(odd)})")
    if failed:
        parts.append(f"{len(failed)} failed ({listed(failed)})")
    sentence = ", ".join(parts) + "."
    if run.wanted is not None and count < run.wanted:
        sentence += f" {run.wanted - count} of {run.wanted} frames are missing."
    if run.total is not None and run.total > max(count, run.wanted or 0):
        sentence += f" The sequence has {run.total} frames; the others were not asked for."
    return sentence[0].upper() + sentence[1:]


def _of_volumes(run: RunFolder) -> tuple[str, bool]:
    ranges = []
    for label in run.labels:
        share = share_of_reference(run, label)
        share = share[np.isfinite(share)]
        if share.size:
            ranges.append((float(share.min()), float(share.max()), float(np.median(share)), label))
    if not ranges:
        return "", False
    low, high = _PLAUSIBLE_PERCENT
    odd = [one for one in ranges if one[0] < low or one[1] > high]
    doubtful = any(not low / 1.5 <= median <= high * 1.5 for *_, median, _ in ranges)
    if not odd:
        least, most = min(one[0] for one in ranges), max(one[1] for one in ranges)
        of = "the label" if len(ranges) == 1 else "every label"
        return f"Volumes stay plausible: {of} keeps {least:.0f} to {most:.0f} % of its volume in the reference.", False
    worst = sorted(odd, key=lambda one: one[0] - one[1])
    named = "; ".join(f"{run.label_name(one[3])} {one[0]:.0f} to {one[1]:.0f} %" for one in worst[:_NAMED])
    more = f"; and {len(worst) - _NAMED} more labels" if len(worst) > _NAMED else ""
    return f"Volumes change more than organs usually do, against the reference: {named}{more}.", doubtful


def _of_folding(rows: Sequence[Row]) -> tuple[str, bool]:
    folded = np.array([number(row, "folded_percent") for row in rows])
    if not np.isfinite(folded).any():
        return "", False
    worst = int(np.nanargmax(folded))
    if folded[worst] == 0:
        return "The displacement folds nowhere: tissue keeps its order.", False
    where = f"at most {folded[worst]:.2g} % of a frame's voxels (frame {rows[worst]['index']})"
    many = int(np.count_nonzero(folded > _FOLDED_PERCENT))
    if not many:
        return f"The displacement hardly folds: {where}.", False
    return (
        f"The displacement folds, which tissue cannot: above {_FOLDED_PERCENT} % of the voxels in "
        f"{_plural(many, 'frame')}, {where}.",
        many > len(rows) / 2,
    )


def _of_similarity(rows: Sequence[Row]) -> tuple[str, bool]:
    done = [row for row in rows if row["status"] == "done"]
    before = np.array([number(row, "inside_before") for row in done])
    after = np.array([number(row, "inside_after") for row in done])
    where = "Inside the segmentation"
    if not (np.isfinite(before) & np.isfinite(after)).any():
        before = np.array([number(row, "similarity_before") for row in done])
        after = np.array([number(row, "similarity_after") for row in done])
        where = "Over the frame"
    known = np.isfinite(before) & np.isfinite(after)
    if not known.any():
        return "", False
    metric = next((row["similarity_metric"] for row in done if row.get("similarity_metric")), "similarity")
    fell = int(np.count_nonzero(after[known] < before[known] - 0.01))
    middle = f"median {metric} {np.median(before[known]):.3f} untouched, {np.median(after[known]):.3f} after"
    if not fell:
        return f"{where} no frame is less like the reference than it was ({middle}).", False
    return (
        f"{where} {fell} of {_plural(int(known.sum()), 'frame')} became less like the reference ({middle}).",
        fell > known.sum() / 2,
    )


def _of_consistency(rows: Sequence[Row]) -> str:
    apart = np.array([number(row, "inverse_consistency_mm") for row in rows])
    if not np.isfinite(apart).any():
        return ""
    worst = int(np.nanargmax(apart))
    return (
        f"Carried to the reference and back, points land within {np.nanmedian(apart):.2g} mm of where they were "
        f"(95 of 100 points, median frame), at worst {apart[worst]:.2g} mm (frame {rows[worst]['index']})."
    )


def _of_interpolation(rows: Sequence[Row]) -> str:
    error = np.array([number(row, "interpolation_error_mm") for row in rows])
    if not np.isfinite(error).any():
        return ""
    return (
        f"Between key frames, interpolation is {np.nanmean(error):.2g} mm off what direct registration gives "
        f"(mean of {int(np.isfinite(error).sum())} sampled frames)."
    )


def _numbers(rows: Sequence[Row], wanted: Callable[[Row], bool]) -> tuple[int, ...]:
    return tuple(int(row["index"]) for row in rows if wanted(row))


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
