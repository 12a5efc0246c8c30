"""A pair through the whole way: acceptance of every transform handed out, held against SimpleITK and voxelmorph."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from Testing.support.registration_cases import (
    GEOMETRIES,
    picture_on,
    random_model,
    read_image,
    smooth_model,
    well_inside,
)
from VoxelMorphRegistrationLib.files.displacements import read_displacement, write_displacement
from VoxelMorphRegistrationLib.registration.registrar import Registrar, register
from VoxelMorphRegistrationLib.registration.settings import Settings
from VoxelMorphRegistrationLib.space.grid import Grid


@pytest.mark.parametrize("align", ["none", "affine"])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_the_moving_image_the_network_saw_warps_through_our_file_as_the_network_warped_it(tmp_path, case, align):
    fixed_grid, moving_grid = GEOMETRIES[case]
    fixed, moving = picture_on(fixed_grid), picture_on(moving_grid, (2.0, -1.0, 1.5))
    result = register(fixed, moving, random_model(fixed_grid.dimension), align=align, dump_network_inputs=tmp_path)
    write_displacement(result.displacement, tmp_path / "t.nrrd")
    seen, warped = read_image(tmp_path, "moving.nrrd"), read_image(tmp_path, "warped.nrrd")
    grid = Grid.of(seen)
    total = sitk.DisplacementFieldTransform(sitk.Cast(read_image(tmp_path, "t.nrrd"), sitk.sitkVectorFloat64))
    through = sitk.Transform(total)
    if align != "none":
        back = sitk.ReadTransform(str(tmp_path / "alignment.tfm")).GetInverse()
        through = sitk.CompositeTransform([back, total])
    ours = sitk.Resample(seen, seen, through, sitk.sitkLinear, 0.0)
    # An ITK field is the identity outside its own grid, the fixed image's, and every tool has its own way at borders.
    points = grid.points()
    moved = points + sitk.GetArrayFromImage(read_image(tmp_path, "displacement.nrrd"))
    compared = well_inside(fixed_grid, points, 0.0) & well_inside(grid, moved, 1.0)
    difference = np.abs(sitk.GetArrayFromImage(ours) - sitk.GetArrayFromImage(warped))[compared]
    assert compared.mean() > 0.1
    assert np.abs(sitk.GetArrayFromImage(read_image(tmp_path, "displacement.nrrd"))).max() > 1.0
    assert difference.max() < 1e-4


def test_the_network_s_own_class_warps_the_dumped_moving_image_the_same(tmp_path):
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    model = random_model()
    register(
        picture_on(fixed_grid), picture_on(moving_grid, (2, -1, 1)), model, align="none", dump_network_inputs=tmp_path
    )
    fixed, moving, warped = (
        torch.from_numpy(sitk.GetArrayFromImage(read_image(tmp_path, f"{name}.nrrd")))[None, None]
        for name in ("fixed", "moving", "warped")
    )
    with torch.no_grad():
        own = model.network.module(moving, fixed, return_warped_source=True)
    own = own[1] if isinstance(own, (tuple, list)) and own[1].shape == warped.shape else own[0]
    assert torch.abs(own - warped).max() < 1e-4


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha", ".h5"])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_every_kind_of_file_warps_the_original_images_alike(tmp_path, case, suffix):
    fixed_grid, moving_grid = GEOMETRIES[case]
    fixed, moving = picture_on(fixed_grid), picture_on(moving_grid, (2.0, -1.0, 1.5))
    result = register(fixed, moving, random_model(fixed_grid.dimension), align="none")
    path = tmp_path / f"t{suffix}"
    write_displacement(result.displacement, path)
    if suffix == ".h5":
        transform = sitk.ReadTransform(str(path))
    else:
        field = sitk.ReadImage(str(path))
        transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    assert Grid.of(read_displacement(path)).same_as(fixed_grid)
    outside = float(sitk.GetArrayFromImage(moving).min())
    resampled = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, outside)
    difference = np.abs(sitk.GetArrayFromImage(resampled) - sitk.GetArrayFromImage(result.warped))
    # Half-way positions on the moving image's rim may fall either way in single precision.
    assert np.quantile(difference, 0.999) < 1e-4 * 1000


@pytest.mark.parametrize("spacing", [1.0, 1.6, 2.0])
def test_a_change_of_grid_spacing_costs_at_most_a_twentieth_of_a_voxel(spacing):
    fixed_grid, moving_grid = GEOMETRIES["oblique, anisotropic, not multiples of 16"]
    model = smooth_model(wave=50.0 / spacing)
    registrar = Registrar(model, Settings(align="none", network_spacing=spacing))
    result = registrar.register(picture_on(fixed_grid), picture_on(moving_grid))
    network = result.network_grid
    exact = model.network.flow(torch.zeros(1, 1, *network.shape), None).field[0].numpy()
    points, vectors = network.points(), np.moveaxis(exact[::-1], 0, -1) @ network.axes.T
    inside = well_inside(fixed_grid, points, 0.0)
    transform = result.transform()
    ours = np.asarray([transform.TransformPoint(p) for p in points[inside].tolist()]) - points[inside]
    in_voxels = (ours - vectors[inside]) / spacing
    assert np.abs(vectors).max() > 1.5
    assert np.linalg.norm(in_voxels, axis=-1).max() < 0.05


@pytest.mark.parametrize("align", ["none", "rigid"])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_the_displacement_lies_on_exactly_the_fixed_grid_and_the_inverse_on_the_moving_one(case, align):
    fixed_grid, moving_grid = GEOMETRIES[case]
    fixed, moving = picture_on(fixed_grid), picture_on(moving_grid, (2.0, -1.0, 1.5))
    result = register(fixed, moving, random_model(fixed_grid.dimension, reach=1.0), align=align)
    assert Grid.of(result.displacement) == Grid.of(fixed)
    assert Grid.of(result.warped) == Grid.of(fixed)
    assert Grid.of(result.inverse_displacement) == Grid.of(moving)
    assert result.displacement.GetPixelID() == sitk.sitkVectorFloat32
    assert result.inverse_residual is None


@pytest.mark.parametrize("kind", ["velocity", "displacement"])
def test_forward_and_inverse_undo_each_other_with_the_alignment_in_them(kind):
    fixed_grid, moving_grid = GEOMETRIES["different grids"]
    initial = sitk.AffineTransform(3)
    initial.SetMatrix((1.05, 0.06, 0.0, -0.05, 0.97, 0.03, 0.02, 0.0, 1.0))
    initial.SetTranslation((1.0, 2.0, -1.0))
    settings = Settings(align="none", initial_transform=initial)
    model = smooth_model(voxels=1.0, wave=40.0, kind=kind)
    result = Registrar(model, settings).register(picture_on(fixed_grid), picture_on(moving_grid))
    assert (result.inverse_residual is None) == (kind == "velocity")
    forward = result.transform()
    backward = sitk.DisplacementFieldTransform(sitk.Cast(result.inverse_displacement, sitk.sitkVectorFloat64))
    points = fixed_grid.points().reshape(-1, 3)[::7]
    there = np.asarray([forward.TransformPoint(p) for p in points.tolist()])
    well_inside = moving_grid.contains(there, -1.0) & fixed_grid.contains(points, -4.0)
    back = np.asarray([backward.TransformPoint(p) for p in there[well_inside].tolist()])
    assert well_inside.sum() > 100
    assert np.linalg.norm(back - points[well_inside], axis=1).max() < 0.1


def test_a_model_of_several_passes_is_the_composition_of_them():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    fixed, moving = picture_on(fixed_grid), picture_on(moving_grid, (2.0, -1.0, 1.5))
    twice = smooth_model(voxels=1.0, kind="velocity")
    twice.card.architecture["passes"] = 2
    result = register(fixed, moving, twice, align="none")
    once = register(fixed, moving, smooth_model(voxels=1.0, kind="velocity"), align="none").transform()
    composed = sitk.TransformToDisplacementField(
        sitk.CompositeTransform([once, sitk.Transform(once)]), sitk.sitkVectorFloat64,
        fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection(),
    )  # fmt: skip
    middle = (slice(4, -4),) * 3
    difference = sitk.GetArrayFromImage(composed) - sitk.GetArrayFromImage(result.displacement)
    assert np.abs(difference[middle]).max() < 0.02
    points = fixed_grid.points()[8:-8:3, 8:-8:3, 8:-8:3].reshape(-1, 3)
    backward = sitk.DisplacementFieldTransform(sitk.Cast(result.inverse_displacement, sitk.sitkVectorFloat64))
    there = [result.transform().TransformPoint(p) for p in points.tolist()]
    back = np.asarray([backward.TransformPoint(p) for p in there])
    assert np.linalg.norm(back - points, axis=1).max() < 0.1


def test_storage_order_of_either_image_changes_nothing():
    fixed_grid, moving_grid = GEOMETRIES["different grids"]
    fixed, moving = picture_on(fixed_grid), picture_on(moving_grid, (2.0, -1.0, 1.5))
    registrar = Registrar(random_model(tensor_axes="LIA"), Settings(align="rigid"))
    first = registrar.register(fixed, moving)
    stored = sitk.Flip(sitk.PermuteAxes(fixed, [2, 0, 1]), [True, False, True])
    other = sitk.Flip(sitk.PermuteAxes(moving, [1, 2, 0]), [False, True, True])
    second = registrar.register(stored, other)
    back = sitk.Resample(second.warped, first.warped, sitk.Transform(), sitk.sitkLinear)
    assert first.network_grid.same_as(second.network_grid)
    assert np.abs(sitk.GetArrayFromImage(back) - sitk.GetArrayFromImage(first.warped)).max() < 1.0  # of 1000


def test_an_initial_transform_that_is_not_linear_is_contained_in_the_result():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    fixed, moving = picture_on(fixed_grid), picture_on(moving_grid)
    bend = sitk.BSplineTransformInitializer(fixed, [3, 3, 3])
    bend.SetParameters(np.random.default_rng(0).normal(0, 1.5, len(bend.GetParameters())).tolist())
    result = register(fixed, moving, smooth_model(voxels=0.0), align="none", initial_transform=bend)
    points = fixed_grid.points()[4:-4:5, 4:-4:5, 4:-4:5].reshape(-1, 3)
    ours = np.asarray([result.transform().TransformPoint(p) for p in points.tolist()])
    exact = np.asarray([bend.TransformPoint(p) for p in points.tolist()])
    assert np.abs(exact - points).max() > 0.5
    assert np.abs(ours - exact).max() < 1e-3
    assert result.inverse_residual is not None
