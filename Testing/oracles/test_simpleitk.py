"""SimpleITK's registrations: demons fields and composite transforms warp the same through our files."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.exchange_scenes import GEOMETRIES, inside, some_affine, texture, worst
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.space.displacement import warp
from VoxelMorphRegistrationLib.space.grid import Grid


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_demons_field_as_simpleitk_writes_it_warps_as_its_own_transform(name, suffix, tmp_path):
    fixed_grid, moving_grid = GEOMETRIES[name]
    fixed, moving = texture(fixed_grid), texture(moving_grid, shift=2.0)
    demons = sitk.DemonsRegistrationFilter()
    demons.SetNumberOfIterations(20)
    demons.SetStandardDeviations(1.5)
    field = demons.Execute(fixed, sitk.Resample(moving, fixed))
    sitk.WriteImage(field, str(tmp_path / f"demons{suffix}"))
    displacement = exchange.read(tmp_path / f"demons{suffix}", reference=fixed)
    theirs = sitk.Resample(moving, fixed, sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64)))
    where = inside(displacement, moving_grid)
    assert worst(sitk.GetArrayFromImage(warp(moving, displacement)), sitk.GetArrayFromImage(theirs), where) < 1e-4
    straight = exchange.read(field, reference=fixed)
    np.testing.assert_allclose(sitk.GetArrayFromImage(straight), sitk.GetArrayFromImage(displacement), atol=1e-5)


@pytest.mark.parametrize("suffix", [".h5", ".tfm"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_composite_of_bspline_and_affine_warps_as_itself(name, suffix, tmp_path):
    fixed_grid, moving_grid = GEOMETRIES[name]
    moving, dimension = texture(moving_grid), fixed_grid.dimension
    bspline = sitk.BSplineTransformInitializer(fixed_grid.empty_image(), [4] * dimension)
    count = len(bspline.GetParameters())
    bspline.SetParameters(np.random.default_rng(2).normal(0, 3, count).tolist())
    composite = sitk.CompositeTransform([some_affine(dimension), bspline])
    sitk.WriteTransform(composite, str(tmp_path / f"composite{suffix}"))
    displacement = exchange.read(tmp_path / f"composite{suffix}", reference=fixed_grid)
    theirs = sitk.GetArrayFromImage(sitk.Resample(moving, fixed_grid.empty_image(), composite))
    where = inside(displacement, Grid.of(moving))
    assert worst(sitk.GetArrayFromImage(warp(moving, displacement)), theirs, where) < 1e-4
