"""Images on tilted grids, and what a network sees of them."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from VoxelMorphRegistrationLib.network_space.grid import network_grid
from VoxelMorphRegistrationLib.network_space.inputs import on_network_grid
from VoxelMorphRegistrationLib.network_space.intensity import AsIs
from VoxelMorphRegistrationLib.space.grid import Grid

NONE = AsIs()
TILT = Rotation.from_euler("xyz", [20, -15, 30], degrees=True).as_matrix()


def textured(size=(23, 27, 17), spacing=(1.5, 0.8, 2.2), direction=TILT, seed=0, smooth=2.0):
    dimension = len(size)
    array = gaussian_filter(np.random.default_rng(seed).normal(size=size[::-1]), smooth) * 1000
    grid = Grid(tuple(size), tuple(spacing), (10.0, -20.0, 5.0)[:dimension], tuple(np.asarray(direction).ravel()))
    return grid.image(array.astype(np.float32))


def array_of(image):
    return sitk.GetArrayFromImage(image)


def as_seen(image, space, intensity=NONE):
    return on_network_grid(image, network_grid(image, space).grid, None, intensity)[0, 0].numpy()


def ball_in_noise(size, centre, radius=4.0):
    """Noise of 5 with a ball of 100: an image whose foreground is known."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in size[::-1]], indexing="ij"), -1)
    array = np.random.default_rng(0).uniform(0, 5, size[::-1])
    array[np.linalg.norm(index - np.asarray(centre[::-1]), axis=-1) <= radius] += 100
    return sitk.GetImageFromArray(array.astype(np.float32))
