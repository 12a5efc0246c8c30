"""segflow4d (its CPU backend, which is greedy) on one sequence: `python segflow.py REQUEST.json`.

It gives segmentations and no displacement, so only labels are compared. Its own command line is run on a 4D image of
the reference and the frames; the seconds are divided by the frames, its start-up and reading are in them.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import SimpleITK as sitk

from Testing.benchmarks.accuracy.others import THREADS


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    paths = [request["moving"], *[pair["fixed"] for pair in request["pairs"]]]
    frames = [sitk.ReadImage(path, sitk.sitkFloat32) for path in paths]
    with tempfile.TemporaryDirectory() as folder:
        sitk.WriteImage(sitk.JoinSeries(frames), f"{folder}/frames.nii.gz")
        # Its command line hands the other back end's options to greedy, which refuses them; its settings file does not.
        # It halves the images and then looks at a quarter of that, where greedy needs four voxels an axis: volumes of
        # few slices go without that first look.
        first = 0 if min(frames[0].GetSize()) >= 32 else 1
        settings = {
            "image4d": f"{folder}/frames.nii.gz",
            "output": f"{folder}/out",
            "registration_backend": "greedy",
            "registration_backend_options": {
                "threads": THREADS,
                "affine_iterations": [200, 100, 50][first:],
                "deformable_iterations": [200, 100, 25][first:],
            },
            "tp_input_groups": [
                {"tp_ref": 1, "tp_targets": list(range(2, len(frames) + 1)), "seg_ref": request["labels"]}
            ],
        }
        Path(folder, "settings.yaml").write_text(json.dumps(settings))
        tool = str(Path(sys.executable).with_name("segflow4d"))
        started = time.perf_counter()
        subprocess.run([tool, "--config", f"{folder}/settings.yaml"], check=True)
        seconds = (time.perf_counter() - started) / len(request["pairs"])
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        record = {
            "seconds": seconds,
            "cpu_seconds": (used.ru_utime + used.ru_stime) / len(request["pairs"]),
            "memory_mb": used.ru_maxrss / 1024,
            "version": version("segflow4d"),
        }
        found = sitk.ReadImage(f"{folder}/out/seg-4d.nii.gz")
        for number, pair in enumerate(request["pairs"], start=1):
            image = found[:, :, :, number]
            image.CopyInformation(frames[number])
            sitk.WriteImage(image, pair["output"])
            Path(pair["output"]).with_suffix(".json").write_text(json.dumps(record))


if __name__ == "__main__":
    main()
