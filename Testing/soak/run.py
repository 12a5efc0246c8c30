"""Faults on the way, one after the other, and what is left: `make soak`. Prints one table.

    python -m Testing.soak.run                       # every fault once, in about a quarter of an hour on quiet cores
    python -m Testing.soak.run --kills 50 --frames 2000
    python -m Testing.soak.run --only worker-killed output-removed

A line is FAIL when a frame was lost, made twice, or differs from an uninterrupted run, or when a fault is not named.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.support.cohort_cases import write_cohort_case
from Testing.support.propagate_command import same, voxels
from Testing.support.propagation_cases import frame
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.lock import FolderLock

COMMAND = [sys.executable, "-m", "VoxelMorphRegistrationLib"]
STRATEGIES = ("direct", "sequential", "keyframes", "motion-model")
COUNT = 18  # frames of each patient, as many as strategy motion-model needs
LIMIT = 900  # seconds of one command


class Soak:
    """A small cohort in a folder of its own, and its uninterrupted result."""

    def __init__(self, folder: Path, frames: int, kills: int, chance: random.Random) -> None:
        self.folder, self.frames, self.kills, self.chance = folder, frames, kills, chance
        self.table = write_cohort_case(folder, STRATEGIES, COUNT)
        self._whole: Path | None = None

    @property
    def whole(self) -> Path:
        if self._whole is None:
            self._whole = self.folder / "whole"
            assert self.run(self._whole).returncode == 0
        return self._whole

    def start(self, output: Path, *more: str, table: Path | None = None) -> subprocess.Popen:
        command = [*COMMAND, "cohort", str(table or self.table), "--output", str(output)]
        workers = () if "--scheduler" in more else ("--workers", "2", "--threads", "1")
        options = [*workers, "--chunk", "6", "--progress", "none", *more]
        pipe = subprocess.PIPE
        return subprocess.Popen([*command, *options], stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    def run(self, output: Path, *more: str, table: Path | None = None) -> subprocess.CompletedProcess:
        process = self.start(output, *more, table=table)
        out, err = process.communicate(timeout=LIMIT)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def check_whole(self, output: Path, patients: Sequence[str] = ("p0", "p1", "p2", "p3")) -> None:
        """Every frame once, labels equal to those of the uninterrupted run, nothing left behind."""
        for name in patients:
            rows = table_of(output / name)
            numbers = [row["index"] for row in rows]
            assert len(numbers) == len(set(numbers)) == COUNT, f"{name}: {len(numbers)} rows"
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


def worker_killed(soak: Soak) -> str:
    """Workers are killed at random."""
    output, killed = soak.folder / "worker-killed", 0
    process = soak.start(output)
    while process.poll() is None and killed < soak.kills:
        time.sleep(soak.chance.uniform(0.5, 3.0))
        workers = workers_of(process)
        if workers and frames_in(output):
            os.kill(soak.chance.choice(workers), signal.SIGKILL)
            killed += 1
    process.communicate(timeout=LIMIT)
    starts = 1
    while soak.run(output).returncode == 4 and starts < 3:  # A frame that two kills met is marked failed and made anew.
        starts += 1
    soak.check_whole(output)
    return f"{killed} workers killed; all frames once, labels equal, after {starts} start(s)"


def command_killed(soak: Soak) -> str:
    """The command, and with it the scheduler, is killed."""
    output, kills = soak.folder / "command-killed", 0
    for _ in range(max(2, soak.kills // 4)):
        process = soak.start(output)
        if not wait_for_frames(process, output, frames_in(output) + soak.chance.randint(4, 12)):
            process.communicate(timeout=LIMIT)
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert soak.run(output).returncode == 0
    soak.check_whole(output)
    return f"killed {kills} times; goes on each time, labels equal"


def scheduler_killed(soak: Soak) -> str:
    """A scheduler of its own, as on a cluster, is killed under the command; its workers end with it."""
    output, place = soak.folder / "scheduler-killed", soak.folder / "scheduler.json"
    environment = {**os.environ, "DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON__OMP_NUM_THREADS": "1"}
    started: list[subprocess.Popen] = []

    def dask(what: str, *options: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--scheduler-file", str(place), *options]
        quiet = subprocess.DEVNULL
        started.append(subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True))

    dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
    until = time.monotonic() + LIMIT
    while not place.is_file() and time.monotonic() < until:
        time.sleep(0.1)
    dask("worker", "--nworkers", "2", "--nthreads", "1", "--memory-limit", "0", "--death-timeout", "120")
    try:
        process = soak.start(output, "--scheduler", json.loads(place.read_text())["address"])
        assert wait_for_frames(process, output, 10), process.communicate()[1]
        os.kill(started[0].pid, signal.SIGKILL)
        began = time.monotonic()
        _, err = process.communicate(timeout=LIMIT)
        seconds, kept = time.monotonic() - began, frames_in(output)
    finally:
        for one in started:
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()
    assert process.returncode == 1 and "scheduler: it is gone" in err and "Traceback" not in err, err
    assert soak.run(output).returncode == 0
    soak.check_whole(output)
    return f"named after {seconds:.0f} s, {kept} frames stay; goes on without it, labels equal"


def interrupted(soak: Soak) -> str:
    """Ctrl-C in a terminal reaches the command and its workers."""
    output = soak.folder / "interrupted"
    process = soak.start(output)
    assert wait_for_frames(process, output, 10)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=LIMIT)
    seconds, kept = time.monotonic() - began, frames_in(output)
    assert process.returncode == 130, process.returncode
    assert not workers_of(process), "workers live on"
    assert soak.run(output).returncode == 0
    soak.check_whole(output)
    return f"status 130 after {seconds:.1f} s with {kept} frames, then goes on, labels equal"


def two_cohorts(soak: Soak) -> str:
    """Two cohorts on one folder."""
    output = soak.folder / "two"
    first = soak.start(output)
    assert wait_for_frames(first, output, 1)
    second = soak.run(output)
    assert second.returncode == 1 and "another run writes there" in second.stderr, second.stderr
    first.communicate(timeout=LIMIT)
    assert first.returncode == 0
    soak.check_whole(output)
    return "the second is refused in one line, the first is whole"


def output_removed(soak: Soak) -> str:
    """A patient's folder is taken away while it is written."""
    output = soak.folder / "removed"
    process = soak.start(output)
    assert wait_for_frames(process, output, 6)
    shutil.rmtree(output / "p0", ignore_errors=True)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode in (0, 4), err
    named = next(row for row in csv.DictReader(open(output / "cohort.csv", newline="")) if row["case"] == "p0")
    soak.check_whole(output, ("p1", "p2", "p3"))
    assert soak.run(output).returncode == 0
    soak.check_whole(output)
    return f"named ({named['message'][:60] or 'made again'}); the others are whole; made again by the same command"


