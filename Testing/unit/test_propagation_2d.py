"""Sequences of single slices go the same way as volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.networks import build_network
from VoxelMorphRegistrationLib.propagation.frames import open_frames
from VoxelMorphRegistrationLib.space.grid import Grid
from VoxelMorphRegistrationLib.training.saving import write_model

GRID = Grid((24, 20), (1.5, 2.0), (-3.0, 7.0), (0.0, -1.0, 1.0, 0.0))


def test_slices_get_labels_transforms_a_table_and_a_sequence(tmp_path: Path):
    torch.manual_seed(0)
    architecture = {"class": "VxmPairwise", "ndim": 2, "features": [4, 4], "integration_steps": 5}
    write_model(build_network(architecture), Card("flat", architecture), tmp_path / "flat.pt")
    noise = np.random.default_rng(0).normal(size=GRID.shape)
    for index in range(3):
        sitk.WriteImage(GRID.image((noise + index).astype(np.float32)), str(tmp_path / f"f{index}.nrrd"))
    labels = np.zeros(GRID.shape, np.uint8)
    labels[5:12, 4:15] = 3
    sitk.WriteImage(GRID.image(labels), str(tmp_path / "labels.nrrd"))
    assert (
        main(
            [
                "propagate",
                "--sequence",
                str(tmp_path / "f*.nrrd"),
                "--segmentation",
                str(tmp_path / "labels.nrrd"),
                "--reference-frame",
                "1",
                "--model",
                str(tmp_path / "flat.pt"),
                "--output",
                str(tmp_path / "out"),
                "--save-transforms",
                "full",
                "--strategy",
                "sequential",
                "--progress",
                "none",
            ]
        )
        == 0
    )
    written = sitk.ReadImage(str(tmp_path / "out" / "segmentation" / "0002.nrrd"))
    assert Grid.of(written).same_as(GRID) and written.GetPixelID() == sitk.sitkUInt8
    assert sitk.ReadImage(str(tmp_path / "out" / "transforms" / "0000.nrrd")).GetNumberOfComponentsPerPixel() == 2
    sequence = open_frames(tmp_path / "out" / "segmentation.seq.nrrd")
    assert len(sequence) == 3
    assert np.array_equal(sitk.GetArrayFromImage(sequence[1])[0], labels)
