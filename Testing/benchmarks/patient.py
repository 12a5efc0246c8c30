"""One patient from files to files: wall and processor seconds, memory, and how well the labels follow.

    python -m Testing.benchmarks.patient                # 2000 frames of 128 x 128 x 64, by motion-model on 2 cores
    python -m Testing.benchmarks.patient --frames 100 --strategy direct

Frames are those of a body that breathes (`speed.sequence`), 2 MB each, not compressed. Labels of a few frames are
compared with the drawn ones moved by the motion that was written down. Writes results/patient.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import SimpleITK as sitk

from Testing.benchmarks.speed.sequence import LABELS, BreathingBody, write_frames

RESULT = Path(__file__).parent / "results" / "patient.json"
SHAPE = (64, 128, 128)
COMPARED = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, metavar=("K", "J", "I"))
    parser.add_argument("--strategy", default="motion-model")
    parser.add_argument("--model", default="any-anatomy-fast")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="of the frames; made there where they are missing, and kept")
    args = parser.parse_args()
    body = BreathingBody(tuple(args.shape), args.frames)
    with tempfile.TemporaryDirectory(prefix="voxelmorph-patient-") as scratch:
        folder = args.folder or Path(scratch) / "frames"
        write_frames(body, folder)
        found = run(args, folder, Path(scratch) / "out")
        found["dice"] = dice(body, Path(scratch) / "out")
    told = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    told[f"{args.strategy}, {args.frames} frames"] = found
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def run(args: argparse.Namespace, folder: Path, output: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "VoxelMorphRegistrationLib", "propagate", "--sequence", str(folder)]
    command += ["--segmentation", str(folder.parent / LABELS), "--reference-frame", "0"]
    command += ["--output", str(output), "--strategy", args.strategy, "--model", args.model, "--progress", "none"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.cores)}
    environment["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(args.cores)
    began, memory = time.time(), []
    process = psutil.Popen(command, env=environment)
    while process.poll() is None:
        try:
            used = process.cpu_times()
            memory.append((sum(1 for _ in output.glob("segmentation/*.nrrd")), process.memory_info().rss / 1e6))
        except psutil.NoSuchProcess:
            break
        time.sleep(2)
    if process.returncode:
        raise SystemExit(f"{command} ended with status {process.returncode}")
    seconds = time.time() - began
    early = [megabytes for done, megabytes in memory if done >= args.frames / 10] or [memory[-1][1]]
    return {
        "frames": args.frames,
        "shape": list(args.shape),
        "cores": args.cores,
        "minutes": round(seconds / 60, 1),
        "processor_seconds_a_frame": round((used.user + used.system) / args.frames, 3),
        "megabytes_after_a_tenth": round(early[0]),
        "megabytes_at_the_end": round(early[-1]),
        "made_by": made_by(output),
        "load_before": round(os.getloadavg()[2], 1),
    }


def made_by(output: Path) -> dict[str, int]:
    import csv
    from collections import Counter

    with open(output / "frames.csv", newline="", encoding="utf-8") as stream:
        return dict(Counter(row["strategy"] or row["status"] for row in csv.DictReader(stream)))


def dice(body: BreathingBody, output: Path) -> dict[str, float]:
    """Of the drawn organs and those moved by the true motion, over some frames: mean and least."""
    found = []
    for index in np.unique(np.linspace(1, len(body) - 1, COMPARED).round().astype(int)):
        made = sitk.GetArrayFromImage(sitk.ReadImage(str(next(output.glob(f"segmentation/*{index:04d}.nrrd")))))
        true = body.true_labels(int(index))
        for label in (1, 2):
            one, other = made == label, true == label
            found.append(2 * float((one & other).sum()) / max(1.0, float(one.sum() + other.sum())))
    return {"mean": round(float(np.mean(found)), 4), "least": round(float(np.min(found)), 4)}


if __name__ == "__main__":
    main()
