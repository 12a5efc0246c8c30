"""A directly registered frame by an earlier version and by this one: processor seconds, and the error of known motion.

    python -m Testing.benchmarks.speed_against_commit                  # against c7a652f, some 12 minutes on one core
    python -m Testing.benchmarks.speed_against_commit COMMIT --sequences body --models any-anatomy-fast

The commit is checked out in a git worktree of its own, which is gone afterwards. Both versions get the same images and
the same call, `propagate(frames, labels, 0, model)`, by turns and each in a process of its own with one thread, so that
a frame is registered, its labels are warped and its quality is measured. Loading and the first frame, which carries
what is done once, do not count; of the rounds the one that other programs delayed least does. Errors are in voxels of
the finest axis. Writes results/speed_against_commit.json, in which what is not measured again stays, and the table of
Docs/speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from Testing.benchmarks.motion_model import LIVER, BreathingWithIntruders
from Testing.benchmarks.speed.report import PAGE, RESULTS
from Testing.benchmarks.speed.sequence import IN_PLANE, BreathingBody
from Testing.support.marked_pages import between

ROOT = Path(__file__).resolve().parents[2]
RESULT = RESULTS / "speed_against_commit.json"
COMMIT, AIM = "c7a652f", 2.5
MODELS = ("any-anatomy-fast", "any-anatomy")
_BEFORE_COUNTING = 2  # the reference and the first frame
_NAMES = {"ct": "CT that breathes, 122 x 101 x 112", "body": "simulated body that breathes, 128 x 128 x 64"}

_RUNNER = """
import json, sys, time
from pathlib import Path
import SimpleITK as sitk
import VoxelMorphRegistrationLib as library
folder, output, model = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
frames = [sitk.ReadImage(str(path)) for path in sorted(folder.glob("frame*.nrrd"))]
found = library.propagate(frames, sitk.ReadImage(str(folder / "labels.nrrd")), 0, model)
seconds, started = [], time.process_time()
for result in found:
    seconds.append(time.process_time() - started)
    if result.displacement is None:
        raise SystemExit(result.message)
    sitk.WriteImage(result.displacement, str(output / f"{result.index}.nrrd"))
    started = time.process_time()
print(json.dumps({"library": library.__file__, "seconds": seconds}))
"""


@dataclass(frozen=True)
class Known:
    """Frames of known motion, the reference first; `error(position, displacement)` is the mean distance, voxels."""

    frames: list[sitk.Image]
    labels: sitk.Image
    error: Callable[[int, sitk.Image], float]

    def write(self, folder: Path) -> None:
        sitk.WriteImage(self.labels, str(folder / "labels.nrrd"))
        for position, frame in enumerate(self.frames):
            sitk.WriteImage(frame, str(folder / f"frame{position:03d}.nrrd"))

    def mean_error(self, folder: Path | None) -> float:
        """Of the frames that count: of the displacements in a folder, or of none at all."""
        errors = []
        for position in range(_BEFORE_COUNTING, len(self.frames)):
            if folder is None:
                displacement = sitk.Image(self.frames[0].GetSize(), sitk.sitkVectorFloat32, 3)
                displacement.CopyInformation(self.frames[0])
            else:
                displacement = sitk.ReadImage(str(folder / f"{position}.nrrd"))
            errors.append(self.error(position, displacement))
        return round(float(np.mean(errors)), 4)


def breathing_ct(count: int) -> Known:
    case = BreathingWithIntruders(200)
    chosen = [0, *[index for index in range(1, len(case)) if not case.intruder(index)][: count + 1]]
    liver = sitk.Cast(case.labels == LIVER, sitk.sitkUInt8)
    return Known([case[index] for index in chosen], liver, lambda at, found: case.error(chosen[at], found))


def breathing_body(count: int) -> Known:
    body = BreathingBody((64, 128, 128), count + _BEFORE_COUNTING)

    def error(index: int, displacement: sitk.Image) -> float:
        inside = body.true_labels(index) > 0
        true, found = (sitk.GetArrayFromImage(one)[inside] for one in (body.true_displacement(index), displacement))
        return float(np.linalg.norm(found - true, axis=-1).mean()) / IN_PLANE

    return Known([body[index] for index in range(len(body))], body.labels(), error)


SEQUENCES = {"ct": breathing_ct, "body": breathing_body}


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The commit's files, in a worktree that is removed again."""
    with tempfile.TemporaryDirectory(prefix="voxelmorph-commit-") as folder:
        place = Path(folder) / "tree"
        try:
            _git("worktree", "add", "--quiet", "--detach", str(place), commit)
            yield place
        finally:
            if place.exists():
                _git("worktree", "remove", "--force", str(place))


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def measured(tree: Path, known: Path, output: Path, model: str) -> float:
    """Processor seconds a frame by the version in `tree`; displacements go into `output`."""
    output.mkdir(parents=True, exist_ok=True)
    package = tree / "VoxelMorphRegistration"
    environment = {
        **os.environ,
        "PYTHONPATH": str(package),
        "OMP_NUM_THREADS": "1",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    }
    command = [sys.executable, "-c", _RUNNER, str(known), str(output), model]
    done = subprocess.run(command, cwd=known, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tree}, {model}: {done.stderr.strip()[-2000:]}")
    told = json.loads(done.stdout.strip().splitlines()[-1])
    if not Path(told["library"]).resolve().is_relative_to(package.resolve()):
        raise SystemExit(f"{told['library']}: was measured in place of {package}; is PYTHONPATH ignored?")
    return float(np.mean(told["seconds"][_BEFORE_COUNTING:]))


