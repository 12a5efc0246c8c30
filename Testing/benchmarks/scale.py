"""What a cohort of 20 patients of 2000 frames costs on four kinds of machines, computed from measured numbers.

    python -m Testing.benchmarks.scale            # writes the tables of Docs/scale.md anew
    python -m Testing.benchmarks.scale --measure  # first measures what files take of a frame (seconds)

The formula is in Docs/scale.md. What a frame takes is measured by `make benchmark-speed`, which records it in
results/speed.json; results/scale.json has what this script measures.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from Testing.support.marked_pages import between

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "scale.md"
RESULT = Path(__file__).parent / "results" / "scale.json"
CPU_RESULT = RESULT.with_name("speed.json")  # by `make benchmark-speed`
GPU_RESULT = RESULT.with_name("speed_gpu.json")  # by Testing/gpu/check.sh
PATIENTS, FRAMES = 20, 2000
SHAPE = (64, 128, 128)
VOXELS = SHAPE[0] * SHAPE[1] * SHAPE[2]

CASES = (
    ("any-anatomy", "direct"),
    ("any-anatomy-fast", "direct"),
    ("any-anatomy-fast", "motion-model"),
)
_WRITING = "write a frame's labels, compressed"
_READING = "read a frame, not compressed"


@dataclass(frozen=True)
class Machine:
    """Prices are assumptions, of what such a machine is hired for in an hour."""

    name: str
    workers: int
    cores: int  # of each worker
    gpu: bool
    price: float


def gpu_name() -> str:
    """Of the card that was measured, such as 'H200'."""
    return json.loads(GPU_RESULT.read_text(encoding="utf-8"))["machine"]["gpu"].replace("NVIDIA ", "")


MACHINES = (
    Machine("laptop, 4 cores", 4, 1, False, 0.0),
    Machine("workstation, 16 cores", 16, 1, False, 0.8),
    Machine(f"one {gpu_name()}, 16 cores", 1, 16, True, 3.0),
    Machine(f"one {gpu_name()}, 16 cores", 12, 1, True, 3.0),
    Machine("20 nodes of 16 cores", 320, 1, False, 20 * 0.8),
)


def measure() -> dict[str, dict[str, Any]]:
    """Reading and writing by a processor; the drive comes on top, and has a row of its own."""
    import SimpleITK as sitk

    from Testing.benchmarks.speed.sequence import BreathingBody

    frames = BreathingBody(SHAPE, 2)
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        frame, labels = Path(scratch) / "frame.nrrd", Path(scratch) / "labels.nrrd"
        sitk.WriteImage(frames[1], str(frame))
        drawn = frames.labels()
        for name, work, file in (
            (_READING, lambda: sitk.ReadImage(str(frame)), frame),
            (_WRITING, lambda: sitk.WriteImage(drawn, str(labels), True), labels),
        ):
            times = []
            for _ in range(10):
                began = time.process_time()
                work()
                times.append(time.process_time() - began)
            found[name] = {"seconds": round(min(times), 4), "bytes": file.stat().st_size}
    return found


def measured() -> dict[str, dict[str, Any]]:
    return json.loads(RESULT.read_text(encoding="utf-8"))


def on_cpu(model: str, strategy: str) -> dict[str, Any]:
    """The measurement of a frame of `SHAPE`, files in and out, that counts the most frames. KeyError without one."""
    wanted = {"kind": "sequence", "shape": list(SHAPE), "model": model, "strategy": strategy}
    every = json.loads(CPU_RESULT.read_text(encoding="utf-8"))["measurements"]
    fitting = [one for one in every if all(one.get(name) == value for name, value in wanted.items())]
    alone = [one for one in fitting if one.get("threads", 1) == 1 and "cpu" in one]
    if not alone:
        raise KeyError(f"{model}, {strategy}")
    return max(alone, key=lambda one: one["counted"])


def on_gpu(kind: str, model: str, strategy: str | None = None) -> dict[str, Any] | None:
    """The measurement of a frame of `SHAPE` on the GPU, if there is one."""
    wanted = {"kind": kind, "shape": list(SHAPE), "model": model} | ({"strategy": strategy} if strategy else {})
    for one in json.loads(GPU_RESULT.read_text(encoding="utf-8"))["measurements"]:
        if one.get("device", "").startswith("cuda") and all(one.get(name) == value for name, value in wanted.items()):
            return one
    return None


def seconds_a_frame(machine: Machine, model: str, strategy: str) -> float | None:
    """Seconds of a frame of one worker, files in and out; None for several workers on one GPU that were not measured,
    as nobody knows how they slow each other.
    """
    if not machine.gpu:
        return on_cpu(model, strategy)["cpu"]
    if machine.workers == 1:
        alone = on_gpu("sequence", model, strategy)
        return None if alone is None else alone["wall"]
    together = on_gpu("cohort", model, strategy)
    if together is None or together["workers"] != machine.workers:
        return None
    return together["steady_wall"] * machine.workers


def gigabytes(machine: Machine, model: str, strategy: str) -> float:
    measured_there = on_gpu("sequence", model, strategy) if machine.gpu else None
    return machine.workers * (measured_there or on_cpu(model, strategy))["peak_mb"] / 1e3


def _text(number: float) -> str:
    """Two digits that mean something, and no powers of ten."""
    return f"{float(f'{number:.2g}'):g}"


def tables() -> str:
    processor = json.loads(CPU_RESULT.read_text(encoding="utf-8"))["machine"]["processor"]
    lines = [f"| measured, one core of an {processor}, 128x128x64 voxels | seconds | |", "|---|---|---|"]
    files = measured()
    for model, strategy in CASES:
        one = on_cpu(model, strategy)
        lines.append(
            f"| a frame, {model}, {strategy}, mean of {one['counted']} | {_text(one['cpu'])} | "
            f"{_text(one['peak_mb'] / 1e3)} GB at the peak of a process |"
        )
    for name in (_READING, _WRITING):
        lines.append(f"| of it: {name} | {_text(files[name]['seconds'])} | {_text(files[name]['bytes'] / 1e6)} MB |")
    for model, strategy in CASES:
        if (one := on_gpu("sequence", model, strategy)) is not None:
            what = f"{gpu_name()}: a frame, {model}, {strategy}, mean of {one['count']}"
            lines.append(
                f"| {what} | {_text(one['wall'])} | {_text(one['peak_mb'] / 1e3)} GB at the peak of a process |"
            )
        if (one := on_gpu("cohort", model, strategy)) is not None:
            what = f"{gpu_name()}: a frame, {model}, {strategy}, {one['workers']} workers together, once all are at it"
            lines.append(f"| {what} | {_text(one['steady_wall'])} | |")
    lines += [
        "",
        "| machine | workers x cores | network, strategy | hours | memory | drive | money |",
        "|---|---|---|---|---|---|---|",
    ]
    for machine in MACHINES:
        for model, strategy in CASES:
            seconds = seconds_a_frame(machine, model, strategy)
            if seconds is None:
                continue
            hours = PATIENTS * FRAMES * seconds / machine.workers / 3600
            # What the drive has to give, for frames of two bytes a voxel that are not compressed.
            megabytes_a_second = machine.workers * 2 * VOXELS / 1e6 / seconds
            lines.append(
                f"| {machine.name} | {machine.workers} x {machine.cores} | {model}, {strategy} | {_text(hours)} | "
                f"{_text(gigabytes(machine, model, strategy))} GB | {_text(megabytes_a_second)} MB/s | "
                f"{_text(hours * machine.price)} |"
            )
    return "\n".join([*lines, "", *_disk()])


def _disk() -> list[str]:
    labels = PATIENTS * FRAMES * VOXELS / 1e9
    compressed = 2 * PATIENTS * FRAMES * measured()[_WRITING]["bytes"] / 1e9
    return [
        f"Disk: {2 * labels:.0f} GB of frames; labels about {_text(compressed)} GB (each frame's file, and the",
        f"sequence of all, compressed; {2 * labels:.0f} GB at the very most); with `--save-transforms full` "
        f"{12 * labels:.0f} GB more,",
        f"with `--save-transforms 4` {12 * labels / 64:.0f} GB.",
    ]


def page() -> str:
    """The page with its tables as they are computed today."""
    return between(PAGE.read_text(encoding="utf-8"), "computed", f"\n{tables()}\n")


def main() -> int:
    if "--measure" in sys.argv[1:]:
        RESULT.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    print(tables())
    return 0


if __name__ == "__main__":
    sys.exit(main())
