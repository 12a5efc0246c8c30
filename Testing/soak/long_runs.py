"""Runs of `propagate` in one strategy: killed many times, and thousands of frames long."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from Testing.soak.small_cohort import COMMAND, LIMIT, Left, SmallCohort, table_of
from Testing.support.propagation_cases import breathing, weights_file, write_sequence

_FILES = 70  # frames that differ; further ones are the same files under other names


def run_killed(soak: SmallCohort, strategy: str) -> Left:
    """SIGKILL at random moments, and the same command again, until it is done."""
    wanted = soak.asked.kills_or(50)
    command = [sys.executable, "-m", "Testing.soak.kill_and_continue", "--only", strategy, "--kills", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * LIMIT)
    assert done.returncode == 0, done.stderr[-500:]
    kills = [int(line.split("killed ")[1].split()[0]) for line in done.stdout.splitlines()]
    return Left(f"{len(kills)} run(s): labels and transforms equal, no frame made twice", sum(kills))


def stays_flat(soak: SmallCohort, strategy: str) -> Left:
    """Memory, descriptors and threads of a long run: the most of its first fifth against the most of its last."""
    folder, frames = soak.output(f"flat-{strategy}"), soak.asked.frames
    sequence, segmentation = write_sequence(folder, min(frames, _FILES), 2, breathing)
    for n in range(_FILES, frames):
        os.link(sequence / f"frame{n % _FILES}.nrrd", sequence / f"frame{n}.nrrd")
    given = {"--sequence": sequence, "--segmentation": segmentation, "--reference-frame": 2, "--strategy": strategy}
    given |= {"--model": weights_file(folder), "--output": folder / "out", "--progress": "none"}
    words = [str(word) for pair in given.items() for word in pair]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*COMMAND, "propagate", *words, "--no-report"], stdout=quiet, stderr=quiet)
    seen: list[tuple[float, int, int]] = []
    while process.poll() is None:
        if lines_of(folder / "out" / "frames.csv") > 20:
            seen.append(used_by(process.pid))
        time.sleep(0.5)
    assert process.returncode == 0 and len(table_of(folder / "out")) == frames
    seen = [one for one in seen[:-1] if one[0]]  # The last look may be at a process that is ending.
    fifth = max(1, len(seen) // 5)
    early, late = np.array(seen[:fifth]).max(0), np.array(seen[-fifth:]).max(0)
    assert late[0] < 1.05 * early[0] and late[1] <= early[1] + 5 and late[2] <= early[2] + 2, (early, late)
    kinds = zip(("MB", "descriptors", "threads"), early, late, strict=True)
    told = ", ".join(f"{before:.0f} to {after:.0f} {kind}" for kind, before, after in kinds)
    return Left(f"first to last fifth: {told}", frames=frames)


def lines_of(table: Path) -> int:
    return table.read_bytes().count(b"\n") if table.is_file() else 0


def used_by(pid: int) -> tuple[float, int, int]:
    """Resident megabytes, open descriptors, threads."""
    try:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        return int(status["VmRSS"].split()[0]) / 1e3, len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"])
    except (OSError, KeyError):
        return 0.0, 0, 0
