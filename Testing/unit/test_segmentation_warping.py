"""Segmentations through displacements. The oracles are SimpleITK and shapes known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from Testing.support.segmentation_cases import array, balls, grid_of, layered, smooth_field
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.files.segmentations import read_segmentation
from VoxelMorphRegistrationLib.space.displacement import from_array
from VoxelMorphRegistrationLib.space.grid import Grid


@pytest.mark.parametrize("interpolation", ["nearest", "smooth"])
def test_no_displacement_changes_no_voxel(interpolation):
    segmentation = layered(grid_of())
    still = from_array(np.zeros((*grid_of().shape, 3)), grid_of())
    warped = segmentation.warp(still, interpolation)
    for layer in range(2):
        np.testing.assert_array_equal(array(warped, layer), array(segmentation, layer))
        assert warped.layers[layer].GetPixelID() == segmentation.layers[layer].GetPixelID()


def test_nearest_equals_simpleitk():
    field = smooth_field(grid_of())
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    expected = sitk.Resample(
        balls(grid_of()), grid_of().empty_image(), transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8
    )
    np.testing.assert_array_equal(
        array(Segmentation.of(balls(grid_of())).warp(field)), sitk.GetArrayFromImage(expected)
    )


@pytest.mark.parametrize("interpolation", ["nearest", "smooth"])
@pytest.mark.parametrize("shift", [(3, 0, 0), (0, -2, 1), (-25, 0, 0)])
def test_a_shift_by_whole_voxels_shifts_the_labels_and_brings_in_nothing(interpolation, shift):
    grid = grid_of()
    field = from_array(np.broadcast_to(np.asarray(grid.axes) @ shift, (*grid.shape, 3)), grid)
    labels = sitk.GetArrayFromImage(balls(grid))
    expected = np.zeros_like(labels)
    for index in np.argwhere(labels):
        target = index - np.asarray(shift)[::-1]
        if np.all(target >= 0) and np.all(target < labels.shape):
            expected[tuple(target)] = labels[tuple(index)]
    warped = Segmentation.of(balls(grid)).warp(field, interpolation)
    np.testing.assert_array_equal(array(warped), expected)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), amplitude=st.floats(0.1, 8.0), offset=st.floats(-1.0, 1.0))
def test_smooth_takes_a_label_from_the_voxels_around_the_point_and_agrees_with_nearest_inside(seed, amplitude, offset):
    fixed = grid_of((15, 14, 13), (1.1, 1.4, 2.2), (-4.0 + offset, 8.0, 8.5))
    field = smooth_field(fixed, amplitude, seed)
    moving = balls(grid_of())
    warped = array(Segmentation.of(moving).warp(field, "smooth"))
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    shares = {}
    for value in (0, 2, 7):
        share = sitk.Resample(
            moving == value, fixed.empty_image(), transform, sitk.sitkLinear, float(value == 0), sitk.sitkFloat32
        )
        shares[value] = sitk.GetArrayFromImage(share)
    assert set(np.unique(warped)) <= set(shares)
    matrix = grid_of().physical_to_index()
    index = (fixed.points() + sitk.GetArrayFromImage(field)) @ matrix[:3, :3].T + matrix[:3, 3]
    inside = np.all((index >= 0) & (index <= np.asarray(grid_of().size) - 1), axis=-1)
    for value, share in shares.items():
        assert np.all(share[inside & (warped == value)] > 0)
        assert np.all(warped[inside & (share > 0.999)] == value)


def test_smooth_is_closer_to_the_true_shape_than_nearest():
    grid = Grid((48, 48, 24), (1.0, 1.0, 2.0), (0.0,) * 3, tuple(np.eye(3).ravel()))

    def shapes(points):
        labels = np.zeros(points.shape[:-1], np.uint8)
        labels[np.linalg.norm((points - (20, 24, 24)) / (13, 15, 17), axis=-1) < 1] = 1
        labels[np.linalg.norm((points - (37, 24, 24)) / (7, 11, 12), axis=-1) < 1] = 2
        return labels

    def dice(found, true, label):
        return 2 * np.sum((found == label) & (true == label)) / (np.sum(found == label) + np.sum(true == label))

    segmentation = Segmentation.of(grid.image(shapes(grid.points())))
    field = smooth_field(grid, 4.0)
    truth = shapes(grid.points() + sitk.GetArrayFromImage(field))
    for label in (1, 2):
        nearest = dice(array(segmentation.warp(field)), truth, label)
        smooth = dice(array(segmentation.warp(field, "smooth")), truth, label)
        assert (1 - smooth) < 0.75 * (1 - nearest)


def test_smooth_keeps_a_sheet_of_one_voxel_whole():
    grid = Grid((24, 24, 24), (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    labels = np.zeros(grid.shape, np.uint8)
    labels[:, :, 12] = 3
    field = from_array(np.broadcast_to((0.3, 0.0, 0.0), (*grid.shape, 3)), grid)
    np.testing.assert_array_equal(array(Segmentation.of(grid.image(labels)).warp(field, "smooth")), labels)


def test_overlapping_segments_are_smoothed_layer_by_layer():
    segmentation = layered(grid_of())
    field = smooth_field(grid_of())
    warped = segmentation.warp(field, "smooth")
    for layer in range(2):
        alone = Segmentation.of(segmentation.layers[layer]).warp(field, "smooth")
        np.testing.assert_array_equal(array(warped, layer), array(alone))
    assert warped.overlapping


def test_distances_that_do_not_fit_the_memory_give_the_same_labels():
    from VoxelMorphRegistrationLib.annotations.label_warping import SmoothWarper

    field = smooth_field(grid_of())
    generous, poor = SmoothWarper(balls(grid_of())), SmoothWarper(balls(grid_of()), memory=0)
    for _ in range(2):
        assert np.all(sitk.GetArrayFromImage(generous.warp(field)) == sitk.GetArrayFromImage(poor.warp(field)))


@pytest.mark.parametrize("interpolation", ["nearest", "smooth"])
def test_flat_label_images_are_warped_too(interpolation):
    grid = Grid((20, 16), (1.0, 2.0), (3.0, 4.0), (0.0, -1.0, 1.0, 0.0))
    labels = np.zeros(grid.shape, np.uint8)
    labels[5:9, 6:12] = 4
    shift = from_array(np.broadcast_to(np.asarray(grid.axes) @ (2, 1), (*grid.shape, 2)), grid)
    warped = Segmentation.of(grid.image(labels)).warp(shift, interpolation)
    np.testing.assert_array_equal(array(warped), np.roll(labels, (-1, -2), (0, 1)))


def test_negative_and_large_label_values_are_kept():
    labels = np.zeros(grid_of().shape, np.int32)
    labels[2:5, 2:6, 2:6], labels[8:12, 6:9, 6:9] = -3, 100000
    segmentation = Segmentation.of(grid_of().image(labels))
    still = from_array(np.zeros((*labels.shape, 3)), grid_of())
    assert segmentation.labels() == (-3, 100000)
    np.testing.assert_array_equal(array(segmentation.warp(still, "smooth")), labels)


def test_names_colours_and_terminology_survive_a_warp():
    segmentation = layered(grid_of())
    assert segmentation.warp(smooth_field(grid_of())).segments == segmentation.segments


def test_a_real_label_image_warps_as_simpleitk_warps_it(shared_data):
    segmentation = read_segmentation(shared_data / "abdomen_ct" / "labels.nii.gz")
    assert len(segmentation.segments) == 59
    field = smooth_field(segmentation.grid, 12.0)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    expected = sitk.Resample(segmentation.layers[0], transform, sitk.sitkNearestNeighbor)
    nearest, smooth = (array(segmentation.warp(field, kind)) for kind in ("nearest", "smooth"))
    np.testing.assert_array_equal(nearest, sitk.GetArrayFromImage(expected))
    assert np.mean(nearest != smooth) < 0.05
