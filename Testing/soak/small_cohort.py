"""A small cohort that faults happen to: its command, its uninterrupted result, and whether another one is the same."""

from __future__ import annotations

import csv
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from Testing.support.cohort_cases import write_cohort_case
from Testing.support.propagate_command import same, voxels
from Testing.support.propagation_cases import breathing

COMMAND = [sys.executable, "-m", "VoxelMorphRegistrationLib"]
STRATEGIES = ("direct", "sequential", "keyframes", "motion-model")
FRAMES = 18  # of each patient, as many as strategy motion-model needs
LIMIT = 900  # seconds of one command


@dataclass(frozen=True)
class Asked:
    """How much of a fault: times that a process is killed, None for what each fault has; and frames of a long run."""

    kills: int | None = None
    frames: int = 2000

    def kills_or(self, usual: int) -> int:
        return usual if self.kills is None else self.kills


@dataclass(frozen=True)
class Left:
    """What a fault left, in words, and how much of the fault there was."""

    words: str
    kills: int = 0
    frames: int = 0


class SmallCohort:
    """A patient a strategy, in a folder that may hold them, and their uninterrupted result, already."""

    def __init__(self, folder: Path, asked: Asked, chance: random.Random, frames: int = FRAMES) -> None:
        self.folder, self.asked, self.chance, self.frames = folder, asked, chance, frames
        self.table, self._whole = folder / "cases.csv", folder / "whole"
        if not self.table.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_cohort_case(folder, STRATEGIES, frames, breathing)

    def longer(self, frames: int) -> SmallCohort:
        """Another one, with more frames."""
        return SmallCohort(self.folder / f"of-{frames}", self.asked, self.chance, frames)

    @property
    def whole(self) -> Path:
        if not self._whole.is_dir():
            made = self.output("made-whole")
            assert self.run(made).returncode == 0
            made.rename(self._whole)
        return self._whole

    def output(self, name: str) -> Path:
        """A folder that is not there yet."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.folder / name

    def start(
        self, output: Path, *more: str, table: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen:
        command = [*COMMAND, "cohort", str(table or self.table), "--output", str(output)]
        workers = () if "--scheduler" in more else ("--workers", "2", "--threads", "1")
        options = [*workers, "--chunk", "6", "--progress", "none", *more]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*command, *options], env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def run(self, output: Path, *more: str, table: Path | None = None) -> subprocess.CompletedProcess:
        process = self.start(output, *more, table=table)
        out, err = process.communicate(timeout=LIMIT)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def check_whole(self, output: Path, patients: Sequence[str] = ("p0", "p1", "p2", "p3")) -> None:
        """Every frame once, labels equal to those of the uninterrupted run, nothing left behind."""
        for name in patients:
            rows = table_of(output / name)
            numbers = [row["index"] for row in rows]
            assert len(numbers) == len(set(numbers)) == self.frames, f"{name}: {len(numbers)} rows"
            assert same(voxels(output / name), voxels(self.whole / name)), f"{name}: labels differ"
            assert measured(output / name) == measured(self.whole / name), f"{name}: rows differ"
        left = [path for path in output.rglob("*") if path.name.startswith(".") and path.is_file()]
        assert not left, f"left behind: {left[:3]}"


def table_of(folder: Path) -> list[dict[str, str]]:
    path = folder / "frames.csv"
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def measured(folder: Path) -> list[dict[str, str]]:
    """The rows without what differs from run to run: similarities tell frames apart whose labels are alike."""
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in table_of(folder)]


def frames_in(output: Path) -> int:
    return sum(len(table_of(path.parent)) for path in output.glob("*/frames.csv"))


def wait_for_frames(process: subprocess.Popen, output: Path, count: int) -> bool:
    """Whether so many frames were there before the process ended."""
    until = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < until:
        if frames_in(output) >= count:
            return True
        time.sleep(0.1)
    return False


def workers_of(process: subprocess.Popen) -> list[int]:
    """Process numbers of the cohort's workers: its session's processes that hold torch, but for the command itself."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == process.pid:
            continue
        try:
            session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            if session == process.pid and "libtorch" in (entry / "maps").read_text():
                found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue
    return found
