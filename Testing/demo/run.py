"""`make demo`: carry one segmentation through a simulated patient whose truth is known, and show how well it went."""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.demo.picture import draw_frames
from Testing.demo.simulated_patient import GREY_MATTER, WHITE_MATTER, Patient, make_patient


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    parser.add_argument("--frames", type=int, default=24)
    args = parser.parse_args()
    output = args.output.resolve()
    shutil.rmtree(output, ignore_errors=True)

    print(f"Building a patient of {args.frames} frames with known motion in {output} ...", flush=True)
    patient = make_patient(output, args.frames)
    result = output / "result"
    command = [
        "slicer-voxelmorph",
        "propagate",
        "--model",
        "any-anatomy-fast",
        "--sequence",
        str(output / "frames"),
        "--segmentation",
        str(patient.segmentation),
        "--reference-frame",
        "0",
        "--output",
        str(result),
    ]
    print("$ " + " ".join(command), flush=True)
    started = time.perf_counter()
    finished = subprocess.run([str(Path(sys.executable).with_name(command[0])), *command[1:]])
    if finished.returncode:
        return finished.returncode
    seconds = time.perf_counter() - started

    _print_table(patient, result)
    print(f"{seconds / args.frames:.2f} s a frame over the whole run, start-up included")
    picture = draw_frames(patient, result / "segmentation", output / "demo.png")
    print(f"""
Picture:        {picture}
Frames:         {output / "frames"}
Segmentations:  {result / "segmentation"}
One sequence:   {result / "segmentation.seq.nrrd"}
Table:          {result / "frames.csv"}
In Slicer: drag segmentation.seq.nrrd and the frames into the window and play them in the Sequences toolbar.
Look first:     {result / "report.html"}""")
    return 0


def _print_table(patient: Patient, result: Path) -> None:
    with open(result / "frames.csv", newline="") as table:
        seconds = {int(row["index"]): float(row["seconds"] or 0) for row in csv.DictReader(table)}
    nothing = sitk.GetArrayFromImage(sitk.ReadImage(str(patient.segmentation)))
    print(f"\n{'frame':>5}  {'grey matter Dice':>24}  {'white matter Dice':>24}  {'seconds':>7}")
    print(f"{'':>5}  {'propagated (untouched)':>24}  {'propagated (untouched)':>24}")
    for index in range(0, len(patient.frames), 4):
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(patient.truth[index])))
        found = sitk.GetArrayFromImage(sitk.ReadImage(str(result / "segmentation" / f"{index:04d}.nrrd")))
        cells = [
            f"{_dice(found, truth, label):.3f} ({_dice(nothing, truth, label):.3f})".rjust(24)
            for label in (GREY_MATTER, WHITE_MATTER)
        ]
        print(f"{index:>5}  {cells[0]}  {cells[1]}  {seconds[index]:>7.2f}")


def _dice(one: np.ndarray, other: np.ndarray, label: int) -> float:
    a, b = one == label, other == label
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


if __name__ == "__main__":
    sys.exit(main())
