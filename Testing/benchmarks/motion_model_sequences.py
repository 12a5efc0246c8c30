"""Strategy motion-model against direct on the short sequences of the accuracy benchmark: simulated MR, a beating heart.

    python -m Testing.benchmarks.motion_model_sequences

Nineteen frames and a reference each. Errors are in voxels of the finest axis, over the frames of which both strategies
made a displacement of their own: key frames are the same in both. Writes results/motion_model_sequences.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from Testing.benchmarks.accuracy import case_motion
from Testing.benchmarks.accuracy.cases import Case
from Testing.benchmarks.accuracy.scores import score
from VoxelMorphRegistrationLib import propagate

RESULT = Path(__file__).parent / "results" / "motion_model_sequences.json"
SEQUENCES: dict[str, Callable[[Path, bool], list[Case]]] = {
    "abdomen MR": case_motion.abdomen_mr,
    "beating heart": case_motion.heart,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", nargs="+", choices=SEQUENCES, default=list(SEQUENCES))
    parser.add_argument("--model", default="any-anatomy-fast")
    args = parser.parse_args()
    told = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    for name in args.sequences:
        with tempfile.TemporaryDirectory() as folder:
            cases = [case for case in SEQUENCES[name](Path(folder), False) if case.group == name]
            told[name] = compared(cases, args.model)
        print(name, json.dumps(told[name]), flush=True)
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def compared(cases: Sequence[Case], model: str) -> dict[str, Any]:
    voxel = min(sitk.ReadImage(cases[0].fixed).GetSpacing())
    combined, seconds = run(cases, model, "motion-model")
    own = [number for number, (strategy, _) in combined.items() if strategy == "motion-model"]
    directly, direct_seconds = run(cases, model, "direct")
    return {
        "model": model,
        "voxel_mm": round(voxel, 3),
        "frames": len(cases) + 1,
        "combined": len(own),
        "error": {
            name: round(float(np.mean([found[number][1] for number in own])) / voxel, 4)
            for name, found in (("motion-model", combined), ("direct", directly))
        },
        "processor_seconds_a_frame": {"motion-model": seconds, "direct": direct_seconds},
    }


def run(cases: Sequence[Case], model: str, strategy: Any) -> tuple[dict[int, tuple[str, float]], float]:
    """By frame what found its displacement and its error in mm; and processor seconds a frame."""
    moving = sitk.ReadImage(cases[0].moving, sitk.sitkFloat32)
    somewhere = sitk.Cast(sitk.OtsuThreshold(moving, 0, 1), sitk.sitkUInt8)
    frames = [cases[0].moving, *(case.fixed for case in cases)]
    found, began = {}, time.process_time()
    for result in propagate(frames, somewhere, 0, model, strategy=strategy):
        if result.failure is not None:
            raise SystemExit(result.failure.traceback)
        if result.index:
            found[result.index] = (result.strategy or strategy, result.displacement)
    seconds = round((time.process_time() - began) / len(frames), 2)
    return {
        index: (made_by, score(cases[index - 1], displacement)["tre_mm"])
        for index, (made_by, displacement) in found.items()
    }, seconds


if __name__ == "__main__":
    main()
