"""One patient from files to files: wall and processor seconds, memory, and how well the labels follow.

    python -m Testing.benchmarks.patient                # 2000 frames of 128 x 128 x 64, by motion-model on 2 cores
    python -m Testing.benchmarks.patient --workers 2    # by `cohort`, with two workers of one core each
    python -m Testing.benchmarks.patient --frames 100 --strategy direct

Frames are those of a body that breathes (`speed.sequence`), 2 MB each, not compressed. Labels of a few frames are
compared with the drawn ones moved by the motion that was written down. Writes results/patient.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import SimpleITK as sitk

from Testing.benchmarks.cohort import COMMAND, by_workers
from Testing.benchmarks.cohort_clock import children_seconds
from Testing.benchmarks.speed.sequence import LABELS, BreathingBody, write_frames

RESULT = Path(__file__).parent / "results" / "patient.json"
SHAPE = (64, 128, 128)
COMPARED = 20
NAME = "patient"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, metavar=("K", "J", "I"))
    parser.add_argument("--strategy", default="motion-model")
    parser.add_argument("--model", default="any-anatomy-fast")
    parser.add_argument("--cores", type=int, default=2, help="that `propagate` computes with")
    parser.add_argument("--workers", type=int, default=0, help="of a cohort of this patient; 0: `propagate` alone")
    parser.add_argument("--folder", type=Path, help="of the frames; made there where they are missing, and kept")
    args = parser.parse_args()
    body = BreathingBody(tuple(args.shape), args.frames)
    with tempfile.TemporaryDirectory(prefix="voxelmorph-patient-") as scratch:
        folder = args.folder or Path(scratch) / "frames"
        write_frames(body, folder)
        found = run(args, folder, Path(scratch) / "out")
        found["dice"] = dice(body, Path(scratch) / "out" / NAME)
    told = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    told[f"{args.strategy}, {args.frames} frames" + (f", {args.workers} workers" if args.workers else "")] = found
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def run(args: argparse.Namespace, folder: Path, output: Path) -> dict[str, Any]:
    command, cores = _command(args, folder, output), args.workers or args.cores
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.cores)}
    environment["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(args.cores)
    began, used, memory, load = time.time(), children_seconds(), [], os.getloadavg()[0]
    process = psutil.Popen(command, env=environment)
    while process.poll() is None:
        megabytes = 0.0
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                megabytes += one.memory_info().rss / 1e6
        memory.append((sum(1 for _ in output.glob(f"{NAME}/segmentation/*.nrrd")), megabytes))
        time.sleep(2)
    if process.returncode:
        raise SystemExit(f"{command} ended with status {process.returncode}")
    seconds, used = time.time() - began, children_seconds() - used
    early = [megabytes for done, megabytes in memory if done >= args.frames / 10] or [memory[-1][1]]
    return {
        "frames": args.frames,
        "shape": list(args.shape),
        "cores": cores,
        "minutes": round(seconds / 60, 1),
        "processor_seconds_a_frame": round(used / args.frames, 3),
        "megabytes_after_a_tenth": round(early[0]),
        "megabytes_at_most_after_that": round(max(early)),
        "made_by": made_by(output / NAME),
        "load_before": round(load, 1),
    }


def _command(args: argparse.Namespace, folder: Path, output: Path) -> list[str]:
    labels = folder.parent / LABELS
    if args.workers:
        table = folder.parent / "cases.csv"
        table.write_text(f"case,sequence,segmentation,reference_frame\n{NAME},{folder},{labels},0\n", encoding="utf-8")
        how = ["--set", f"strategy={args.strategy}", "--set", f"model={args.model}"]
        return [*by_workers(args.workers, table, output), *how]
    command = [
        *COMMAND,
        "propagate",
        "--sequence",
        str(folder),
        "--segmentation",
        str(labels),
        "--reference-frame",
        "0",
    ]
    command += ["--output", str(output / NAME), "--strategy", args.strategy, "--model", args.model]
    return [*command, "--progress", "none"]


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
