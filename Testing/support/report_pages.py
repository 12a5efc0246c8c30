"""Pages of a pair and of a cohort, made without a network."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from Testing.support.propagation_cases import GRID, frame
from Testing.support.run_folders import write_run
from VoxelMorphRegistrationLib.report.pair_page import Pair

_COLUMNS = ("case", "done", "flagged", "failed", "seconds", "message", "volume_ml_1_median")


def pair_report(**changed: Any) -> dict[str, Any]:
    """What `Registration.report` says of a pair that became more alike."""
    report = {
        "version": "0.1.0",
        "model": {"name": "<b>tiny</b>", "sha256": "0" * 64},
        "device": "cpu",
        "alignment": "none",
        "network_grid": {"size": [8, 8, 8], "spacing": [1, 1, 1]},
        "similarity": {"metric": "ncc", "untouched": 0.6, "before": 0.7, "after": 0.9},
        "folded_percent": 0.0,
        "doubts": [],
        "notes": [],
        "seconds": {"total": 1.0},
    }
    return {**report, **changed}


def shifted(mm: float) -> sitk.Image:
    """A displacement of so many mm along the first axis, everywhere."""
    field = np.zeros((*GRID.shape, 3), np.float32)
    field[..., 0] = mm
    return GRID.image(field, vector=True)


def a_pair(**changed: Any) -> Pair:
    """The ball and the ball a step further, with no displacement; `changed` in its report."""
    return Pair(frame(0), frame(1), frame(0), shifted(0.0), pair_report(**changed))


def write_cohort_table(folder: Path, cases: Sequence[Mapping[str, Any]]) -> None:
    """FOLDER/cohort.csv."""
    with open(folder / "cohort.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, _COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(cases)


def write_cohort(folder: Path, odd: Mapping[int, tuple[int, ...]], patients: int = 6, frames: int = 12) -> list[dict]:
    """Runs FOLDER/patient 0, ... without images, with odd frames by patient; returns their rows, not yet written."""
    cases = []
    for n in range(patients):
        name, stand_out = f"patient {n}", odd.get(n, ())
        made = write_run(folder / f"made{n}", frames, odd=stand_out, failed=(), images=False)
        made.rename(folder / name)
        cases.append({"case": name, "done": frames, "flagged": len(stand_out), "failed": 0, "seconds": 60 + n})
    return cases
