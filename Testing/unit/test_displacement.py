"""The conventions of displacement fields, held against SimpleITK, voxelmorph, numpy and nibabel."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
import voxelmorph
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.displacements import read_displacement, write_displacement
from VoxelMorphRegistrationLib.space import displacement as displacements
from VoxelMorphRegistrationLib.space.grid import Grid
from VoxelMorphRegistrationLib.space.inverse import invert


def oblique_grid(dimension: int, left_handed: bool = False) -> Grid:
    if dimension == 3:
        direction = Rotation.from_euler("xyz", [20, -15, 30], degrees=True).as_matrix()
    else:
        direction = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    if left_handed:
        direction[:, 0] *= -1
    size, spacing, origin = (23, 27, 17), (1.5, 0.8, 2.2), (10.0, -20.0, 5.0)
    return Grid(size[:dimension], spacing[:dimension], origin[:dimension], tuple(direction.ravel()))


def smooth_flow(grid: Grid, voxels: float = 2.0, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(grid.dimension, *grid.shape))
    smooth = np.stack([gaussian_filter(channel, 4) for channel in noise])
    # Fading out keeps every sampled point inside the grid, where all tools agree.
    for axis, count in enumerate(grid.shape):
        window = np.sin(np.linspace(0, np.pi, count))
        smooth *= window.reshape([-1 if a == axis else 1 for a in range(grid.dimension)])
    return (smooth / np.abs(smooth).max() * voxels).astype(np.float32)


def noise_image(grid: Grid, seed: int = 1) -> sitk.Image:
    return grid.image(gaussian_filter(np.random.default_rng(seed).normal(size=grid.shape), 1).astype(np.float32))


ORIENTATIONS = pytest.mark.parametrize("dimension, left_handed", [(2, False), (2, True), (3, False), (3, True)])


@ORIENTATIONS
def test_simpleitk_warps_with_the_field_as_voxelmorph_warps_with_the_flow(dimension, left_handed):
    grid = oblique_grid(dimension, left_handed)
    flow, image = smooth_flow(grid), noise_image(grid)
    field = displacements.from_voxel_flow(flow, grid)
    by_itk = sitk.Resample(image, displacements.to_transform(field), sitk.sitkLinear, 0.0)
    tensor = torch.from_numpy(sitk.GetArrayFromImage(image))[None, None]
    by_voxelmorph = voxelmorph.nn.functional.spatial_transform(tensor, torch.from_numpy(flow)[None])
    np.testing.assert_allclose(sitk.GetArrayFromImage(by_itk), by_voxelmorph[0, 0].numpy(), atol=2e-5)
    np.testing.assert_allclose(sitk.GetArrayFromImage(displacements.warp(image, field)), by_voxelmorph[0, 0], atol=2e-5)


@ORIENTATIONS
def test_voxel_flow_survives_the_way_to_millimetres_and_back(dimension, left_handed):
    grid = oblique_grid(dimension, left_handed)
    flow = smooth_flow(grid)
    np.testing.assert_allclose(displacements.to_voxel_flow(displacements.from_voxel_flow(flow, grid)), flow, atol=1e-5)


def test_one_voxel_along_k_is_the_spacing_along_the_third_direction():
    grid = oblique_grid(3)
    flow = np.zeros((3, *grid.shape), np.float32)
    flow[0] = 1
    vector = displacements.from_voxel_flow(flow, grid).GetPixel(3, 4, 5)
    image = grid.empty_image()
    here, there = (np.array(image.TransformIndexToPhysicalPoint(index)) for index in ((3, 4, 5), (3, 4, 6)))
    np.testing.assert_allclose(vector, there - here, atol=1e-5)


def test_making_a_transform_leaves_the_field_its_voxels():
    field = displacements.from_voxel_flow(smooth_flow(oblique_grid(3)), oblique_grid(3))
    displacements.to_transform(field)
    assert field.GetSize() == oblique_grid(3).size


@ORIENTATIONS
def test_composition_is_one_transform_after_the_other(dimension, left_handed):
    grid = oblique_grid(dimension, left_handed)
    first, second = (displacements.from_voxel_flow(smooth_flow(grid, seed=s), grid) for s in (3, 4))
    affine = sitk.AffineTransform(dimension)
    affine.Rotate(0, 1, 0.2)
    affine.Translate([1.5] * dimension)
    point = tuple(np.mean(grid.points().reshape(-1, dimension), axis=0))
    for one, two in ((first, second), (first, affine), (affine, second)):
        composed = displacements.compose(one, two)
        stages = [displacements.to_transform(p) if isinstance(p, sitk.Image) else p for p in (one, two)]
        index = composed.TransformPhysicalPointToIndex(point)
        start = composed.TransformIndexToPhysicalPoint(index)
        expected = np.subtract(stages[1].TransformPoint(stages[0].TransformPoint(start)), start)
        np.testing.assert_allclose(composed.GetPixel(index), expected, atol=2e-4)


def test_two_affines_need_to_be_told_the_grid_of_their_displacement():
    affine = sitk.AffineTransform(3)
    affine.Translate((1, 2, 3))
    with pytest.raises(ValueError, match="on which grid"):
        displacements.compose(affine, affine)
    field = displacements.compose(affine, affine, oblique_grid(3))
    np.testing.assert_allclose(field.GetPixel(0, 0, 0), (2, 4, 6), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), voxels=st.floats(0.1, 2.0), left_handed=st.booleans())
def test_the_inverse_undoes_the_field_and_the_residual_says_how_well(seed, voxels, left_handed):
    grid = oblique_grid(2, left_handed)
    field = displacements.from_voxel_flow(smooth_flow(grid, voxels, seed), grid)
    inverse, residual = invert(field)
    forward, backward = displacements.to_transform(field), displacements.to_transform(inverse)
    assert residual <= 1e-3
    for index in ((5, 5), (11, 13), (18, 20)):
        start = field.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(forward.TransformPoint(backward.TransformPoint(start)), start, atol=2e-3)


def test_a_large_rotation_inside_the_field_does_not_keep_it_from_being_inverted():
    grid = oblique_grid(3)
    affine = sitk.Euler3DTransform(
        np.mean(grid.points().reshape(-1, 3), axis=0).tolist(), 0.0, 0.0, 1.2, (5.0, -3.0, 4.0)
    )
    field = displacements.compose(displacements.from_voxel_flow(smooth_flow(grid, 1.0), grid), affine)
    inverse, residual = invert(field)
    assert residual < 1e-2
    middle = field.TransformIndexToPhysicalPoint([n // 2 for n in grid.size])
    moved = displacements.transform_points(field, np.array([middle]))
    np.testing.assert_allclose(displacements.transform_points(inverse, moved)[0], middle, atol=0.05)


@ORIENTATIONS
def test_the_jacobian_of_an_affine_is_its_determinant_on_any_grid(dimension, left_handed):
    grid = oblique_grid(dimension, left_handed)
    matrix = np.eye(dimension) + 0.2 * np.random.default_rng(0).normal(size=(dimension, dimension))
    affine = sitk.AffineTransform(dimension)
    affine.SetMatrix(matrix.ravel().tolist())
    determinant = displacements.jacobian_determinant(displacements.from_transform(affine, grid))
    inside = sitk.GetArrayFromImage(determinant)[(slice(1, -1),) * dimension]
    np.testing.assert_allclose(inside, np.linalg.det(matrix), rtol=1e-3)


def test_a_reflection_of_a_slab_is_counted_as_folded():
    grid = Grid((10, 10), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    flow = np.zeros((2, 10, 10), np.float32)
    flow[1, :, 4:7] = [3, 0, -3]
    field = displacements.from_voxel_flow(flow, grid)
    assert displacements.folded_percent(field) == pytest.approx(10.0)
    mask = grid.image(np.pad(np.ones((10, 3), np.uint8), ((0, 0), (0, 7))))
    assert displacements.folded_percent(field, mask) == 0.0


def test_a_coarser_grid_costs_a_smooth_field_less_than_a_twentieth_of_a_voxel():
    grid = Grid((48, 40, 44), (1.0, 1.2, 0.9), (3.0, -7.0, 11.0), oblique_grid(3).direction)
    coarse = Grid((25, 21, 23), (2.0, 2.4, 1.8), grid.origin, grid.direction)
    noise = np.random.default_rng(0).normal(size=(3, *grid.shape))
    flow = np.stack([gaussian_filter(channel, 8) for channel in noise])
    field = displacements.from_voxel_flow(3 * flow / np.abs(flow).max(), grid)
    there_and_back = displacements.resample(displacements.resample(field, coarse), grid)
    lost = displacements.to_voxel_flow(there_and_back) - displacements.to_voxel_flow(field)
    assert np.abs(lost).max() < 0.05


def test_beyond_a_field_its_edge_is_repeated_or_zero_as_asked():
    grid = Grid((4, 4), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    field = displacements.from_array(np.full((4, 4, 2), 5.0), grid)
    wider = Grid((8, 4), (1.0, 1.0), (0.0, 0.0), grid.direction)
    assert displacements.resample(field, wider).GetPixel(7, 0) == (5.0, 5.0)
    assert displacements.resample(field, wider, outside="zero").GetPixel(7, 0) == (0.0, 0.0)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz", ".h5"])
@ORIENTATIONS
def test_a_field_read_again_by_simpleitk_alone_is_the_same_warp(tmp_path, suffix, dimension, left_handed):
    grid = oblique_grid(dimension, left_handed)
    field, image = displacements.from_voxel_flow(smooth_flow(grid), grid), noise_image(grid)
    path = tmp_path / f"field{suffix}"
    write_displacement(field, path)
    if suffix == ".h5":
        transform = sitk.ReadTransform(str(path))
    else:
        transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    expected = sitk.Resample(image, displacements.to_transform(field), sitk.sitkLinear, 0.0)
    found = sitk.Resample(image, transform, sitk.sitkLinear, 0.0)
    np.testing.assert_allclose(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(expected), atol=1e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_displacement(path)), sitk.GetArrayFromImage(field))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_nifti_field_carries_the_vector_intent_and_ras_millimetres(tmp_path):
    grid = oblique_grid(3)
    field = displacements.from_voxel_flow(smooth_flow(grid), grid)
    write_displacement(field, tmp_path / "field.nii.gz")
    image = nibabel.load(tmp_path / "field.nii.gz")
    assert image.shape == (*grid.size, 1, 3)
    assert image.header.get_intent()[0] == "displacement vector"
    np.testing.assert_allclose(image.dataobj[4, 5, 6, 0], np.array(field.GetPixel(4, 5, 6)) * (-1, -1, 1), atol=1e-5)


def test_a_file_that_is_no_displacement_is_refused_by_name(tmp_path):
    scalar = tmp_path / "scalar.nrrd"
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkFloat32), str(scalar))
    truncated = tmp_path / "truncated.nrrd"
    truncated.write_bytes(scalar.read_bytes()[:40])
    holes = displacements.from_array(np.full((4, 4, 4, 3), np.nan), Grid.of(sitk.ReadImage(str(scalar))))
    sitk.WriteImage(holes, str(tmp_path / "nan.nrrd"))
    for path in (scalar, truncated, tmp_path / "nan.nrrd", tmp_path / "absent.nrrd", tmp_path / "field.txt"):
        with pytest.raises(InputError, match=path.name):
            read_displacement(path)


def test_a_flow_of_another_shape_is_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"\(3, 2, 2, 2\).*\(3, 17, 27, 23\)"):
        displacements.from_voxel_flow(np.zeros((3, 2, 2, 2)), oblique_grid(3))


@pytest.mark.parametrize("strength", [0.3, 0.9, 1.5, 4.0])
def test_folds_are_counted_alike_whether_or_not_the_gradient_rules_them_out(strength):
    grid = Grid((18, 16, 14), (1.0, 2.0, 1.5), (0.0, 0.0, 0.0), (0.6, 0.8, 0.0, -0.8, 0.6, 0.0, 0.0, 0.0, 1.0))
    vectors = strength * np.random.default_rng(3).uniform(-1, 1, (*grid.shape, 3))
    field = displacements.from_array(vectors, grid)
    determinant = sitk.GetArrayFromImage(displacements.jacobian_determinant(field))
    assert displacements.folded_percent(field) == pytest.approx(100 * (determinant <= 0).mean())
