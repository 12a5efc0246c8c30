"""What full detail around the segmentation alone does to it: every real pair, both ways round.

    python -m Testing.benchmarks.detail                     # some 12 minutes on one core
    python -m Testing.benchmarks.detail --groups heart      # what is not measured again stays

The moving image is the segmented one, as in a propagation. Livers have landmarks and no labels: what lies between the
landmarks stands for a segmentation. Prints and writes results/detail.json: Dice or error (mm) and processor seconds
with full detail everywhere and around the segmentation, by the network alone and with 100 updates of refinement.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from scipy.spatial import Delaunay

from Testing.benchmarks.accuracy.case_real import pairs
from Testing.benchmarks.accuracy.cases import Case, exchanged, points_of
from Testing.benchmarks.accuracy.scores import error_or_dice, read_landmark_pair, score
from VoxelMorphRegistrationLib import Registrar, Settings, load_model
from VoxelMorphRegistrationLib.models.loading import Model

RESULT = Path(__file__).parent / "results" / "detail.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", nargs="+", metavar="TEXT", help="the groups whose name contains one of these")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model()
    told: dict[str, Any] = {} if not RESULT.exists() else json.loads(RESULT.read_text(encoding="utf-8"))
    for pair in pairs():
        if args.groups and not any(text in pair.group for text in args.groups):
            continue
        for case in (pair, exchanged(pair)):
            told[case.name] = {"group": case.group, **measured(case, model)}
            print(case.name, json.dumps(told[case.name]), flush=True)
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for group in dict.fromkeys(one["group"] for one in told.values()):
        of_it = [one for one in told.values() if one["group"] == group]
        means = {key: round(float(np.mean([one[key] for one in of_it])), 4) for key in _numbers(of_it[0])}
        print(group, len(of_it), json.dumps(means))


def measured(case: Case, model: Model) -> dict[str, Any]:
    fixed, moving = (sitk.ReadImage(path) for path in (case.fixed, case.moving))
    found: dict[str, Any] = {"measure": "mm" if case.landmarks else "Dice"}
    drawn = segmented(case, moving)
    for way, updates in (("network", 0), ("refined", 100)):
        for name, region in (("everywhere", None), ("around", drawn)):
            registrar = Registrar(model, Settings(align=case.align, refine=updates))
            started = time.process_time()
            result = registrar.register(fixed, moving, region=region)
            found[f"{way}_{name}_seconds"] = round(time.process_time() - started, 2)
            found[f"{way}_{name}"] = round(error_or_dice(score(case, result.displacement)), 4)
    return found


def segmented(case: Case, moving: sitk.Image) -> sitk.Image:
    """1 where the moving image is labelled, or between its landmarks."""
    if case.landmarks is None:
        labels = sitk.ReadImage(next(iter(case.labels.values()))[1])
        return sitk.Cast(labels != 0, sitk.sitkUInt8)
    hull = Delaunay(read_landmark_pair(*case.landmarks)[1])
    points = points_of(moving)
    inside = hull.find_simplex(points.reshape(-1, 3)).reshape(points.shape[:-1]) >= 0
    image = sitk.GetImageFromArray(inside.astype(np.uint8))
    image.CopyInformation(moving)
    return image


def _numbers(one: dict[str, Any]) -> list[str]:
    return [key for key, value in one.items() if isinstance(value, float)]


if __name__ == "__main__":
    main()
