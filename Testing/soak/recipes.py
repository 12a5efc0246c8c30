"""The recipes of Docs/recipes.md, run as they stand there, on a patient of 2000 breathing frames of known motion.

    python -m Testing.soak.recipes                  # 2000 small frames; prints what each recipe took, and Dice
    python -m Testing.soak.recipes --frames 60      # a quick look

Every `slicer-voxelmorph` line of the section *Recipes* is run by bash in a folder laid out as the page assumes. The
long run is killed once on its way and started again by the same line.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.files.segmentations import write_segmentation
from VoxelMorphRegistrationLib.space.grid import Grid

ROOT = Path(__file__).resolve().parents[2]

GRID = Grid((48, 40, 40), (2.0, 2.0, 2.0), (-47.0, -39.0, -39.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
BREATH, LARGEST_MM = 25, 9.0  # frames a breath, superior-inferior
LIVER = 1


def content(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Intensities and labels of a frame: shapes evaluated where the tissue of each voxel was in frame 0."""
    points = GRID.points()
    amount = LARGEST_MM * np.sin(np.pi * index / BREATH) ** 2 * (1 + 0.1 * np.sin(0.37 * index) ** 2 * (index > 0))
    points[..., 2] += amount / (1 + np.exp(-(points[..., 2] + 10) / 12))
    x, y, z = np.moveaxis(points, -1, 0)
    body = (x / 44) ** 2 + (y / 36) ** 2 < 1
    liver = ((x + 10) / 26) ** 2 + (y / 22) ** 2 + ((z - 2) / 20) ** 2 < 1
    spine = (x / 7) ** 2 + ((y - 24) / 7) ** 2 < 1
    vessels = np.abs(np.sin(x / 6 + z / 9) + np.sin(y / 7 - z / 8)) < 0.25
    fat = 20 * np.sin(x / 9) * np.sin(y / 8) * np.sin(z / 10)
    image = np.where(body, 300 + fat, 0.0) + 250 * (liver & body) + 120 * (liver & vessels) - 180 * spine
    return image, (liver & body).astype(np.uint8) * LIVER


def write_patient(folder: Path, frames: int, prefix: str) -> None:
    """FOLDER/`prefix`/*.nrrd, liver.seg.nrrd and landmarks.mrk.json, as the recipes name them."""
    (folder / prefix).mkdir(parents=True)
    noise = np.random.default_rng(0)
    for index in range(frames):
        image, labels = content(index)
        image = image + noise.normal(0, 12, image.shape)
        sitk.WriteImage(GRID.image(image.astype(np.int16)), str(folder / prefix / f"frame{index}.nrrd"))
        if index == 0:
            write_segmentation(Segmentation.of(GRID.image(labels)), folder / "liver.seg.nrrd")


def dice(output: Path, index: int) -> float:
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(output / "segmentation" / f"{index:04d}.nrrd"))) == LIVER
    truth = content(index)[1] == LIVER
    return 2 * float((found & truth).sum()) / float(found.sum() + truth.sum())


def recipes() -> list[str]:
    """The shell blocks of the section *Recipes*, one recipe each."""
    section = (ROOT / "Docs" / "recipes.md").read_text(encoding="utf-8").split("\n## Recipes")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n?)+", section, flags=re.MULTILINE)
    return [block for block in blocks if "slicer-voxelmorph" in block]


def run(block: str, folder: Path, kill_after: float | None = None) -> tuple[int, float]:
    """Exit status (or minus the signal) and seconds of a block, as bash runs it."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-ec", block],
        cwd=folder,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, said = process.communicate()
    if process.returncode > 0:
        raise SystemExit(f"exit status {process.returncode} of\n{block}\n{said[-2000:]}")
    return process.returncode, time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--kill-after", type=float, default=120.0, help="seconds into the long run")
    args = parser.parse_args()
    whole, redo, points, cohort = recipes()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_patient(folder, args.frames, "patient01")
        (folder / "landmarks.mrk.json").write_text(
            '{"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": '
            '[{"label": "dome", "position": [-10, 0, 20]}]}]}'
        )
        for name in ("anna", "bert"):
            write_patient(folder / "patients" / name, 6, "frames")

        status, _ = run(whole, folder, args.kill_after)
        output = folder / "out" / "patient01"
        rows = sum(1 for _ in open(output / "frames.csv", encoding="utf-8")) - 1
        print(f"long run: {'killed' if status < 0 else 'ended'} with {rows} frames finished", flush=True)
        status, seconds = run(whole, folder)
        written = len(list((output / "segmentation").glob("[0-9]*.nrrd")))
        with open(output / "frames.csv", encoding="utf-8") as table:
            states = [row["status"] for row in csv.DictReader(table)]
        assert written == args.frames and states.count("done") == args.frames - 1, (written, len(states))
        overlaps = [dice(output, index) for index in range(1, args.frames, max(1, args.frames // 200))]
        print(
            f"started again: {args.frames - rows} frames in {seconds:.0f} s "
            f"({seconds / max(1, args.frames - rows):.2f} s a frame), "
            f"Dice mean {np.mean(overlaps):.3f}, least {np.min(overlaps):.3f}",
            flush=True,
        )
        if args.frames >= 150:
            print(f"ten frames again, refined: {run(redo, folder)[1]:.0f} s", flush=True)
        print(
            f"points only: {run(points, folder)[1]:.0f} s, {len(list((folder / 'out/points/points').iterdir()))} files",
            flush=True,
        )
        print(f"two patients of 6 frames: {run(cohort, folder)[1]:.0f} s", flush=True)
        assert all((folder / "out" / name / "segmentation.seq.nrrd").is_file() for name in ("anna", "bert"))
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"largest memory of any of them: {memory:.0f} MB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
