"""How long a thread that waits for another stays awake before it sleeps: what a run takes for each answer.

    python -m Testing.benchmarks.waiting_threads     # some 10 minutes on two quiet cores

`slicer-voxelmorph propagate` carries the labels of twelve frames of 128 x 128 x 64 with one thread a core, on a quiet
machine and beside another program that keeps one core busy, by turns for each setting. Who sleeps has to be woken,
which takes as long as much of what a registration shares out among threads; who stays awake keeps a core from other
programs. Writes results/waiting_threads.json and the table of Docs/speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from Testing.benchmarks.speed.report import PAGE, RESULTS
from Testing.benchmarks.speed.run import machine
from Testing.benchmarks.speed.sequence import LABELS, frames_by_another_process
from Testing.support.marked_pages import between
from VoxelMorphRegistrationLib.cli.main import WAITING_THREADS

RESULT = RESULTS / "waiting_threads.json"
SHAPE, FRAMES, ROUNDS = [64, 128, 128], 12, 2
TURNS = ("0", "1000", WAITING_THREADS["GOMP_SPINCOUNT"], "2000", "3000", "5000", "20000")
_BUSY = "import torch; torch.set_num_threads(1); a = torch.rand(900, 900)\nwhile True: a @ a"


def seconds(frames: Path, turns: str) -> float:
    """Wall seconds of one run whose threads look so many times whether it is their turn before they sleep."""
    with tempfile.TemporaryDirectory(prefix="voxelmorph-waiting-") as folder:
        words = ["propagate", "--sequence", str(frames), "--segmentation", str(frames.parent / LABELS)]
        words += ["--reference-frame", "0", "--strategy", "direct", "--no-report", "--progress", "none"]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        environment |= {**WAITING_THREADS, "GOMP_SPINCOUNT": turns}
        started = time.perf_counter()
        command = [sys.executable, "-m", "VoxelMorphRegistrationLib", *words, "--output", f"{folder}/run"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return time.perf_counter() - started


@contextmanager
def busy_core() -> Iterator[None]:
    """Another program that never waits."""
    with subprocess.Popen([sys.executable, "-c", _BUSY]) as other:
        time.sleep(5)  # until it has imported what it computes with
        try:
            yield
        finally:
            other.kill()


def table(told: dict) -> str:
    lines = ["| turns awake | s, on a quiet machine | s, beside a busy program |", "|---|---|---|"]
    for turns, row in told["seconds"].items():
        mark = "**" if turns == WAITING_THREADS["GOMP_SPINCOUNT"] else ""
        lines.append(f"| {mark}{turns}{mark} | {row['quiet']:.1f} | {row['busy']:.1f} |")
    return "\n".join(lines)


def page() -> str:
    """Docs/speed.md as the results are."""
    told = json.loads(RESULT.read_text(encoding="utf-8"))
    return between(PAGE.read_text(encoding="utf-8"), "waiting", f"\n{table(told)}\n")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found: dict[str, dict[str, float]] = {turns: {} for turns in TURNS}
    with tempfile.TemporaryDirectory(prefix="voxelmorph-waiting-") as folder:
        frames = frames_by_another_process(Path(folder), SHAPE, FRAMES)[0].parent
        for name, load in (("quiet", nullcontext), ("busy", busy_core)):
            with load():
                for _ in range(ROUNDS):
                    for turns in TURNS:
                        took = round(seconds(frames, turns), 2)
                        found[turns][name] = min(took, found[turns].get(name, took))
                        print(name, turns, took, flush=True)
    told = {"machine": machine(False), "frames": FRAMES, "shape": SHAPE, "rounds": ROUNDS, "seconds": found}
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
