"""A sequence whose motion is known, and a network that sees it: a textured ball that is shifted from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.models.loading import Model
from VoxelMorphRegistrationLib.network_space.space import Space
from VoxelMorphRegistrationLib.networks import Flow, build_network
from VoxelMorphRegistrationLib.space.grid import Grid
from VoxelMorphRegistrationLib.training.saving import write_model

GRID = Grid((28, 26, 24), (2.0, 2.0, 2.5), (-30.0, 10.0, 5.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
CENTRE = np.array([-4.0, 34.0, 32.0])


def shift_of(index: float) -> np.ndarray:
    """How far the ball of frame `index` lies from frame 0's, LPS mm."""
    return np.array([0.9, -0.57, 0.8]) * index


def frame(index: float, grid: Grid = GRID) -> sitk.Image:
    points = grid.points() - CENTRE - shift_of(index)
    distance = np.linalg.norm(points, axis=-1)
    texture = 1 + 0.2 * np.sin(points @ np.array([0.4, 0.3, 0.2]))
    return grid.image((800 * texture / (1 + np.exp((distance - 11) / 1.5))).astype(np.float32))


def labels(index: float, grid: Grid = GRID) -> sitk.Image:
    """1: the ball's half towards smaller x; 2: the other."""
    points = grid.points() - CENTRE - shift_of(index)
    ball = np.linalg.norm(points, axis=-1) < 11
    return grid.image(np.where(ball, np.where(points[..., 0] < 0.7, 1, 2), 0).astype(np.uint8))


class CentroidNetwork(torch.nn.Module):
    """Gives the constant flow that lays the centre of mass of one image on the other's: exact for this sequence."""

    dimension, multiple, kind, padding, squarings = 3, 1, "velocity", "border", 5

    def __init__(self) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.calls = 0

    def flow(self, fixed: torch.Tensor, moving: torch.Tensor, repeating: bool = True) -> Flow:
        self.calls += 1
        apart = _centre(moving) - _centre(fixed)
        field = apart.view(1, 3, 1, 1, 1).expand(1, 3, *fixed.shape[2:]).contiguous()
        return Flow(field, "velocity", 1, "border", self.squarings)

    def rough_flow(self, fixed: torch.Tensor, moving: torch.Tensor) -> Flow:
        return self.flow(fixed, moving)

    def finished(self, fixed, moving, rough: Flow, repeating: bool = True, detailed=None) -> Flow:
        return rough


def _centre(image: torch.Tensor) -> torch.Tensor:
    weight = image[0, 0].double()
    weight = weight * (weight > 0.02)
    parts = []
    for axis, n in enumerate(weight.shape):
        along = weight.sum([a for a in range(3) if a != axis])
        parts.append((along * torch.arange(n)).sum() / along.sum())
    return torch.stack(parts).float()


def centroid_model(contrast: str = "same") -> Model:
    card = Card("centroid", {"class": "VxmPairwise"}, space=Space(multiple=1), contrast=contrast)
    return Model(card, CentroidNetwork(), "0" * 64, Path("none.pt"))


def weights_file(folder: Path) -> Path:
    """A small network of fixed random weights with its card, moving voxels by a voxel or so."""
    torch.manual_seed(1)
    architecture = {"class": "VxmPairwise", "ndim": 3, "features": [4, 4], "integration_steps": 5}
    network = build_network(architecture)
    with torch.no_grad():
        for name, parameter in network.module.named_parameters():
            if name.startswith("flow_layer"):
                parameter.normal_(0, 0.25)
    path = folder / "tiny.pt"
    write_model(network, Card("tiny", architecture), path)
    return path


def breathing(index: int) -> float:
    """How far frame `index` of any number of frames has moved: a few voxels to and fro, no two frames alike."""
    return 3 * math.sin(math.pi * index / 7) ** 2 + 0.01 * (index % 100)


def write_sequence(
    folder: Path, count: int, segmented: int = 0, moved: Callable[[int], float] = float
) -> tuple[Path, Path]:
    """Frames as files of a folder, and the segmentation of one of them; each is moved by so many frames."""
    frames = folder / "frames"
    frames.mkdir(parents=True)
    for index in range(count):
        sitk.WriteImage(frame(moved(index)), str(frames / f"frame{index}.nrrd"))
    segmentation = folder / f"segmentation{segmented}.nrrd"
    sitk.WriteImage(labels(moved(segmented)), str(segmentation))
    return frames, segmentation
