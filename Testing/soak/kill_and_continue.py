"""SIGKILL a propagation at random moments, start it again until it is done, and compare with a run that was left alone.

    python -m Testing.soak.kill_and_continue                            # 50 kills in each strategy
    python -m Testing.soak.kill_and_continue --only direct --kills 200

In as many runs as that takes. For every strategy: the label voxels must be equal, and no frame with a row in frames.csv
may be computed again.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # A fork has no worker threads of its parent's.
import VoxelMorphRegistrationLib.cli.propagate  # noqa: E402
import VoxelMorphRegistrationLib.propagation.folder  # noqa: E402, F401
from Testing.support.propagation_cases import breathing, weights_file, write_sequence  # noqa: E402
from VoxelMorphRegistrationLib.cli.main import main as main_of_the_command  # noqa: E402

FRAMES = 40
REFERENCE = 5
STRATEGIES = ("direct", "sequential", "keyframes", "motion-model")


def start(folder: Path, output: Path, strategy: str) -> int:
    """The process of a run: a fork, so that Python and torch are not loaded anew each time."""
    arguments = [
        "propagate",
        "--sequence",
        folder / "frames",
        "--segmentation",
        folder / f"segmentation{REFERENCE}.nrrd",
        "--reference-frame",
        REFERENCE,
        "--model",
        folder / "tiny.pt",
        "--output",
        output,
        "--strategy",
        strategy,
        "--keyframe-step",
        3,
        "--save-transforms",
        "full",
        "--progress",
        "none",
    ]
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(main_of_the_command([str(argument) for argument in arguments]))
    return process


def ended(process: int) -> int | None:
    """The exit status of a run that has ended."""
    pid, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def finished_frames(output: Path) -> dict[str, int]:
    """Frames with a whole row, and when their label volume was written."""
    table = output / "frames.csv"
    if not table.exists():
        return {}
    text = table.read_text(encoding="utf-8")
    rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    return {
        row["index"]: (output / "segmentation" / f"{int(row['index']):04d}.nrrd").stat().st_mtime_ns for row in rows
    }


def voxels(output: Path, kind: str) -> dict[str, np.ndarray]:
    return {
        path.name: sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in sorted((output / kind).glob("*.nrrd"))
    }


def soak(folder: Path, strategy: str, number: int, chance: random.Random) -> int:
    """Returns how often the run was killed; raises AssertionError when anything differs."""
    whole, cut = folder / f"{strategy}-whole", folder / f"{strategy}-cut-{number}"
    if not whole.exists():
        assert os.waitpid(start(folder, whole, strategy), 0)[1] == 0
    kills = 0
    seen: dict[str, int] = {}
    while True:
        run = start(folder, cut, strategy)
        # Killed at some moment after it made its first frame, so that every start gets further.
        begun = len(finished_frames(cut))
        status = ended(run)
        while status is None and len(finished_frames(cut)) == begun:
            time.sleep(0.002)
            status = ended(run)
        if status is None:
            time.sleep(chance.random() * 0.2)
            status = ended(run)
        if status is not None:
            assert status == 0, f"{strategy}: exit status {status}"
            break
        os.kill(run, signal.SIGKILL)
        os.waitpid(run, 0)
        kills += 1
        for index, written in finished_frames(cut).items():
            assert seen.setdefault(index, written) == written, f"{strategy}: frame {index} was finished and made again"
    for kind in ("segmentation", "transforms"):
        one, other = voxels(whole, kind), voxels(cut, kind)
        assert one.keys() == other.keys() and len(one) == FRAMES
        for name in one:
            assert np.array_equal(one[name], other[name]), f"{strategy}: {kind}/{name} differs"
    leftovers = [path for path in cut.rglob(".*") if path.is_file()]
    assert not leftovers, f"{strategy}: {leftovers}"
    return kills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of each strategy, at least")
    parser.add_argument("--only", choices=STRATEGIES, nargs="+", default=STRATEGIES)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_sequence(folder, FRAMES, REFERENCE, breathing)
        weights_file(folder)
        for strategy in args.only:
            number = killed = 0
            while killed < args.kills:
                kills = soak(folder, strategy, number, chance)
                assert kills, f"{strategy}: a run ended before it was killed"
                print(f"run {number} {strategy:12} killed {kills} times, nothing differs", flush=True)
                number, killed = number + 1, killed + kills
    return 0


if __name__ == "__main__":
    sys.exit(main())
