"""Faults of processes and locks: workers, the command and a scheduler are killed, or two commands meet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from Testing.soak.small_cohort import LIMIT, Left, SmallCohort, frames_in, wait_for_frames, workers_of
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.lock import FolderLock


def worker_killed(soak: SmallCohort) -> Left:
    """Workers are killed at random, in as many cohorts as that takes."""
    soak, wanted = soak.longer(48), soak.asked.kills_or(20)
    killed = cohorts = again = 0
    while killed < wanted:
        cohorts += 1
        output, before = soak.output("worker-killed"), killed
        process = soak.start(output)
        while process.poll() is None and killed < wanted:
            time.sleep(soak.chance.uniform(0.5, 2.0))
            workers = workers_of(process)
            if workers and frames_in(output):
                os.kill(soak.chance.choice(workers), signal.SIGKILL)
                killed += 1
        process.communicate(timeout=LIMIT)
        assert killed > before, "it ended before a worker was killed"
        starts = 1
        while soak.run(output).returncode == 4 and starts < 3:  # Frames that two kills met are marked, and made anew.
            starts += 1
        again += process.returncode == 4
        soak.check_whole(output)
    told = f", {again} of them by the same command given again" if again else ""
    return Left(f"{cohorts} cohorts of {4 * soak.frames} frames: all frames once, labels and rows equal{told}", killed)


def command_killed(soak: SmallCohort) -> Left:
    """The command, and with it the scheduler, is killed."""
    output, kills = soak.output("command-killed"), 0
    for _ in range(soak.asked.kills_or(5)):
        process = soak.start(output)
        if not wait_for_frames(process, output, frames_in(output) + soak.chance.randint(4, 12)):
            process.communicate(timeout=LIMIT)
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert soak.run(output).returncode == 0
    soak.check_whole(output)
    return Left("goes on each time, labels and rows equal", kills)


def scheduler_killed(soak: SmallCohort) -> Left:
    """A scheduler of its own, as on a cluster, is killed under the command; its workers end with it."""
    output, place = soak.output("scheduler-killed"), soak.folder / "scheduler.json"
    environment = {**os.environ, "DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON__OMP_NUM_THREADS": "1"}
    started: list[subprocess.Popen] = []
    place.unlink(missing_ok=True)  # of an earlier call in the same folder

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
    return Left(f"named after {seconds:.0f} s, {kept} frames stay; goes on without it, labels and rows equal", 1)


def interrupted(soak: SmallCohort) -> Left:
    """Ctrl-C in a terminal reaches the command and its workers."""
    output = soak.output("interrupted")
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
    return Left(f"status 130 after {seconds:.1f} s, {kept} frames stay; goes on, labels and rows equal")


def two_cohorts(soak: SmallCohort) -> Left:
    """Two cohorts on one folder."""
    output = soak.output("two")
    first = soak.start(output)
    assert wait_for_frames(first, output, 1)
    second = soak.run(output)
    assert second.returncode == 1 and "another run writes there" in second.stderr, second.stderr
    first.communicate(timeout=LIMIT)
    assert first.returncode == 0
    soak.check_whole(output)
    return Left("the second is refused in one line, the first is whole")


_JUMPING = """
import time
true = time.time
time.time = lambda: true() + (0, 86400, -365 * 86400)[int(time.monotonic() / 3) % 3]
"""


def clock_jumps(soak: SmallCohort) -> Left:
    """The clock of all processes jumps a day ahead and a year back, and locks seem to be of then."""
    output, clock = soak.output("clock"), soak.output("jumping")
    clock.mkdir()
    (clock / "sitecustomize.py").write_text(_JUMPING, encoding="utf-8")  # Python reads it when it starts.
    path = os.pathsep.join([str(clock), os.environ.get("PYTHONPATH", "")])
    process = soak.start(output, environment={**os.environ, "PYTHONPATH": path})
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
    return Left("a day ahead and a year back, every three seconds: a live lock is held, labels and rows equal")
