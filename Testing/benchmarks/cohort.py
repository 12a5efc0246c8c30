"""What a cohort costs beside its registrations: how two workers compare with one, and with the same runs of
`propagate`, and how long it takes until the first frame is there.

    python -m Testing.benchmarks.cohort              # 2 patients of 24 frames of 64 voxels an edge, the fast network
    python -m Testing.benchmarks.cohort --memory     # 40,000 frames whose registration is left out: memory
    python -m Testing.benchmarks.cohort --start      # 20 patients: seconds until the first frame is finished

Each writes what it found, and the load of the machine before, to results/cohort.json. Processes have one thread. Every
number is of whole processes, imports included, but for `frames_only`: from the first finished frame to the last, which
is what counts for runs of hours.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
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


def timed(command: list[str], output: Path, stop_at_first: bool = False) -> dict[str, float]:
    """Seconds of a process, those until its first frame was in a table, and those from the first frame to the last."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen: list[tuple[float, int]] = []
    while process.poll() is None:
        count = sum(
            rows_in(path) for path in output.rglob("*.csv") if path.name in ("frames.csv",) or ".part." in path.name
        )
        if count and (not seen or count > seen[-1][1]):
            seen.append((time.perf_counter() - started, count))
            if stop_at_first:
                process.terminate()
                process.wait()
                return {"first_frame": round(seen[0][0], 1)}
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{command[3:]} ended with status {process.returncode}")
    return {
        "seconds": round(seconds, 1),
        "first_frame": round(seen[0][0], 1),
        "frames_only": round(seen[-1][0] - seen[0][0], 1),
    }


def rows_in(path: Path) -> int:
    try:
        return max(0, path.read_text(encoding="utf-8").count("\n") - 1)
    except OSError:
        return 0


def compared(patients: int, frames: int, edge: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "patients": patients,
        "frames": frames,
        "edge": edge,
        "load_before": round(os.getloadavg()[0], 1),
    }
    with tempfile.TemporaryDirectory(prefix="voxelmorph-cohort-") as scratch:
        folder = Path(scratch)
        table = write_patients(folder, patients, frames, edge)
        for workers in (1, 2):
            output = folder / f"workers{workers}"
            command = [
                *COMMAND,
                "cohort",
                str(table),
                "--output",
                str(output),
                "--workers",
                str(workers),
                "--threads",
                "1",
            ]
            found[f"workers_{workers}"] = timed([*command, "--progress", "none"], output)
            found[f"workers_{workers}"]["computing"] = computing(output)
        alone = 0.0
        for n in range(patients):
            given = {"--sequence": folder / "frames.txt", "--segmentation": folder / "labels.nrrd", "--model": MODEL}
            options = [str(word) for pair in given.items() for word in pair]
            output = folder / "alone" / f"p{n:02d}"
            told = timed(
                [
                    *COMMAND,
                    "propagate",
                    *options,
                    "--reference-frame",
                    "0",
                    "--output",
                    str(output),
                    "--progress",
                    "none",
                ],
                output,
            )
            alone += told["seconds"]
        found["propagate_alone"] = {"seconds": round(alone, 1), "computing": computing(folder / "alone")}
    one, two = found["workers_1"], found["workers_2"]
    found["two_workers_are_times_one"] = round(one["frames_only"] / two["frames_only"], 2)
    found["overhead_percent_of_computing"] = round(100 * (one["frames_only"] / found["workers_1"]["computing"] - 1), 1)
    return found


def computing(output: Path) -> float:
    """Seconds of all frames, as their rows tell."""
    total = 0.0
    for path in output.rglob("frames.csv"):
        with open(path, newline="", encoding="utf-8") as stream:
            total += sum(float(row["seconds"] or 0) for row in csv.DictReader(stream))
    return round(total, 1)


def start(patients: int, edge: int) -> dict[str, Any]:
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory(prefix="voxelmorph-cohort-") as scratch:
        folder = Path(scratch)
        table = write_patients(folder, patients, 8, edge)
        output = folder / "out"
        command = [*COMMAND, "cohort", str(table), "--output", str(output), "--workers", "2", "--progress", "none"]
        return {"patients": patients, "edge": edge, "load_before": load, **timed(command, output, stop_at_first=True)}


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
    parser.add_argument("--edge", type=int, default=64)
    args = parser.parse_args()
    found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    if args.memory:
        found["memory"] = memory(args.frames or 40_000)
    elif args.start:
        found["start"] = start(args.patients or 20, args.edge)
    else:
        found["workers"] = compared(args.patients or 2, args.frames or 24, args.edge)
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
