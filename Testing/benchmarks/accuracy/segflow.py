"""segflow4d (its CPU backend, which is greedy) on one sequence: `python segflow.py REQUEST.json`.

It gives segmentations and no displacement, so only labels are compared. Its own command line is run on a 4D image of
the reference and the frames; the seconds are divided by the frames, its start-up and reading are in them.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import SimpleITK as sitk
from others import THREADS


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    paths = [request["moving"], *[pair["fixed"] for pair in request["pairs"]]]
    with tempfile.TemporaryDirectory() as folder:
        sitk.WriteImage(
            sitk.JoinSeries([sitk.ReadImage(p, sitk.sitkFloat32) for p in paths]), f"{folder}/frames.nii.gz"
        )
        started = time.perf_counter()
        subprocess.run(
            [
                str(Path(sys.executable).with_name("segflow4d")),
                "--image4d",
                f"{folder}/frames.nii.gz",
                "--output",
                f"{folder}/out",
                "--tp-ref",
                "1",
                "--tp-targets",
                *[str(n) for n in range(2, len(paths) + 1)],
                "--seg-ref",
                request["labels"],
                "--registration-backend",
                "greedy",
                "--threads",
                str(THREADS),
                "--log-level",
                "WARNING",
            ],
            check=True,
        )
        seconds = (time.perf_counter() - started) / len(request["pairs"])
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        record = {
            "seconds": seconds,
            "cpu_seconds": (used.ru_utime + used.ru_stime) / len(request["pairs"]),
            "memory_mb": used.ru_maxrss / 1024,
            "version": version("segflow4d"),
        }
        for number, pair in enumerate(request["pairs"], start=2):
            found = sorted(Path(folder, "out").rglob(f"*{number:03d}*.nii.gz"))
            if not found:
                raise SystemExit(
                    f"no segmentation of time point {number}: {[p.name for p in Path(folder, 'out').rglob('*')]}"
                )
            image = sitk.ReadImage(str(found[0]))
            image.CopyInformation(sitk.ReadImage(pair["fixed"]))
            sitk.WriteImage(image, pair["output"])
            Path(pair["output"]).with_suffix(".json").write_text(json.dumps(record))
        shutil.rmtree(f"{folder}/out")


if __name__ == "__main__":
    main()
