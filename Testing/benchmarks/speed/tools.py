"""One pair by another tool, in a process of its own: the runners of the accuracy benchmark.

The pair is a breath of the speed benchmark's body, whose displacement is known: what a tool leaves of it is told beside
its seconds, which are its registration alone. All have one thread: then seconds suffer least from other programs.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from Testing.benchmarks.accuracy.others import METHODS
from Testing.benchmarks.speed.sequence import KNOWN, LABELS, TRUTH, frames_by_another_process

ROOT = Path(__file__).resolve().parents[3]
_MINUTES = 15
_ON_ONE_THREAD = "from Testing.benchmarks.accuracy import others; others.THREADS = 1; others.main()"


def register_by_tool(folder: Path, tools_python: str, shape: list[int], method: str) -> dict[str, Any]:
    """Seconds, memory and what is left of the motion inside the organ, mm; `method` of `accuracy.others`.

    Raises RuntimeError in words when the tool is not there or fails.
    """
    package = METHODS[method].package
    if not _is_installed(package, tools_python):
        raise RuntimeError(f"{package} is not installed")
    frames = frames_by_another_process(folder, shape, KNOWN + 1)
    output = folder / "field.mha"
    request = {"fixed": str(frames[KNOWN]), "moving": str(frames[0]), "output": str(output)}
    request |= {"contrast": "same", "align": "none"}
    _call([tools_python, "-c", _ON_ONE_THREAD, method], request, folder)
    told = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    seconds = {"wall": round(told["seconds"], 4), "cpu": round(told["cpu_seconds"], 4)}
    told = {**seconds, "peak_mb": round(told["memory_mb"]), "version": told["version"]}
    return {**told, **distances(output, frames[0].parent.parent)}


def _is_installed(package: str, python: str) -> bool:
    look = "import importlib.metadata, sys; importlib.metadata.version(sys.argv[1])"
    return subprocess.run([python, "-c", look, package], capture_output=True, check=False).returncode == 0


def distances(field: Path, case: Path) -> dict[str, float]:
    """Mean mm inside the organ: of the true motion, and of what the field leaves of it."""
    inside = sitk.GetArrayFromImage(sitk.ReadImage(str(case / LABELS))) > 0
    true, found = (sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[inside] for path in (case / TRUTH, field))
    apart = {"untouched_mm": true, "left_mm": found - true}
    return {name: round(float(np.linalg.norm(one, axis=-1).mean()), 3) for name, one in apart.items()}


def _call(command: list[str], request: dict[str, Any], folder: Path) -> None:
    path = folder / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "VoxelMorphRegistration")]),
    }
    # elastix writes a displacement where it is started, whatever it was asked for.
    done = subprocess.run(
        [*command, str(path)], cwd=folder, env=environment, capture_output=True, text=True, timeout=60 * _MINUTES
    )
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
