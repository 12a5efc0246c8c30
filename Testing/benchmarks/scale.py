"""What a cohort of 20 patients of 2000 frames costs on four kinds of machines, computed from measured numbers.

    python -m Testing.benchmarks.scale            # writes the tables of Docs/scale.md anew

The formula is in Docs/scale.md; `MEASURED` names where each number comes from.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "scale.md"
PATIENTS, FRAMES = 20, 2000
VOXELS = 128 * 128 * 64

#: Of a frame of 128x128x64 voxels; seconds are of one core of an AMD EPYC.
MEASURED = {
    "frame, any-anatomy": (6.5, "s", "Docs/accuracy.md"),
    "frame, any-anatomy-fast": (3.6, "s", "Docs/accuracy.md"),
    "of it beside network, motion cues and warps": (0.18, "share", "profile of any-anatomy, 4 frames in 27 s"),
    "motion-model against direct": (1 / 2.15, "share", "Testing/benchmarks/results/motion_model.json, 40 frames"),
    "a process at its peak": (0.9, "GB", "any-anatomy-fast on 99x117x95 voxels"),
}


@dataclass(frozen=True)
class Machine:
    """Prices are assumptions, of what such a machine is hired for in an hour."""

    name: str
    workers: int
    cores: int  # of each worker
    gpu: bool
    price: float


MACHINES = (
    Machine("laptop, 4 cores", 4, 1, False, 0.0),
    Machine("workstation, 16 cores", 16, 1, False, 0.8),
    Machine("one H100, 16 cores", 1, 16, True, 3.0),
    Machine("20 nodes of 16 cores", 320, 1, False, 20 * 0.8),
)


def value(name: str) -> float:
    return MEASURED[name][0]


def seconds_a_frame(machine: Machine, model: str, strategy: str) -> float:
    """Of one worker. On a GPU network, cues and warps are taken to cost nothing: a lower bound."""
    seconds = value(f"frame, {model}")
    if machine.gpu:
        seconds *= value("of it beside network, motion cues and warps")
    return seconds * (value("motion-model against direct") if strategy == "motion-model" else 1.0)


def hours(machine: Machine, model: str, strategy: str) -> float:
    return PATIENTS * FRAMES * seconds_a_frame(machine, model, strategy) / machine.workers / 3600


def read_megabytes_a_second(machine: Machine, model: str, strategy: str) -> float:
    """What the drive has to give, for frames of two bytes a voxel that are not compressed."""
    return machine.workers * 2 * VOXELS / 1e6 / seconds_a_frame(machine, model, strategy)


def tables() -> str:
    lines = ["| measured | | where |", "|---|---|---|"]
    lines += [f"| {name} | {number:.2g} {unit} | {source} |" for name, (number, unit, source) in MEASURED.items()]
    lines += [
        "",
        "| machine | workers x cores | network, strategy | hours | memory | drive | money |",
        "|---|---|---|---|---|---|---|",
    ]
    for machine in MACHINES:
        for model, strategy in (
            ("any-anatomy", "direct"),
            ("any-anatomy-fast", "direct"),
            ("any-anatomy-fast", "motion-model"),
        ):
            needed = hours(machine, model, strategy)
            bound = "at least " if machine.gpu else ""
            lines.append(
                f"| {machine.name} | {machine.workers} x {machine.cores} | {model}, {strategy} | {bound}{needed:.2g} | "
                f"{machine.workers * value('a process at its peak'):.0f} GB | "
                f"{read_megabytes_a_second(machine, model, strategy):.0f} MB/s | {needed * machine.price:.0f} |"
            )
    labels = PATIENTS * FRAMES * VOXELS / 1e9
    transforms = 12 * labels
    lines += [
        "",
        f"Disk: labels at most {2 * labels:.0f} GB (one byte a voxel, twice, uncompressed; files are compressed to a "
        "fraction of that),",
        f"with `--save-transforms full` {transforms:.0f} GB more, with `--save-transforms 4` {transforms / 64:.0f} GB.",
    ]
    return "\n".join(lines)


def page() -> str:
    """The page with its tables as they are computed today."""
    text = PAGE.read_text(encoding="utf-8")
    return re.sub(
        r"(<!-- computed -->\n).*?(\n<!-- end -->)", lambda found: found[1] + tables() + found[2], text, flags=re.S
    )


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    print(tables())
    return 0


if __name__ == "__main__":
    sys.exit(main())
