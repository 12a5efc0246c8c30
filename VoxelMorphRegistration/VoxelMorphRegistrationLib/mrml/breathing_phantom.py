"""A body that breathes, made of formulas: a sequence to try the module on, without a download or a patient."""

from __future__ import annotations

import numpy as np
import slicer
import slicer.util

from ..annotations.segment import Segment
from ..annotations.segmentation import Segmentation
from ..space.grid import Grid
from .browsing import update_proxies
from .geometry import matrix_to_vtk
from .segmentations import update_segmentation_node

FRAMES = 10
SIZE = (80, 64, 56)  # i, j, k
SPACING = (4.0, 4.0, 5.0)  # mm
DEPTH = 18.0  # mm that the diaphragm moves towards the feet
PERIOD = 4.0  # seconds a breath

_SEGMENTS = (
    Segment("liver", "liver", 1, colour=(0.86, 0.45, 0.35)),
    Segment("lesion", "lesion", 2, colour=(0.95, 0.85, 0.2)),
)


def breath(index: int) -> float:
    """How far frame `index` is breathed in, 0 to 1: longer near exhalation, as people breathe."""
    return float(np.sin(np.pi * index / FRAMES) ** 4)


def frame(index: int) -> np.ndarray:
    """The voxels (k, j, i) of a frame, int16, with noise of its own."""
    x, y, z = _points()
    depth = breath(index)
    liver = _liver(x, y, z, depth)
    torso = 1 - np.hypot(x / 140, y / 100)
    chest = 1 - np.hypot(x / (118 + 3 * depth), y / (80 + 4 * depth))
    image = np.where(torso > 0, 180.0, 0.0)
    image = np.where((chest > 0) & (z > _dome(x, y, depth)), 30.0, image)
    image = np.where(np.hypot(x + 5, y + 70) < 16, 320.0, image)
    tissue = _tissue(x, y, z, depth)
    image = np.where(liver > 0, 420 + 60 * tissue, image)
    image = np.where(_lesion(x, y, z, depth) > 0, 620.0, image)
    noise = np.random.default_rng(index).normal(0, 12, image.shape)
    return np.clip(image + noise * (torso > -0.1), 0, None).astype(np.int16)


def labels(index: int) -> np.ndarray:
    """1 in the liver, 2 in its lesion, (k, j, i): what a person would draw on frame `index`."""
    x, y, z = _points()
    depth = breath(index)
    drawn = np.where(_liver(x, y, z, depth) > 0, 1, 0)
    return np.where(_lesion(x, y, z, depth) > 0, 2, drawn).astype(np.uint8)


def add_breathing_phantom() -> tuple[slicer.vtkMRMLSequenceNode, slicer.vtkMRMLSegmentationNode]:
    """The sequence, in a browser and in the slice views, and a segmentation of its frame 0."""
    scene = slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName("Breathing phantom"))
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for index in range(FRAMES):
        volume = slicer.vtkMRMLScalarVolumeNode()
        volume.SetName(sequence.GetName())
        volume.SetIJKToRASMatrix(matrix_to_vtk(_ijk_to_ras()))
        slicer.util.updateVolumeFromArray(volume, frame(index))
        sequence.SetDataNodeAtValue(volume, f"{index * PERIOD / FRAMES:g}")
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{sequence.GetName()} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    update_proxies(browser)
    volume = browser.GetProxyNode(sequence)
    volume.CreateDefaultDisplayNodes()
    return sequence, _drawn(volume)


def _drawn(volume: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLSegmentationNode:
    image = Grid.from_ras_matrix(SIZE, _ijk_to_ras()).image(labels(0))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Liver of frame 0")
    update_segmentation_node(node, Segmentation.of(image, segments=_SEGMENTS))
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), volume.GetID())
    node.CreateDefaultDisplayNodes()
    return node


def _ijk_to_ras() -> np.ndarray:
    matrix = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    matrix[:3, 3] = [length * (count - 1) / 2 for length, count in zip(SPACING, SIZE)]
    matrix[2, 3] *= -1
    return matrix


def _points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right to left, back to front and feet to head, mm from the middle of the volume, each broadcast to (k, j, i)."""
    i, j, k = (np.arange(count) * length - length * (count - 1) / 2 for count, length in zip(SIZE, SPACING))
    return i[None, None, :], -j[None, :, None], k[:, None, None]


def _dome(x: np.ndarray, y: np.ndarray, depth: float) -> np.ndarray:
    """The height of the diaphragm."""
    return 45 - (x / 14) ** 2 / 4 - (y / 14) ** 2 / 3 - DEPTH * depth


def _rest(x: np.ndarray, y: np.ndarray, z: np.ndarray, depth: float) -> tuple[np.ndarray, np.ndarray]:
    """Where tissue lies at exhalation: it goes down with the diaphragm, the less the lower, and to the front."""
    share = 1 / (1 + np.exp(-(z + 70) / 20))
    return y - 4 * depth * share, z + DEPTH * depth * share


def _liver(x: np.ndarray, y: np.ndarray, z: np.ndarray, depth: float) -> np.ndarray:
    """Positive inside."""
    y, z = _rest(x, y, z, depth)
    return np.minimum(
        1 - np.sqrt(((x + 45) / 68) ** 2 + (y / 62) ** 2 + ((z + 12) / 58) ** 2), (_dome(x, y, 0) - 4 - z) / 60
    )


def _lesion(x: np.ndarray, y: np.ndarray, z: np.ndarray, depth: float) -> np.ndarray:
    """Positive inside."""
    y, z = _rest(x, y, z, depth)
    return 1 - np.sqrt((x + 60) ** 2 + (y - 10) ** 2 + (z - 0) ** 2) / 14


def _tissue(x: np.ndarray, y: np.ndarray, z: np.ndarray, depth: float) -> np.ndarray:
    """Vessels and texture that move along, -1 to 1."""
    y, z = _rest(x, y, z, depth)
    return np.sin(x / 9 + np.sin(y / 17)) * np.cos(y / 11 + np.sin(z / 13)) * np.sin(z / 10 + 0.7)
