"""Seconds and processor seconds of commands that register frames, and of those frames."""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import time
from pathlib import Path

import numpy as np


def started(command: list[str]) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)


def timed(output: Path, workers: int, *commands: list[str]) -> dict[str, float]:
    """Processes at the same time: seconds until all have ended, those until the first frame was registered, and from
    then on those of a frame; how much longer that is than the workers computed; processor seconds of all processes, and
    how many cores other programs took meanwhile.
    """
    began, busy, used = time.time(), busy_seconds(), children_seconds()
    processes = [started(command) for command in commands]
    for process in processes:
        if process.wait():
            raise SystemExit(f"{process.args} ended with status {process.returncode}")
    seconds = time.time() - began
    processor = children_seconds() - used
    made = registered(output)
    computed = computing(output)
    lasted = workers * (made[-1] - made[0]) * len(made) / (len(made) - 1)
    return {
        "seconds": round(seconds, 1),
        "first_frame": round(made[0] - began, 1),
        "seconds_a_frame": round((made[-1] - made[0]) / (len(made) - 1), 4),
        "computing": computed,
        "between_frames_percent": round(100 * (lasted / computed - 1), 1),
        "processor_seconds": round(processor, 1),
        "others_cores": round((busy_seconds() - busy - processor) / seconds, 2),
    }


def side_by_side(commands: dict[str, list[str]], outputs: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Commands on one core at the same time, so that whatever else is done there slows all of them alike. Of each, from
    the first frame that all have to the last: processor seconds a frame of the process that registers, and how much of
    a core its other processes take.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    processes = {name: started(command) for name, command in commands.items()}
    seen: dict[str, list[tuple[float, dict[int, float]]]] = {name: [] for name in commands}
    while all(process.poll() is None for process in processes.values()):
        for name, process in processes.items():
            seen[name].append((time.time(), session_seconds(process.pid)))
        time.sleep(0.5)
    for process in processes.values():
        if process.wait():
            raise SystemExit(f"{process.args} ended with status {process.returncode}")
    made = {name: registered(output) for name, output in outputs.items()}
    window = max(times[0] for times in made.values()), min(min(times[-1] for times in made.values()), seen[name][-1][0])
    found = {}
    for name, times in made.items():
        when = [at for at, _ in seen[name]]
        worker = max(seen[name][-1][1].items(), key=lambda one: one[1])[0]
        most = [used.get(worker, 0.0) for _, used in seen[name]]
        every = [sum(used.values()) for _, used in seen[name]]
        frames = np.diff(np.interp(window, times, np.arange(len(times))))[0]
        registering, together = (np.diff(np.interp(window, when, of))[0] for of in (most, every))
        found[name] = {
            "frames": round(float(frames), 2),
            "registering_a_frame": round(float(registering / frames), 4),
            "others_cores": round(float((together - registering) / (window[1] - window[0])), 4),
        }
    return found


def session_seconds(leader: int) -> dict[int, float]:
    """Processor seconds so far of each living process that one process and its children have started."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # It has ended meanwhile.
                continue
            if int(words[3]) == leader:
                found[int(entry.name)] = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return found


def children_seconds() -> float:
    """Processor seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def busy_seconds() -> float:
    """Processor seconds of the whole machine since it started."""
    user, nice, system = (int(word) for word in Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def registered(output: Path) -> list[float]:
    """When the labels of each frame but the reference were written."""
    return sorted(
        path.stat().st_mtime for path in output.rglob("segmentation/[0-9]*.nrrd") if int(path.name.split(".")[0])
    )


def computing(output: Path) -> float:
    """Seconds of all frames, as their rows tell."""
    total = 0.0
    for path in output.rglob("frames.csv"):
        with open(path, newline="", encoding="utf-8") as stream:
            total += sum(float(row["seconds"] or 0) for row in csv.DictReader(stream))
    return round(total, 1)