def read_only(soak: Soak) -> str:
    """An output that cannot be written to."""
    with mounted(soak.folder / "read-only", "ro,size=1m") as output:
        done = soak.run(output / "out")
    assert done.returncode == 1 and "choose another output folder" in done.stderr, done.stderr
    return "refused in one line"


def disk_full(soak: Soak) -> str:
    """The disk is full half-way, and then grows."""
    with mounted(soak.folder / "full", f"size={8 * COUNT}k") as output:
        done = soak.run(output / "out")
        kept = frames_in(output / "out")
        assert done.returncode in (1, 4), done.stderr
        assert "cannot be written" in done.stderr + Path(output / "out" / "cohort.csv").read_text(), done.stderr
        subprocess.run(["mount", "-o", "remount,size=50m", str(output)], check=True)
        assert soak.run(output / "out").returncode == 0
        soak.check_whole(output / "out")
    return f"named; {kept} frames stay, and it goes on when there is room"


def input_replaced(soak: Soak) -> str:
    """A frame's file is replaced while the cohort runs."""
    output, path = soak.folder / "replaced", soak.folder / "p0" / "frames" / "frame15.nrrd"
    before, status = path.read_bytes(), path.stat()
    process = soak.start(output)
    assert wait_for_frames(process, output, 6)
    sitk.WriteImage(frame(1), str(path))
    process.communicate(timeout=LIMIT)
    written = {file: file.stat().st_mtime_ns for file in output.glob("p0/segmentation/*.nrrd")}
    assert soak.run(output).returncode == 0
    changed = [file.name for file, when in written.items() if file.stat().st_mtime_ns != when]
    path.write_bytes(before)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert changed == ["0015.nrrd"], changed
    assert soak.run(output).returncode == 0
    soak.check_whole(output)
    return "the frame, and it alone, is made again by the same command"


def damaged_frames(soak: Soak) -> str:
    """Frames that are truncated, of another size, or not numbers."""
    folder = soak.folder / "damaged"
    folder.mkdir()
    table = write_cohort_case(folder, ("direct", "keyframes"), COUNT)
    for patient in ("p0", "p1"):
        frames = folder / patient / "frames"
        (frames / "frame7.nrrd").write_bytes((frames / "frame7.nrrd").read_bytes()[:2000])
        sitk.WriteImage(sitk.Image(9, 9, 9, sitk.sitkFloat32), str(frames / "frame11.nrrd"))
        values = sitk.GetArrayFromImage(frame(15))
        values[5:9] = np.nan
        image = sitk.GetImageFromArray(values)
        image.CopyInformation(frame(15))
        sitk.WriteImage(image, str(frames / "frame15.nrrd"))
    done = soak.run(folder / "out", table=table)
    assert done.returncode == 4, done.stderr
    for patient in ("p0", "p1"):
        rows = {int(row["index"]): row for row in table_of(folder / "out" / patient)}
        assert len(rows) == COUNT and rows[7]["status"] == "failed" and "frame7.nrrd" in rows[7]["message"]
        for index in (11, 15):
            assert rows[index]["message"] or rows[index]["flag"], f"frame {index} says nothing"
        assert [index for index, row in rows.items() if row["status"] == "failed" and index not in (7, 11, 15)] == []
    return "each is named in frames.csv, the others are done"


