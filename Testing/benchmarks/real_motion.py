"""Real sequences and real people with landmarks or labels: what the network leaves, and what refinement leaves of that.

    python -m Testing.benchmarks.real_motion [--shared ../shared] [--cases liver cine] [--refine 100]

Livers (4D MRI, mean distance of hand-set landmarks in the liver, mm, and beside it without registration), hearts (cine
MR, end diastole <- end systole, mean Dice of the labels), hippocampi and lungs of two people (mean Dice after an affine
alignment). Evaluation only: no network was trained on any of these images. Writes results/real_motion.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib import Registrar, Settings, load_model
from VoxelMorphRegistrationLib.annotations.label_statistics import dice
from VoxelMorphRegistrationLib.space.displacement import sample, warp

RESULTS = Path(__file__).parent / "results" / "real_motion.json"


@dataclass(frozen=True)
class Pair:
    """Two real images, and either landmarks (LPS mm, in the same order) or label maps of both."""

    name: str
    fixed: Path
    moving: Path
    marks: tuple[Path, Path]
    align: str

    def score(self, displacement: sitk.Image | None) -> float:
        if self.marks[0].suffix == ".vtk":
            fixed, moving = (landmarks(path) for path in self.marks)
            found = fixed if displacement is None else fixed + sample(displacement, fixed)
            return float(np.linalg.norm(found - moving, axis=1).mean())
        fixed, moving = (sitk.ReadImage(str(path)) for path in self.marks)
        moved = sitk.Resample(moving, fixed, sitk.Transform(), sitk.sitkNearestNeighbor)
        return float(
            np.mean(
                list(dice(fixed, moved if displacement is None else warp(moving, displacement, "nearest")).values())
            )
        )


def landmarks(path: Path) -> np.ndarray:
    words = path.read_text().split()
    start = words.index("POINTS")
    count = int(words[start + 1])
    return np.asarray(words[start + 3 : start + 3 + 3 * count], dtype=float).reshape(count, 3)


def pairs(data: Path) -> list[Pair]:
    found = []
    for person, cycle in (("18", "cyc_1_10"), ("18", "cyc_3_10"), ("19", "cyc_1_6"), ("19", "cyc_1_9")):
        folder = data / "liver4d" / f"dataset{person}"
        marks = (folder / "exhMasterLMliver.vtk", folder / f"{cycle}LMliver.vtk")
        found.append(Pair(f"liver {person} {cycle}", folder / "exhMaster.mha", folder / f"{cycle}.mha", marks, "none"))
    for person in ("101", "102", "104", "105"):
        folder = data / "cine" / person
        marks = (folder / "ed_labels.nii.gz", folder / "es_labels.nii.gz")
        found.append(Pair(f"cine {person}", folder / "ed.nii.gz", folder / "es.nii.gz", marks, "none"))
    for fixed, moving in (("003", "004"), ("008", "003"), ("004", "006")):
        folder = data / "hippocampus"
        marks = (folder / f"{fixed}_labels.nii.gz", folder / f"{moving}_labels.nii.gz")
        images = (folder / f"{fixed}.nii.gz", folder / f"{moving}.nii.gz")
        found.append(Pair(f"hippocampus {fixed} <- {moving}", *images, marks, "affine"))
    folder = data / "lung_mri"
    marks = (folder / "0004_lobes.nii.gz", folder / "0006_lobes.nii.gz")
    found.append(Pair("lung 0004 <- 0006", folder / "0004.nii.gz", folder / "0006.nii.gz", marks, "affine"))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--cases", nargs="+", default=[""], help="only pairs whose name contains one of these words")
    parser.add_argument("--refine", type=int, default=100)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    if not (args.shared / "data").is_dir():
        print(
            f"{args.shared / 'data'}: the real images are not there; name their folder with --shared", file=sys.stderr
        )
        return 1
    model = load_model()
    rows = {}
    for pair in pairs(args.shared / "data"):
        if not any(word in pair.name for word in args.cases):
            continue
        fixed, moving = (sitk.ReadImage(str(path)) for path in (pair.fixed, pair.moving))
        row = {"untouched": pair.score(None)}
        for name, refine in (("network", 0), ("refined", args.refine)):
            started = time.process_time()
            result = Registrar(model, Settings(align=pair.align, refine=refine)).register(fixed, moving)
            row[name] = pair.score(result.displacement)
            row[f"{name}_processor_seconds"] = time.process_time() - started
            row[f"{name}_folded_percent"] = result.folded_percent
        rows[pair.name] = {key: round(value, 4) for key, value in row.items()}
        print(pair.name, rows[pair.name], flush=True)
    for group in ("liver", "cine", "hippocampus", "lung"):
        members = [row for name, row in rows.items() if name.startswith(group)]
        if members:
            means = {
                key: round(float(np.mean([row[key] for row in members])), 3)
                for key in ("untouched", "network", "refined")
            }
            print(f"{group}: {means}")
    args.output.write_text(json.dumps({"refine": args.refine, "pairs": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
