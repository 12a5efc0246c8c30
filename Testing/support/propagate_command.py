"""`slicer-voxelmorph propagate` on the sequence of a moving ball, and what its folder holds afterwards."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.support.propagation_cases import weights_file, write_sequence
from VoxelMorphRegistrationLib.cli.main import main


def ball_case(folder: Path) -> dict[str, Path]:
    """Six frames, the segmentation of the first and a small network."""
    frames, segmentation = write_sequence(folder, 6)
    return {"sequence": frames, "segmentation": segmentation, "model": weights_file(folder)}


def command(case, output, *more, **replaced):
    given = {**case, **replaced}
    return main(
        [
            "propagate",
            "--sequence",
            str(given["sequence"]),
            "--segmentation",
            str(given["segmentation"]),
            "--reference-frame",
            "0",
            "--model",
            str(given["model"]),
            "--output",
            str(output),
            "--progress",
            "none",
            *map(str, more),
        ]
    )


def table(output) -> list[dict]:
    with open(output / "frames.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def voxels(output) -> dict[str, np.ndarray]:
    return {
        path.name: sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        for path in sorted((output / "segmentation").iterdir())
    }


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
