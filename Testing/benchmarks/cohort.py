"""What a cohort costs beside its registrations: how two workers compare with one, and with the same runs of
`propagate`, and how long it takes until the first frame is there.

    python -m Testing.benchmarks.cohort              # 2 patients of 80 frames of 48 voxels an edge, the fast network
    python -m Testing.benchmarks.cohort --overhead   # 40 frames: one worker beside `propagate`, one more round
    python -m Testing.benchmarks.cohort --memory     # 40,000 frames whose registration is left out: memory
    python -m Testing.benchmarks.cohort --start      # 20 patients of 2000: seconds until the first frame is registered

Each writes what it found to results/cohort.json, where what others found stays, and into Docs/cohorts.md. Processes
have one thread. Numbers are of whole processes, imports included, but for those `a_frame`: from the first registered
frame to the last, which is what counts for runs of hours. `two_propagates_at_once` says what the machine gains from a
second process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from Testing.benchmarks.cohort_clock import registered, side_by_side, started, timed
from Testing.benchmarks.speed.overhead import make_case
from Testing.support.marked_pages import between

RESULT = Path(__file__).parent / "results" / "cohort.json"
PAGE = Path(__file__).resolve().parents[2] / "Docs" / "cohorts.md"
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


def overhead(before: dict[str, Any], frames: int, edge: int) -> dict[str, Any]:
    """One worker beside `propagate` on one core, the same patient, a round more than before; the mean of all rounds.

    In a frame's time of an undisturbed core the worker registers, and the cohort's other processes take their share.
    """
    found: dict[str, Any] = {"frames": frames, "edge": edge}
    rounds = before.get("rounds", []) if {name: before.get(name) for name in found} == found else []
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory(prefix="voxelmorph-cohort-") as scratch:
        table = write_patients(Path(scratch), 1, frames, edge)
        outputs = {name: table.parent / name for name in ("cohort", "propagate")}
        commands = {
            "cohort": by_workers(1, table, outputs["cohort"]),
            "propagate": propagate(table.parent, outputs["propagate"]),
        }
        this: dict[str, Any] = side_by_side(commands, outputs)
    worker, alone = (this[name]["registering_a_frame"] for name in ("cohort", "propagate"))
    this["worker_percent"] = round(100 * (worker / alone - 1), 1)
    this["all_processes_percent"] = round(100 * (worker * (1 + this["cohort"]["others_cores"]) / alone - 1), 1)
    found["rounds"] = [*rounds, {"load_before": load, **this}]
    for name in ("worker_percent", "all_processes_percent"):
        found[name] = round(sum(one[name] for one in found["rounds"]) / len(found["rounds"]), 1)
    return found


def one_round(table: Path, patients: int, output: Path) -> Iterator[tuple[str, dict[str, float]]]:
    for workers in (1, 2):
        to = output / f"workers_{workers}"
        yield f"workers_{workers}", timed(to, workers, by_workers(workers, table, to))
    yield "propagate", one_after_the_other(table, patients, output)
    both = [propagate(table.parent, output / "both" / f"p{n}") for n in range(2)]
    yield "two_propagates_at_once", timed(output / "both", 2, *both)


def by_workers(workers: int, table: Path, output: Path) -> list[str]:
    how = ["--workers", str(workers), "--threads", "1", "--progress", "none"]
    return [*COMMAND, "cohort", str(table), "--output", str(output), *how]


def one_after_the_other(table: Path, patients: int, output: Path) -> dict[str, float]:
    """Runs of `propagate`."""
    alone = [timed(output / f"p{n}", 1, propagate(table.parent, output / f"p{n}")) for n in range(patients)]
    together = {name: round(sum(one[name] for one in alone), 4) for name in alone[0]}
    means = ("seconds_a_frame", "others_cores", "between_frames_percent", "first_frame")
    return together | {name: round(together[name] / patients, 4) for name in means}


def propagate(folder: Path, output: Path) -> list[str]:
    given = {"--sequence": folder / "frames.txt", "--segmentation": folder / "labels.nrrd", "--model": MODEL}
    given |= {"--reference-frame": 0, "--output": output, "--progress": "none"}
    return [*COMMAND, "propagate", *(str(word) for pair in given.items() for word in pair)]


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
    found["megabytes_seen"] = dict(seen[:: max(1, len(seen) // 40)])
    found["megabytes_at_the_end"] = seen[-1][1]
    return found


def resident_megabytes() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1000, 1)
    return float("nan")


def megabytes_on_the_way(found: dict[str, Any]) -> list[tuple[int, float]]:
    """Frames that were done and memory then, of `memory`: after a twentieth, and some more."""
    frames = found["frames"]
    seen = [(int(done), used) for done, used in found["megabytes_seen"].items()]
    parts = (frames / 20, frames / 4, frames / 2, 3 * frames / 4)
    return [next(one for one in seen if one[0] >= least) for least in parts] + [(frames, found["megabytes_at_the_end"])]


def page(found: dict[str, Any]) -> str:
    """The page with its table as the results are."""
    lines = ["| what | found | wanted |", "|---|---|---|"]
    if "workers" in found:
        one = found["workers"]
        of, times = f"{one['patients']} x {one['frames']} frames of {one['edge']}^3", one["two_workers_are_times_one"]
        lines.append(f"| two workers of one thread against one, seconds a frame, {of} | {times} times | 1.8 |")
    if "overhead" in found:
        one = found["overhead"]
        of = f"{one['frames']} frames of {one['edge']}^3, mean of {len(one['rounds'])}"
        what = f"one worker against `propagate`, processor seconds from the first frame to the last, {of}"
        lines.append(f"| {what}: all processes together | {one['all_processes_percent']:+} % | 5 % |")
        lines.append(f"| of it the worker itself | {one['worker_percent']:+} % | |")
    if "start" in found:
        one = found["start"]
        of = f"{one['patients']} patients of {one['frames']} frames"
        lines.append(f"| start to the first frame, {of} | {one['first_frame']} s | 30 s |")
    if "memory" in found:
        one = found["memory"]
        told = ", ".join(f"{used} at {done:,}" for done, used in megabytes_on_the_way(one))
        what = f"memory of client and scheduler, MB, of {one['frames']:,} frames that are not registered"
        lines.append(f"| {what} | {told} | flat |")
    table = "\n".join(lines)
    return between(PAGE.read_text(encoding="utf-8"), "measured", f"\n{table}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--start", action="store_true")
    parser.add_argument("--overhead", action="store_true")
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
    elif args.overhead:
        earlier = found.get("overhead", {})
        found["overhead"] = overhead(earlier, args.frames or 40, args.edge or 48)
    else:
        found["workers"] = compared(args.patients or 2, args.frames or 80, args.edge or 48, args.rounds)
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
