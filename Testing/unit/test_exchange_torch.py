"""Sampling grids and theta make grid_sample warp as SimpleITK does."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F

from Testing.support.exchange_scenes import GEOMETRIES, inside, smooth_field, some_affine, texture, worst
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.space.displacement import to_transform

EQUAL = 1e-4


def sampled(moving: sitk.Image, grid: torch.Tensor, align_corners: bool, axes: str) -> np.ndarray:
    """(k, j, i) of grid_sample on the moving image's array in the given order."""
    array = sitk.GetArrayFromImage(moving)
    array = np.ascontiguousarray(array.T if axes == "ijk" else array)
    warped = F.grid_sample(torch.from_numpy(array)[None, None], grid, align_corners=align_corners)[0, 0].numpy()
    return warped.T if axes == "ijk" else warped


@pytest.mark.parametrize("axes", ["kji", "ijk"])
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_grid_sample_with_our_grid_warps_as_simpleitk(name, align_corners, axes):
    fixed, moving_grid = GEOMETRIES[name]
    moving, displacement = texture(moving_grid), smooth_field(fixed)
    grid = exchange.to_sampling_grid(displacement, fixed, moving, align_corners, axes)
    theirs = sitk.GetArrayFromImage(sitk.Resample(moving, fixed.empty_image(), to_transform(displacement)))
    ours = sampled(moving, grid, align_corners, axes)
    assert worst(ours, theirs, inside(displacement, moving_grid)) < EQUAL


@pytest.mark.parametrize("axes", ["kji", "ijk"])
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_affine_grid_with_our_theta_warps_as_simpleitk(name, align_corners, axes):
    fixed, moving_grid = GEOMETRIES[name]
    moving, affine = texture(moving_grid), some_affine(fixed.dimension)
    matrix = np.reshape(affine.GetMatrix(), (fixed.dimension,) * 2)
    theta = exchange.affine_to_theta(
        matrix, affine.GetTranslation(), affine.GetCenter(), fixed, moving, align_corners, axes
    )
    shape = fixed.size if axes == "ijk" else fixed.shape
    grid = F.affine_grid(theta, (1, 1, *shape), align_corners=align_corners)
    theirs = sitk.GetArrayFromImage(sitk.Resample(moving, fixed.empty_image(), affine))
    where = inside(
        exchange.affine_to_displacement(matrix, affine.GetTranslation(), affine.GetCenter(), fixed), moving_grid
    )
    assert worst(sampled(moving, grid, align_corners, axes), theirs, where) < EQUAL


def test_the_displacement_of_an_affine_is_what_simpleitk_computes_of_it():
    for fixed, _ in GEOMETRIES.values():
        affine = some_affine(fixed.dimension)
        ours = exchange.affine_to_displacement(affine.GetMatrix(), affine.GetTranslation(), affine.GetCenter(), fixed)
        theirs = sitk.TransformToDisplacementField(
            affine, sitk.sitkVectorFloat64, fixed.size, fixed.origin, fixed.spacing, fixed.direction
        )
        np.testing.assert_allclose(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs), atol=1e-4)


def test_one_slice_has_no_extent_with_align_corners():
    slice_of = sitk.Image((9, 8, 1), sitk.sitkFloat32)
    field = exchange.read(sitk.Transform(3, sitk.sitkIdentity), reference=slice_of)
    with pytest.raises(InputError, match="align_corners=False"):
        exchange.to_sampling_grid(field, slice_of, slice_of, True)
    grid = exchange.to_sampling_grid(field, slice_of, slice_of, False)
    np.testing.assert_allclose(grid[0, 0, :, 0, 1], (2 * np.arange(8) + 1) / 8 - 1, atol=1e-6)


def test_a_composite_transform_can_go_straight_into_a_sampling_grid():
    fixed, moving_grid = GEOMETRIES["oblique anisotropic"]
    chain = sitk.CompositeTransform([some_affine(3), sitk.TranslationTransform(3, (1.0, 2.0, -3.0))])
    moving = texture(moving_grid)
    grid = exchange.to_sampling_grid(chain, fixed, moving, False)
    theirs = sitk.GetArrayFromImage(sitk.Resample(moving, fixed.empty_image(), chain))
    where = inside(exchange.read(chain, reference=fixed), moving_grid)
    assert worst(sampled(moving, grid, False, "kji"), theirs, where) < EQUAL
