"""Points carried against a displacement, held against ITK's own transform of them."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.space.displacement import from_array, from_transform, to_transform
from VoxelMorphRegistrationLib.space.grid import Grid
from VoxelMorphRegistrationLib.space.inverse import invert_at

GRID = Grid((30, 28, 26), (2.0, 1.5, 2.5), (-20.0, 5.0, 40.0), (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))


def inside(count: int = 300) -> np.ndarray:
    index = np.random.default_rng(0).uniform(8, 18, (count, 3))
    return index @ GRID.axes.T + np.asarray(GRID.origin)


def test_itk_brings_the_points_found_to_the_points_asked_for():
    points = GRID.points() * 0.15
    waves = np.stack([np.sin(points[..., 1]), np.cos(points[..., 2]), np.sin(points[..., 0])], -1) * 2.5
    field = from_array(waves, GRID)
    found, residual = invert_at(field, inside())
    transform = to_transform(field)
    assert np.allclose([transform.TransformPoint(p.tolist()) for p in found], inside(), atol=2e-3)
    assert residual.max() <= 1e-3


@pytest.mark.parametrize("degrees", [20, 45, 60])
def test_rotations_up_to_sixty_degrees_are_undone(degrees):
    middle = np.asarray(GRID.extent_corners().mean(0))
    turn = sitk.Euler3DTransform(middle.tolist(), 0.0, 0.0, np.deg2rad(degrees), (1.0, 2.0, -1.0))
    points = middle + np.random.default_rng(1).uniform(-6, 6, (50, 3))
    found, residual = invert_at(from_transform(turn, GRID), points, iterations=400)
    expected = [turn.GetInverse().TransformPoint(p.tolist()) for p in points]
    assert np.allclose(found, expected, atol=0.02)


def test_where_a_field_folds_the_residual_or_the_way_back_tells():
    points = GRID.points()
    fold = np.zeros_like(points)
    fold[..., 2] = (
        -1.8 * (points[..., 2] - points[..., 2].mean()) * (np.abs(points[..., 2] - points[..., 2].mean()) < 8)
    )
    _, residual = invert_at(from_array(fold, GRID), inside())
    assert residual.max() > 0.1


def test_no_points_are_no_points():
    found, residual = invert_at(GRID.empty_image(sitk.sitkVectorFloat32, 3), np.zeros((0, 3)))
    assert found.shape == (0, 3) and residual.shape == (0,)