def compared(earlier: Path, name: str, model: str, frames: int, rounds: int) -> dict[str, Any]:
    known = SEQUENCES[name](frames)
    trees = {"earlier": earlier, "now": ROOT}
    with tempfile.TemporaryDirectory(prefix="voxelmorph-frames-") as folder:
        images = Path(folder) / "frames"
        images.mkdir()
        known.write(images)
        seconds: dict[str, list[float]] = {which: [] for which in trees}
        for number in range(rounds):
            for which in list(trees)[:: -1 if number % 2 else 1]:
                seconds[which].append(measured(trees[which], images, Path(folder) / which, model))
        error = {which: known.mean_error(Path(folder) / which) for which in trees}
    least = {which: min(found) for which, found in seconds.items()}
    return {
        "frames": frames,
        "processor_seconds_a_frame": {which: round(found, 3) for which, found in least.items()},
        "in_each_round": {which: [round(one, 3) for one in found] for which, found in seconds.items()},
        "times_less": round(least["earlier"] / least["now"], 2),
        "error_voxels": {"untouched": known.mean_error(None), **error},
    }


def table(told: dict[str, Any]) -> str:
    lines = [
        f"| sequence, network | s, `{told['commit'][:7]}` | s, now | times (aimed at {AIM:g}) "
        "| error in voxels: untouched | then | now |",
        "|---|---|---|---|---|---|---|",
    ]
    for of, row in told["compared"].items():
        name, model = of.split(" ")
        seconds, error = row["processor_seconds_a_frame"], row["error_voxels"]
        lines.append(
            f"| {_NAMES[name]}, `{model}` | {seconds['earlier']:.3g} | {seconds['now']:.3g} | {row['times_less']:g} "
            f"| {error['untouched']:.3f} | {error['earlier']:.3f} | {error['now']:.3f} |"
        )
    return "\n".join(lines)


def page() -> str:
    """Docs/speed.md as the results are."""
    told = json.loads(RESULT.read_text(encoding="utf-8"))
    return between(PAGE.read_text(encoding="utf-8"), "against-commit", f"\n{table(told)}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", default=COMMIT)
    parser.add_argument("--sequences", nargs="+", choices=SEQUENCES, default=list(SEQUENCES))
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--frames", type=int, default=4, help="that count")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    # A worktree would stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    commit = _git("rev-parse", "--verify", f"{args.commit}^{{commit}}")
    told = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    if told.get("commit") != commit:
        told = {"commit": commit, "compared": {}}
    with checked_out(commit) as earlier:
        for name in args.sequences:
            for model in args.models:
                row = compared(earlier, name, model, args.frames, args.rounds)
                told["compared"][f"{name} {model}"] = row
                print(name, model, json.dumps(row), flush=True)
                told["compared"] = dict(sorted(told["compared"].items(), reverse=True))
                RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
