"""What a network, a frame and a sequence cost: one run, compared within itself.

    make benchmark-speed                                   # everything; hours on two cores
    make benchmark-speed OPTIONS="--only forward direct"   # some
    make benchmark-speed OPTIONS=--quick                   # small sizes, minutes

Writes results/speed.json, results/SPEED.md and Resources/speed.png. Each measurement runs in a process of its own;
those that a tool or a GPU is missing for say so and are left out. Ratios compare measurements of this run alone:
seconds of another machine, or of another hour of a shared one, say nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from Testing.benchmarks.speed.report import write_report

ROOT = Path(__file__).resolve().parents[3]
RESULTS = Path(__file__).parents[1] / "results"
PATIENT = [64, 128, 128]
TOOLS = {"elastix": "itk", "ANTs": "ants", "greedy": "picsl_greedy", "convexAdam": "convexAdam"}
Measurement = tuple[str, dict[str, Any]]


def measurements(quick: bool) -> Iterator[Measurement]:
    """Every one: kind and options, see `measure`."""
    devices = ["cpu", *(["cuda:0"] if torch.cuda.is_available() else [])]
    patient = [32, 64, 64] if quick else PATIENT
    for device in devices:
        for edge in (64,) if quick else (64, 96, 128):
            for half in (False, True):
                for plain in (True, False):
                    yield "forward", {"edge": edge, "half_resolution": half, "plain": plain, "device": device}
        for model in ("any-anatomy", "any-anatomy-fast"):
            yield "direct", {"shape": patient, "model": model, "device": device}
        for edge in (48, 64) if quick else (64, 96, 128, 192, 256):
            yield "direct", {"shape": [edge] * 3, "model": "any-anatomy-fast", "repeats": 1, "device": device}
        for strategy, count in (("direct", 4), ("motion-model", 40 if quick else 200)):
            yield (
                "sequence",
                {
                    "shape": patient,
                    "model": "any-anatomy-fast",
                    "strategy": strategy,
                    "count": count,
                    "device": device,
                },
            )
    for count in (20, 60) if quick else (20, 200, 2000):
        yield "sequence", {"shape": [32] * 3, "model": "any-anatomy-fast", "strategy": "motion-model", "count": count}
    for threads in range(2, (os.cpu_count() or 1) + 1):
        yield "direct", {"shape": patient, "model": "any-anatomy-fast", "threads": threads}
    yield "overhead", {"edge": 48 if quick else 128, "count": 4, "model": "any-anatomy-fast"}
    for tool, package in TOOLS.items():
        if importlib.util.find_spec(package):
            yield "other", {"tool": tool, "shape": patient}
        else:
            print(f"{tool}: not installed, left out", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="KIND", help="forward, direct, sequence, overhead, other"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--devices", nargs="+", help="only what is measured on these, such as cuda:0; default all")
    parser.add_argument("--minutes", type=float, default=60, help="that one measurement may take at most")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--plot", type=Path, default=ROOT / "Resources" / "speed.png")
    args = parser.parse_args()
    machine = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "quick": args.quick,
    }
    rows = []
    for kind, options in measurements(args.quick):
        if args.only and kind not in args.only:
            continue
        if args.devices and options.get("device", "cpu") not in args.devices:
            continue
        row = measured(kind, options, args.minutes)
        print(json.dumps(row), flush=True)
        rows.append(row)
        # Whatever ends the run, what it measured is there.
        write_report({"machine": machine, "measurements": rows}, args.output, args.plot)


def measured(kind: str, options: dict[str, Any], minutes: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "Testing.benchmarks.speed.measure", kind, json.dumps(options)]
    threads = str(options.get("threads", 1))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": threads}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60 * minutes, check=False
        )
    except subprocess.TimeoutExpired:
        return {"kind": kind, **options, "failed": f"took more than {minutes:g} minutes"}
    if done.returncode:
        return {
            "kind": kind,
            **options,
            "failed": done.stderr.strip().splitlines()[-1][:200] if done.stderr else "killed",
        }
    return json.loads(done.stdout.strip().splitlines()[-1])


def processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
