"""The same array is registered alike whatever its voxels measure: a cell, a mouse, a head."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from VoxelMorphRegistrationLib import Registrar, Settings
from VoxelMorphRegistrationLib.network_space.grid import network_grid
from VoxelMorphRegistrationLib.network_space.space import BY_SIZE, Space

SHAPE = (40, 48, 44)


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fixed, moving, and the displacement in voxels, (*shape, 3) in x, y, z: made by SimpleITK."""
    rng = np.random.default_rng(1)
    moving = gaussian_filter(rng.normal(size=SHAPE), 2.0)
    moving = (moving / moving.std() * 100 + 500).astype(np.float32)
    truth = np.stack([gaussian_filter(rng.normal(size=SHAPE), 8.0) for _ in range(3)], -1)
    truth *= 2.5 / np.linalg.norm(truth, axis=-1).max()
    transform = sitk.DisplacementFieldTransform(sitk.GetImageFromArray(truth.astype(np.float64), isVector=True))
    warped = sitk.Resample(sitk.GetImageFromArray(moving), transform, sitk.sitkBSpline, 500.0)
    return sitk.GetArrayFromImage(warped), moving, truth


def _in_voxels(arrays, spacing: float, **settings) -> np.ndarray:
    images = [sitk.GetImageFromArray(array) for array in arrays[:2]]
    for image in images:
        image.SetSpacing([spacing] * 3)
        image.SetOrigin([-7.0 * spacing, 3.0 * spacing, 11.0 * spacing])
    found = Registrar("any-anatomy-fast", Settings(align="none", **settings)).register(*images)
    return sitk.GetArrayFromImage(found.displacement) / spacing


@pytest.mark.parametrize("settings", [{}, {"refine": 20}], ids=["network", "refined"])
def test_the_field_in_voxels_does_not_depend_on_the_voxels_size(arrays, settings):
    at_one = _in_voxels(arrays, 1.0, **settings)
    inner = np.s_[6:-6, 6:-6, 6:-6]
    error = np.linalg.norm(at_one - arrays[2], axis=-1)[inner].mean()
    assert error < 0.3 * np.linalg.norm(arrays[2], axis=-1)[inner].mean()
    for spacing, allowed in ((0.5, 1e-3), (2.0, 1e-3), (0.001, 0.02), (0.1, 0.02), (10.0, 0.02)):
        assert np.abs(_in_voxels(arrays, spacing, **settings) - at_one).max() < allowed, spacing


@pytest.mark.parametrize(
    ("size", "spacing", "taken"),
    [
        ((182, 218, 182), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)),
        ((166, 195, 25), (1.37, 1.37, 4.0), (2.74, 2.74, 2.0)),
        ((216, 256, 8), (1.56, 1.56, 10.0), (3.12, 3.12, 2.5)),
        ((34, 52, 35), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
        ((117, 91, 20), (3.0, 3.0, 3.0), (1.5, 1.5, 1.5)),
        ((122, 101, 112), (3.0, 3.0, 3.0), (3.0, 3.0, 3.0)),
    ],
    ids=["head", "liver", "heart", "hippocampus", "slab", "abdomen"],
)
@pytest.mark.parametrize("unit", [1.0, 0.001])
def test_the_spacing_follows_from_the_size_in_voxels(size, spacing, taken, unit):
    image = sitk.Image(size, sitk.sitkUInt8)
    image.SetSpacing([unit * mm for mm in spacing])
    grid = network_grid(image, Space("native", BY_SIZE, multiple=8)).grid
    np.testing.assert_allclose(grid.spacing, np.asarray(taken) * unit, rtol=1e-6)
