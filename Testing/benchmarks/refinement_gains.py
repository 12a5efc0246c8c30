"""What a change by refinement must win to be believed: what it won, and whether it helped, on every pair there is.

    python -m Testing.benchmarks.refinement_gains                       # some 20 minutes on one core
    python -m Testing.benchmarks.refinement_gains --groups "abdomen MR" # what is not measured again stays

The pairs of the accuracy benchmark, the real ones also with fixed and moving image exchanged. Refinement takes what is
better by however little here. Prints and writes results/refinement_gains.json: the shares of the missing local
correlation that its fits alone won and that the whole change won, and Dice or error (mm) by the network alone and
refined.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch

from Testing.benchmarks.accuracy.cases import Case, build, exchanged
from Testing.benchmarks.accuracy.scores import error_or_dice, score
from VoxelMorphRegistrationLib import Registrar, Settings, load_model
from VoxelMorphRegistrationLib.models.loading import Model
from VoxelMorphRegistrationLib.refinement import refine
from VoxelMorphRegistrationLib.refinement.schemes import ONE_CONTRAST

_FRAMES = (5, 10, 15)  # of 20 of each simulated sequence
RESULT = Path(__file__).parent / "results" / "refinement_gains.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", nargs="+", metavar="TEXT", help="the groups whose name contains one of these")
    args = parser.parse_args()
    torch.set_num_threads(1)
    refine._LEAST_SHARE, refine._FIRST_SHARE = 0.0, -math.inf  # What is measured here is where they should lie.
    model = load_model()
    told: dict[str, Any] = {} if not RESULT.exists() else json.loads(RESULT.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        for case in _both_ways(build(Path(folder), "full")):
            if args.groups and not any(text in case.group for text in args.groups):
                continue
            told[case.name] = measured(case, model)
            print(case.name, json.dumps(told[case.name]), flush=True)
            RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _both_ways(cases: list[Case]) -> Iterator[Case]:
    for case in cases:
        if case.frame is None or case.frame in _FRAMES:
            yield case
        if case.real:
            yield exchanged(case)


def measured(case: Case, model: Model) -> dict[str, Any]:
    fixed, moving = (sitk.ReadImage(path) for path in (case.fixed, case.moving))
    fits = sum(level.updates for level in ONE_CONTRAST.fits)
    found: dict[str, Any] = {}
    won: dict[str, float] = {}
    for name, how in (("network", 0), ("fits", fits), ("refined", case.refine)):
        result = Registrar(model, Settings(align=case.align, refine=how)).register(fixed, moving)
        scores = score(case, result.displacement)
        found[name] = round(error_or_dice(scores), 4)
        won[name] = _won(result.report()["refinement"])
    measure, by = "mm" if "tre_mm" in scores else "Dice", result.report()["refinement"]["similarity"]
    found = {name: found[name] for name in ("network", "refined")}
    return {"measure": measure, **found, "by": by, "won_by_fits": won["fits"], "won": won["refined"]}


def _won(done: dict[str, Any] | None) -> float:
    """The share of the missing similarity that a change won."""
    if done is None:
        return 0.0
    missing = 1 - done["similarity_before"] if done["similarity"] == "lncc" else -done["similarity_before"]
    return round((done["similarity_after"] - done["similarity_before"]) / missing, 3)


if __name__ == "__main__":
    main()
