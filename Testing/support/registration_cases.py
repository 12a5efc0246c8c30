"""Grids of every kind, one smooth anatomy seen on any of them, and networks that need no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.models.loading import Model
from VoxelMorphRegistrationLib.network_space.space import Space
from VoxelMorphRegistrationLib.networks import Flow, build_network
from VoxelMorphRegistrationLib.space.grid import Grid

TURNED = tuple(Rotation.from_euler("xyz", [17, -11, 25], degrees=True).as_matrix().ravel())
MIRRORED = tuple((Rotation.from_euler("xyz", [17, -11, 25], degrees=True).as_matrix() * [1, 1, -1]).ravel())
STRAIGHT = tuple(np.eye(3).ravel())
FLAT = tuple(np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]).ravel())


def centred_grid(size, spacing, direction, centre=(5.0, -12.0, 30.0)):
    dimension = len(size)
    axes = np.reshape(direction, (dimension, dimension)) * spacing
    origin = np.asarray(centre[:dimension]) - axes @ ((np.asarray(size) - 1) / 2)
    return Grid(tuple(size), tuple(spacing), tuple(origin), tuple(direction))


GEOMETRIES = {
    "straight": (
        centred_grid((48, 32, 32), (1.0, 1.0, 1.0), STRAIGHT),
        centred_grid((48, 32, 32), (1.0, 1.0, 1.0), STRAIGHT),
    ),
    "oblique, anisotropic, not multiples of 16": (
        centred_grid((37, 41, 21), (1.2, 0.9, 2.4), TURNED),
        centred_grid((37, 41, 21), (1.2, 0.9, 2.4), TURNED),
    ),
    "left-handed": (
        centred_grid((33, 30, 27), (1.5, 1.5, 1.7), MIRRORED),
        centred_grid((33, 30, 27), (1.5, 1.5, 1.7), MIRRORED),
    ),
    "different grids": (
        centred_grid((37, 41, 21), (1.2, 0.9, 2.4), TURNED),
        centred_grid((44, 30, 39), (1.3, 1.9, 1.4), STRAIGHT, (6.0, -11.0, 31.0)),
    ),
    "two dimensions": (
        centred_grid((50, 43), (1.1, 1.6), FLAT),
        centred_grid((61, 47), (1.0, 1.5), (1.0, 0.0, 0.0, -1.0)),
    ),
}


def picture_on(grid, shift=(0.0, 0.0, 0.0), pixel=sitk.sitkFloat32):
    """A smooth picture in space, so that the same anatomy can be seen on any grid; values 0..1000."""
    points = (grid.points() - shift[: grid.dimension]) @ np.full((grid.dimension, grid.dimension), 0.03)
    points = points + (grid.points() - shift[: grid.dimension]) * 0.17
    value = np.prod(np.sin(points), axis=-1) + 0.5 * np.cos(points.sum(-1) * 1.3)
    distance = np.linalg.norm(grid.points() - np.asarray((5.0, -12.0, 30.0))[: grid.dimension], axis=-1)
    array = (value + 2.0) * 250.0 / (1.0 + np.exp((distance - 18.0) / 2.0))
    return sitk.Cast(grid.image(array.astype(np.float32)), pixel)


def random_model(dimension=3, reach=3.0, **space):
    """A VxmPairwise of random weights whose last layer is scaled until it moves voxels by about `reach`."""
    torch.manual_seed(3)
    architecture = {"class": "VxmPairwise", "ndim": dimension, "features": [8, 8, 8], "integration_steps": 5}
    network = build_network(architecture)
    shape = (32,) * dimension
    axes = torch.meshgrid(*[torch.linspace(0, 6, n) for n in shape], indexing="ij")
    picture = torch.stack([torch.sin(axis) for axis in axes]).prod(0)[None, None] * 0.5 + 0.5
    with torch.no_grad():
        largest = network.flow(picture, picture.flip(2)).field.abs().max()
        for name, parameter in network.module.named_parameters():
            if name.startswith("flow_layer") and name.endswith("weight"):
                parameter *= reach / largest
    card = Card("random", architecture, space=Space(**{"tensor_axes": "SPL"[3 - dimension :], "multiple": 8, **space}))
    return Model(card, network, "0" * 64, Path("random.pt"))


class SmoothNetwork(torch.nn.Module):
    """A known smooth displacement, whatever the images: what a trained network gives, without one."""

    dimension, multiple = 3, 1

    def __init__(self, voxels=2.0, wave=26.0, kind="displacement"):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.voxels, self.wave, self.kind = voxels, wave, kind

    def flow(self, fixed, moving, repeating=True):
        axes = torch.meshgrid(*[torch.arange(n) * (2 * np.pi / self.wave) for n in fixed.shape[2:]], indexing="ij")
        field = torch.stack([torch.sin(axes[1] + 1), torch.cos(axes[2]), torch.sin(axes[0])])[None] * self.voxels
        return Flow(field.float(), self.kind, 1, "border", 7)


def smooth_model(**options):
    return Model(
        Card("smooth", {"class": "none"}, space=Space("LIA", multiple=1)), SmoothNetwork(**options), "", Path("none")
    )


def read_image(folder, name):
    return sitk.ReadImage(str(folder / name))


def well_inside(grid, points, margin):
    flat = np.asarray(points).reshape(-1, grid.dimension)
    return grid.contains(flat, -margin).reshape(points.shape[:-1])
