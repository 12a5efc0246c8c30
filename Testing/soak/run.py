"""Faults on the way, one after the other, and what is left: `make soak`. Prints one table.

    python -m Testing.soak.run                            # every fault; half an hour on quiet cores
    python -m Testing.soak.run --frames 300 --kills 8     # a quick look
    python -m Testing.soak.run --only stays-flat worker   # faults whose name begins so
    python -m Testing.soak.run --folder DIR --record --continue   # in pieces: those that results/soak.json lacks

A line is FAIL when a frame was lost, made twice, or differs from an uninterrupted run, or when a fault is not named.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from Testing.soak import changed_files, ended_processes, long_runs
from Testing.soak.small_cohort import STRATEGIES, Asked, Left, SmallCohort
from Testing.support.marked_pages import between

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "Testing" / "benchmarks" / "results" / "soak.json"
PAGE = ROOT / "Docs" / "cohorts.md"

_WHOLE_COHORTS = (
    ended_processes.worker_killed,
    ended_processes.command_killed,
    ended_processes.scheduler_killed,
    ended_processes.interrupted,
    ended_processes.two_cohorts,
    ended_processes.clock_jumps,
    changed_files.output_removed,
    changed_files.read_only,
    changed_files.disk_full,
    changed_files.input_replaced,
    changed_files.damaged_frames,
)
FAULTS: dict[str, Callable[[SmallCohort], Left]] = {
    **{fault.__name__.replace("_", "-"): fault for fault in _WHOLE_COHORTS},
    **{f"run-killed-{one}": partial(long_runs.run_killed, strategy=one) for one in STRATEGIES},
    **{f"stays-flat-{one}": partial(long_runs.stays_flat, strategy=one) for one in STRATEGIES},
}


def meet(name: str, soak: SmallCohort) -> dict[str, Any]:
    """What a fault left."""
    began = time.monotonic()
    load = os.getloadavg()[0]
    try:
        left = FAULTS[name](soak)
        found = {"verdict": "ok", "kills": left.kills, "frames": left.frames, "left": left.words}
    except NotImplementedError as reason:
        found = {"verdict": "skip", "left": str(reason)}
    except Exception as error:
        found = {"verdict": "FAIL", "left": f"{type(error).__name__}: {error}"}
    return {**found, "seconds": round(time.monotonic() - began), "load_before": round(load, 1)}


def recorded() -> dict[str, dict[str, Any]]:
    return json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}


def record(name: str, found: dict[str, Any]) -> None:
    """Into the results and the page."""
    results = {**recorded(), name: found}
    results = {name: results[name] for name in FAULTS if name in results}
    RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page with its table as the results are."""
    lines = ["| fault | times | what was left | seconds |", "|---|---|---|---|"]
    for name, found in recorded().items():
        times = found.get("kills") or (f"{found['frames']} frames" if found.get("frames") else "")
        verdict = "" if found["verdict"] == "ok" else f"{found['verdict']}: "
        lines.append(f"| `{name}` | {times} | {verdict}{found['left']} | {found['seconds']} |")
    table = "\n".join(lines)
    text = PAGE.read_text(encoding="utf-8")
    return between(text, "soak", f"\n{table}\n")


def is_recorded(name: str, asked: Asked) -> bool:
    """Whether the results have it well, with as many kills or frames."""
    found = recorded().get(name, {})
    enough = found.get("kills", 0) >= (asked.kills or 0)
    if name.startswith("stays-flat"):
        enough = found.get("frames", 0) >= asked.frames
    return found.get("verdict") == "ok" and enough


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--kills", type=int, help="of each fault that kills (default: 50 of a run, 20 of workers, 5)")
    parser.add_argument("--frames", type=int, default=2000, help="of each run of stays-flat")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept for the next call, so that it need not make patients again")
    parser.add_argument(
        "--record", action="store_true", help="write results/soak.json and the table of Docs/cohorts.md"
    )
    parser.add_argument("--continue", action="store_true", dest="go_on", help="only what the results do not have yet")
    args = parser.parse_args()
    names = [name for name in FAULTS if not args.only or name.startswith(tuple(args.only))]
    if not names:
        parser.error(f"--only {' '.join(args.only)}: none of {', '.join(FAULTS)}")
    asked = Asked(args.kills, args.frames)
    if args.go_on:
        names = [name for name in names if not is_recorded(name, asked)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A shell that starts this in the background has it, and what it starts, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="voxelmorph-soak-") as scratch:
        soak = SmallCohort((args.folder or Path(scratch)).absolute(), asked, random.Random(args.seed))
        print(f"{'fault':24} {'seconds':>7}  {'':4}  what is left", flush=True)
        for name in names:
            found = meet(name, soak)
            failed += found["verdict"] == "FAIL"
            times = f"{found['kills']} times; " if found.get("kills") else ""
            print(f"{name:24} {found['seconds']:>7}  {found['verdict']:4}  {times}{found['left']}", flush=True)
            if args.record:
                record(name, found)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
