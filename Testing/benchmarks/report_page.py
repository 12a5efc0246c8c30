"""What the page of a run costs: seconds, size and memory for few and for many frames, and its share of a run.

    python -m Testing.benchmarks.report_page                 # 200 and 2000 small frames; prints a table
    python -m Testing.benchmarks.report_page --frames 20000
    python -m Testing.benchmarks.report_page --run 200       # one propagation: the share that its page took

Both write what they found to results/report_page.json. Each page is made in a process of its own, whose peak of memory
is told beside that of a process that only imports what is needed; a twentieth of the frames stands out. The run has
frames of 96 voxels an edge and the fast bundled network; a twentieth of them is rolled by a quarter of its edge, so
that there is something to draw.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from Testing.benchmarks.speed.overhead import make_case
from Testing.support.run_folders import write_run
from VoxelMorphRegistrationLib.cli.main import main as main_of_the_command
from VoxelMorphRegistrationLib.report.sink import ReportingSink

RESULT = Path(__file__).parent / "results" / "report_page.json"

_CHILD = """
import resource, sys, time
from VoxelMorphRegistrationLib.report.run_page import write_run_page
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
started = time.perf_counter()
page = write_run_page(sys.argv[1])
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(seconds, before, peak, page.stat().st_size / 1e6)
"""


def made(count: int) -> dict[str, Any]:
    """The page of a folder of so many frames, made once."""
    with tempfile.TemporaryDirectory(prefix="voxelmorph-report-") as folder:
        odd = tuple(range(10, count, 20))
        out = write_run(Path(folder), count, odd, failed=(7,))
        command = [sys.executable, "-c", _CHILD, str(out)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    names = ("seconds", "megabytes_before", "megabytes_at_most", "page_megabytes")
    return {"frames": count, **{name: round(float(word), 2) for name, word in zip(names, told.split())}}


def share_of_a_run(count: int) -> dict[str, Any]:
    """The seconds that one propagation spent on its page, beside all of its seconds."""
    spent: list[float] = []
    write = ReportingSink._write

    def timed(*arguments: Any) -> None:
        started = time.perf_counter()
        write(*arguments)
        spent.append(time.perf_counter() - started)

    with tempfile.TemporaryDirectory(prefix="voxelmorph-report-") as scratch:
        folder = Path(scratch)
        paths, labels = make_case(folder, 96, count)
        sitk.WriteImage(labels, str(folder / "labels.nrrd"))
        for path in paths[10::20]:
            image = sitk.ReadImage(str(path))
            rolled = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(image), 24, 1))
            rolled.CopyInformation(image)
            sitk.WriteImage(rolled, str(path))
        (folder / "frames.txt").write_text("".join(f"{path.name}\n" for path in paths), encoding="utf-8")
        given = {"--sequence": folder / "frames.txt", "--segmentation": folder / "labels.nrrd"}
        given |= {"--output": folder / "out", "--model": "any-anatomy-fast", "--progress": "none"}
        options = [str(word) for pair in given.items() for word in pair]
        ReportingSink._write = timed  # type: ignore[method-assign]
        started = time.perf_counter()
        status = main_of_the_command(["propagate", *options, "--reference-frame", "0"])
        seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"the propagation ended with status {status}")
    return {
        "frames": count,
        "edge": 96,
        "run_seconds": round(seconds, 1),
        "page_seconds": round(sum(spent), 2),
        "page_percent": round(100 * sum(spent) / seconds, 2),
        "written": len(spent),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, action="append")
    parser.add_argument("--run", type=int, metavar="FRAMES")
    args = parser.parse_args()
    found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    if args.run:
        load = os.getloadavg()[0]
        found["run"] = {**share_of_a_run(args.run), "load_before": round(load, 1)}
        print(found["run"])
    else:
        found["pages"] = []
        for count in args.frames or [200, 2000]:
            load = os.getloadavg()[0]
            found["pages"].append({**made(count), "load_before": round(load, 1)})
            print(found["pages"][-1], flush=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