def clock_jumps(soak: Soak) -> str:
    """Locks that seem to be of tomorrow, and of last year."""
    output = soak.folder / "clock"
    process = soak.start(output)
    assert wait_for_frames(process, output, 4)
    refused = 0
    for shift in (86400, -365 * 86400):
        for lock in list(output.rglob(".lock")):
            os.utime(lock, (time.time() + shift,) * 2)
            try:
                FolderLock(lock.parent).release()
                assert process.poll() is not None, f"{lock}: taken over from a living process"
            except InputError as error:
                assert "another run writes there" in str(error), error
                refused += 1
    assert refused, "the run ended before a lock was looked at"
    process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    soak.check_whole(output)
    return "a live lock is held whatever its time says; whole"


def runs_killed(soak: Soak) -> str:
    """`propagate` itself, killed in each strategy."""
    rounds = max(1, soak.kills // 5)
    command = [sys.executable, "-m", "Testing.soak.kill_and_continue", "--rounds", str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * LIMIT)
    assert done.returncode == 0, done.stderr[-500:]
    kills = sum(int(line.split("killed ")[1].split()[0]) for line in done.stdout.splitlines())
    return f"{kills} kills in {rounds} round(s) of four strategies, nothing differs"


def stays_flat(soak: Soak) -> str:
    """Memory, descriptors and threads of long runs, each strategy."""
    told = []
    for strategy in STRATEGIES:
        folder = soak.folder / f"flat-{strategy}"
        folder.mkdir()
        table = write_cohort_case(folder, (strategy,), COUNT)
        frames = [folder / "p0" / "frames" / f"frame{n % COUNT}.nrrd" for n in range(soak.frames)]
        for n, path in enumerate(frames[COUNT:], COUNT):
            os.link(path, folder / "p0" / "frames" / f"frame{n}.nrrd")
        given = {"--sequence": folder / "p0" / "frames", "--segmentation": folder / "p0" / "segmentation2.nrrd"}
        given |= {"--model": folder / "tiny.pt", "--output": folder / "out", "--strategy": strategy}
        options = [str(word) for pair in given.items() for word in pair]
        words = ["propagate", *options, "--reference-frame", "2", "--progress", "none", "--no-report"]
        process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seen: list[tuple[float, int, int]] = []
        while process.poll() is None:
            rows = len(table_of(folder / "out"))
            if rows > 20:
                seen.append(used_by(process.pid))
            time.sleep(0.3)
        assert process.returncode == 0 and len(table_of(folder / "out")) == soak.frames and table.is_file()
        early, late = (
            np.array(seen[: max(1, len(seen) // 5)]).max(0),
            np.array(seen[-max(2, len(seen) // 5) : -1]).max(0),
        )
        assert late[0] < 1.15 * early[0] + 20 and late[1] <= early[1] + 5 and late[2] <= early[2] + 2, (early, late)
        told.append(f"{strategy} {early[0]:.0f} -> {late[0]:.0f} MB")
    return f"{soak.frames} frames: {', '.join(told)}; descriptors and threads as at the start"


def used_by(pid: int) -> tuple[float, int, int]:
    """Resident megabytes, open descriptors, threads."""
    try:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        return int(status["VmRSS"].split()[0]) / 1e3, len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"])
    except (OSError, KeyError):
        return 0.0, 0, 0


@contextmanager
def mounted(folder: Path, options: str):
    """A small drive of its own, where this process may mount one."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True).returncode:
        raise NotImplementedError("a drive cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True)


FAULTS: dict[str, Callable[[Soak], str]] = {
    name.__name__.replace("_", "-"): name
    for name in (
        worker_killed, command_killed, scheduler_killed, interrupted, two_cohorts, output_removed, read_only, disk_full,
        input_replaced, damaged_frames, clock_jumps, runs_killed, stays_flat,
    )
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FAULTS)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A shell that starts this in the background has it, and what it starts, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="voxelmorph-soak-") as scratch:
        soak = Soak(Path(scratch), args.frames, args.kills, random.Random(args.seed))
        print(f"{'fault':16} {'seconds':>7}  {'':4}  what is left", flush=True)
        for name in args.only or FAULTS:
            began = time.monotonic()
            try:
                verdict, told = "ok", FAULTS[name](soak)
            except NotImplementedError as reason:
                verdict, told = "skip", str(reason)
            except Exception as error:
                verdict, told = "FAIL", f"{type(error).__name__}: {error}"
                failed += 1
            print(f"{name:16} {time.monotonic() - began:>7.0f}  {verdict:4}  {told}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
