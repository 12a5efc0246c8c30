"""What the module's self-test tries inside Slicer: `VoxelMorphRegistrationTest` runs it in Slicer's own framework.

Each takes the module's logic, works in the application's scene, and raises AssertionError.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util


def a_displacement_pulls_and_comes_back(logic: Any) -> None:
    volume = slicer.util.addVolumeFromArray(np.zeros((5, 6, 7)), np.diag([2.0, 3.0, 4.0, 1.0]), "fixed")
    shift = np.zeros((3, 5, 6, 7), dtype=np.float32)
    shift[2] = 1.0  # One voxel of 2 mm along i, which runs to the right here.
    transform = logic.importDisplacement(shift, None, volume, "voxelmorph")
    pulled = transform.GetTransformFromParent().TransformPoint(4.0, 6.0, 8.0)
    np.testing.assert_allclose(pulled, (6.0, 6.0, 8.0), atol=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        logic.exportDisplacement(transform, Path(folder) / "shift.nrrd", "itk", volume)
        again = logic.importDisplacement(Path(folder) / "shift.nrrd", None, volume, "itk")
    np.testing.assert_allclose(again.GetTransformFromParent().TransformPoint(4.0, 6.0, 8.0), pulled, atol=1e-4)


def a_pair_is_registered(logic: Any) -> None:
    z, y, x = np.mgrid[:32, :32, :32]
    ball = np.exp(-((x - 16) ** 2 + (y - 16) ** 2 + (z - 16) ** 2) / 60.0) * 200
    fixed = slicer.util.addVolumeFromArray(ball, np.diag([2.0, 2.0, 2.0, 1.0]), "fixed")
    moving = slicer.util.addVolumeFromArray(np.roll(ball, 3, axis=2), np.diag([2.0, 2.0, 2.0, 1.0]), "moving")
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "output")
    logic.registerVolumes(fixed, moving, None, output, model="any-anatomy-fast", networkSpacing=4)
    error = np.abs(slicer.util.arrayFromVolume(output) - ball).mean()
    assert error < 0.5 * np.abs(np.roll(ball, 3, axis=2) - ball).mean(), error


def a_segmentation_is_propagated(logic: Any) -> None:
    from .breathing_phantom import labels

    deepest = 5
    sequence, segmentation = logic.addBreathingPhantom()
    output = logic.propagateSegmentation(
        sequence, segmentation, frames=[deepest], model="any-anatomy-fast", networkSpacing=8, outputAsLabels=True
    )
    found = slicer.util.arrayFromVolume(output.GetNthDataNode(0)) > 0
    truth, untouched = labels(deepest) > 0, labels(0) > 0
    assert _dice(found, truth) > 0.5 * (1 + _dice(untouched, truth)), (_dice(found, truth), _dice(untouched, truth))


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.sum(one & other) / (np.sum(one) + np.sum(other)))
