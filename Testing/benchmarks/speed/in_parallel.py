"""One patient by several workers of a cohort, files to files: as long as it takes, and once all of them are at it."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from Testing.benchmarks.cohort import by_workers
from Testing.benchmarks.cohort_clock import children_seconds
from Testing.benchmarks.speed.sequence import LABELS, frames_by_another_process

DIFFERENT = 48  # frames; a longer sequence has them again
_NAME = "patient"


def cohort(
    shape: list[int],
    model: str,
    strategy: str,
    count: int,
    workers: int,
    device: str = "cpu",
    folder: Path | None = None,
) -> dict[str, float]:
    """Of a frame: `wall` and `cpu` of the whole command divided by all frames, its start, looks and key frames
    included; `steady_wall` between a tenth and nine tenths of the frames, by the times of the files they end in.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voxelmorph-speed-")))
        paths = frames_by_another_process(folder or scratch, shape, min(count, DIFFERENT))
        sequence, output = scratch / "sequence", scratch / "out"
        sequence.mkdir()
        for index in range(count):
            (sequence / f"{index:05d}.nrrd").symlink_to(paths[index % len(paths)])
        table = scratch / "cases.csv"
        labels = paths[0].parent.parent / LABELS
        table.write_text(f"case,sequence,segmentation,reference_frame\n{_NAME},{sequence},{labels},0\n")
        command = by_workers(workers, table, output)
        for setting in (f"strategy={strategy}", f"model={model}", f"device={device}"):
            command += ["--set", setting]
        before, began = children_seconds(), time.time()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
        seconds = time.time() - began
        if done.returncode:
            raise SystemExit(f"{done.stderr.strip()[-300:]}")
        made = sorted(one.stat().st_mtime for one in output.glob(f"{_NAME}/segmentation/*"))
        first, last = made[len(made) // 10], made[len(made) * 9 // 10]
        return {
            "wall": seconds / count,
            "cpu": (children_seconds() - before) / count,
            "first_wall": made[0] - began,
            "steady_wall": (last - first) / (len(made) * 9 // 10 - len(made) // 10),
        }
