"""What a cohort costs beside its registrations: how two workers compare with one, and with the same runs of
`propagate`, and how long it takes until the first frame is there.

    python -m Testing.benchmarks.cohort              # 2 patients of 24 frames of 48 voxels an edge, the fast network
    python -m Testing.benchmarks.cohort --memory     # 40,000 frames whose registration is left out: memory
    python -m Testing.benchmarks.cohort --start      # 20 patients of 2000: seconds until the first frame is registered

Each writes what it found, and the load of the machine before, to results/cohort.json. Processes have one thread. Every
number is of whole processes, imports included, but for `seconds_a_frame`: from the first registered frame to the last,
which is what counts for runs of hours. `two_propagates_at_once` says what the machine gains from a second process.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from Testing.benchmarks.propagation_overhead import make_case

RESULT = Path(__file__).parent / "results" / "cohort.json"
COMMAND = [sys.executable, "-m", "VoxelMorphRegistrationLib"]
MODEL = "any-anatomy-fast"


def write_patients(folder: Path, patients: int, frames: int, edge: int) -> Path:
    """A table of patients who share one sequence."""
    paths, labels = make_case(folder, edge, min(frames, 8))
    sitk.WriteImage(labels, str(folder / "labels.nrrd"))
    names = [paths[index % len(paths)].name for index in range(frames)]
    if len(set(names)) < len(names):  # Frames are told apart by their files.
        names = []
        for index in range(frames):
            name = f"frame{index:05d}.nrrd"
            os.link(paths[index % len(paths)], folder / name)
            names.append(name)
    (folder / "frames.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    rows = [f"p{n:02d},frames.txt,labels.nrrd,0,{MODEL}" for n in range(patients)]
    table = folder / "cases.csv"
    table.write_text("\n".join(["case,sequence,segmentation,reference_frame,model", *rows]) + "\n", encoding="utf-8")
    return table


def started(command: list[str]) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


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


def compared(patients: int, frames: int, edge: int, rounds: int) -> dict[str, Any]:
    """All four ways in turn, `rounds` times; of each number the least, which other programs delayed least."""
    found: dict[str, Any] = {"patients": patients, "frames": frames, "edge": edge, "rounds": rounds}
    ways: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="voxelmorph-cohort-") as scratch:
        table = write_patients(Path(scratch), patients, frames, edge)
        for number in range(rounds):
            for name, took in one_round(table, patients, table.parent / f"round{number}"):
                ways.setdefault(name, []).append(took)
                print(name, took, flush=True)
    least = {way: {name: min(one[name] for one in took) for name in took[0]} for way, took in ways.items()}
    one, two, alone, both = (least[way] for way in ("workers_1", "workers_2", "propagate", "two_propagates_at_once"))
    found |= least
    found["two_workers_are_times_one"] = round(one["seconds_a_frame"] / two["seconds_a_frame"], 2)
    found["two_propagates_are_times_one"] = round(alone["seconds_a_frame"] / both["seconds_a_frame"], 2)
    for clock in ("seconds_a_frame", "seconds", "processor_seconds"):
        found[f"overhead_percent_of_{clock}"] = round(100 * (one[clock] / alone[clock] - 1), 1)
    return found


def one_round(table: Path, patients: int, output: Path) -> Iterator[tuple[str, dict[str, float]]]:
    for workers in (1, 2):
        name = f"workers_{workers}"
        how = ["--workers", str(workers), "--threads", "1", "--progress", "none"]
        yield (
            name,
            timed(output / name, workers, [*COMMAND, "cohort", str(table), "--output", str(output / name), *how]),
        )
    alone = [timed(output / f"p{n}", 1, propagate(table.parent, output / f"p{n}")) for n in range(patients)]
    together = {name: round(sum(one[name] for one in alone), 4) for name in alone[0]}
    for name in ("seconds_a_frame", "others_cores", "between_frames_percent", "first_frame"):
        together[name] = round(together[name] / patients, 4)
    yield "propagate", together
    both = [propagate(table.parent, output / "both" / f"p{n}") for n in range(2)]
    yield "two_propagates_at_once", timed(output / "both", 2, *both)


def propagate(folder: Path, output: Path) -> list[str]:
    given = {"--sequence": folder / "frames.txt", "--segmentation": folder / "labels.nrrd", "--model": MODEL}
    given |= {"--reference-frame": 0, "--output": output, "--progress": "none"}
    return [*COMMAND, "propagate", *(str(word) for pair in given.items() for word in pair)]


def computing(output: Path) -> float:
    """Seconds of all frames, as their rows tell."""
    total = 0.0
    for path in output.rglob("frames.csv"):
        with open(path, newline="", encoding="utf-8") as stream:
            total += sum(float(row["seconds"] or 0) for row in csv.DictReader(stream))
    return round(total, 1)


def start(patients: int, frames: int, edge: int) -> dict[str, Any]:
    found: dict[str, Any] = {"patients": patients, "frames": frames, "edge": edge}
    found["load_before"] = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory(prefix="voxelmorph-cohort-") as scratch:
        folder = Path(scratch)
        table = write_patients(folder, patients, frames, edge)
        output = folder / "out"
        began = time.time()
        process = started([*COMMAND, "cohort", str(table), "--output", str(output), "--workers", "2"])
        while not (made := registered(output)) and process.poll() is None:
            time.sleep(0.2)
        process.terminate()
        process.wait()
    return {**found, "first_frame": round(made[0] - began, 1)}


def memory(frames: int) -> dict[str, Any]:
    """Resident memory of the process with client and scheduler, after a twentieth of the frames and at the end."""
    from Testing.support.cohort_cases import work_without_registering
    from VoxelMorphRegistrationLib.cli.cohort import RowReader
    from VoxelMorphRegistrationLib.cohort.cases import read_cases
    from VoxelMorphRegistrationLib.cohort.models import Models
    from VoxelMorphRegistrationLib.cohort.progress import CohortProgress
    from VoxelMorphRegistrationLib.cohort.run import Cohort, CohortSettings
    from VoxelMorphRegistrationLib.cohort.workers import WorkerSettings, connected

    found: dict[str, Any] = {"frames": frames, "load_before": round(os.getloadavg()[0], 1)}
    patients = 20
    with tempfile.TemporaryDirectory(prefix="voxelmorph-cohort-") as scratch:
        folder = Path(scratch)
        table = write_patients(folder, patients, frames // patients, 16)
        models = Models()
        cases = read_cases(table, folder / "out", RowReader(folder, []), models)
        seen: list[tuple[int, float]] = []
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(1.0):
                seen.append((progress.done, resident_megabytes()))
                if len(seen) % 30 == 0:
                    print(*seen[-1], flush=True)

        with connected(WorkerSettings(2, threads=1)) as client:
            progress = CohortProgress("none", patients, frames, lambda event: None)
            threading.Thread(target=watch, daemon=True).start()
            started = time.perf_counter()
            how = CohortSettings(pages=False)
            results = Cohort(cases, folder / "out", client, models, progress, how, work_without_registering).run()
            ended.set()
        found["seconds"] = round(time.perf_counter() - started, 1)
        found["done"] = sum(len(result.rows) for result in results)
    early = [megabytes for done, megabytes in seen if done >= frames / 20]
    found["megabytes_after_a_twentieth"], found["megabytes_at_the_end"] = early[0], early[-1]
    found["megabytes_at_most"] = max(early)
    return found


def resident_megabytes() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1000, 1)
    return float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--start", action="store_true")
    parser.add_argument("--patients", type=int)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--edge", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    if args.memory:
        found["memory"] = memory(args.frames or 40_000)
    elif args.start:
        found["start"] = start(args.patients or 20, args.frames or 2000, args.edge or 64)
    else:
        found["workers"] = compared(args.patients or 2, args.frames or 24, args.edge or 48, args.rounds)
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
