"""What the network sees of two images, held against nibabel, SimpleITK and scipy."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel import orientations
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from Testing.support.network_images import NONE, TILT, array_of, as_seen, textured
from VoxelMorphRegistrationLib.network_space import inputs
from VoxelMorphRegistrationLib.network_space.axis_map import regrid
from VoxelMorphRegistrationLib.network_space.grid import network_grid
from VoxelMorphRegistrationLib.network_space.inputs import on_network_grid
from VoxelMorphRegistrationLib.network_space.intensity import Percentile
from VoxelMorphRegistrationLib.network_space.space import Space
from VoxelMorphRegistrationLib.space.grid import Grid


@pytest.mark.parametrize("letters", ["LIA", "SPL", "RAS", "PSR"])
def test_the_tensor_runs_along_the_letters_as_nibabel_orients_it(letters):
    image = textured()
    affine = np.diag([-1, -1, 1, 1]) @ Grid.of(image).index_to_physical()
    stored = nibabel.Nifti1Image(array_of(image).transpose(2, 1, 0), affine)
    change = orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(tuple(letters)))
    oracle = np.asarray(stored.as_reoriented(change).dataobj)
    # A nibabel array of these codes has its first axis along the first letter, as the tensor has.
    assert np.array_equal(as_seen(image, Space(letters)), oracle)


@given(
    order=st.permutations([0, 1, 2]),
    flips=st.lists(st.booleans(), min_size=3, max_size=3),
    angles=st.lists(st.floats(-30, 30), min_size=3, max_size=3),
    extent=st.one_of(st.none(), st.just((16, 32, 48))),
    spacing=st.sampled_from(["native", 1.7, 3.0]),
)
@settings(max_examples=25, deadline=None)
def test_the_order_in_which_an_image_is_stored_changes_nothing(order, flips, angles, extent, spacing):
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    image = textured((13, 19, 16), (1.5, 0.8, 2.2), direction, smooth=1.0)
    space = Space("LIA", spacing, extent, 8)
    stored = sitk.Flip(sitk.PermuteAxes(image, [int(a) for a in order]), flips)
    assert network_grid(stored, space).grid.same_as(network_grid(image, space).grid, 1e-6)
    rule = Percentile(1, 99)
    assert np.abs(as_seen(stored, space, rule) - as_seen(image, space, rule)).max() < 1e-4


def test_native_spacing_keeps_the_voxels_of_the_fixed_image_as_they_are():
    image = textured()
    seen = as_seen(image, Space("LIA", multiple=16))
    assert all(n % 16 == 0 for n in seen.shape)
    assert np.isin(array_of(image), seen).all()
    assert set(np.unique(seen)) == set(np.unique(array_of(image)))


def test_padding_is_even_and_holds_the_smallest_value():
    image = sitk.GetImageFromArray(np.random.default_rng(0).uniform(3, 9, (10, 13, 16)).astype(np.float32))
    seen = as_seen(image, Space("native", multiple=8))
    assert seen.shape == (16, 16, 16)
    assert np.array_equal(seen[3:13, 2:15, :], array_of(image))
    outside = np.ones(seen.shape, bool)
    outside[3:13, 2:15, :] = False
    assert np.all(seen[outside] == array_of(image).min())


def test_an_extent_larger_than_the_image_pads_it_and_never_squashes():
    image = textured((10, 12, 14), (1, 1, 1), np.eye(3))
    seen = as_seen(image, Space("native", 1.0, (32, 32, 32)))
    assert seen.shape == (32, 32, 32)
    assert np.isin(array_of(image), seen).all()


@pytest.mark.parametrize("spacing", [0.7, 1.5, 3.0, (3.0, 2.0, 1.0)])
def test_another_spacing_covers_the_whole_image_and_samples_it_as_simpleitk_does(spacing):
    image = textured((40, 36, 30), (1.0, 1.0, 1.0), TILT, smooth=4.0)
    space = Space("SPL", spacing, None, 4)
    grid = network_grid(image, space).grid
    assert np.allclose(grid.spacing[::-1], spacing)
    assert grid.contains(Grid.of(image).extent_corners()).all()
    coarse = np.asarray(grid.spacing)
    sigma = np.sqrt(np.maximum(coarse**2 - 1.0, 0)) / 2.3548
    along_image = np.abs(np.linalg.inv(Grid.of(image).axes) @ (grid.axes / coarse)).round() @ sigma
    smooth = Grid.of(image).image(gaussian_filter(array_of(image), along_image[::-1], mode="nearest", truncate=8))
    oracle = sitk.Resample(smooth, grid.empty_image(), sitk.Transform(), sitk.sitkLinear, float(array_of(image).min()))
    inside = Grid.of(image).contains(grid.points().reshape(-1, 3), 0.0).reshape(grid.shape)
    assert np.abs(as_seen(image, space) - array_of(oracle))[inside].max() < 0.02 * np.ptp(array_of(image))


def test_downsampling_removes_what_the_coarse_grid_cannot_hold():
    board = np.indices((48, 48, 48)).sum(0) % 2
    image = sitk.GetImageFromArray(board.astype(np.float32) * 100)
    seen = as_seen(image, Space("native", 3.0))
    moving = on_network_grid(
        image,
        network_grid(image, Space("native", 3.0)).grid,
        sitk.TranslationTransform(3, (1, 1, 1)),
        NONE,
    )[0, 0].numpy()
    for tensor in (seen, moving):
        middle = tensor[2:-2, 2:-2, 2:-2]
        assert np.abs(middle - 50).max() < 2


def test_spacing_that_differs_by_a_rounding_is_the_image_s_own():
    image = textured((20, 20, 20), (1.0, 0.9999, 1.0005), np.eye(3))
    seen = as_seen(image, Space("native", 1.0))
    assert np.array_equal(seen, array_of(image))


def test_a_flexible_finer_grid_blurs_every_voxel_alike():
    impulse = sitk.GetArrayFromImage(textured((21, 21, 21), (3.0, 3.0, 3.0), np.eye(3))) * 0
    peaks = set()
    for place in (9, 10, 11):
        image = sitk.GetImageFromArray(impulse)
        image.SetSpacing((3.0, 3.0, 3.0))
        image[place, 10, 10] = 1.0
        peaks.add(round(float(as_seen(image, Space("native", 2.0, multiple=8, flexible=True)).max()), 4))
    assert len(peaks) == 1


@pytest.mark.parametrize("moving_size", [(30, 20, 25), (60, 60, 60)])
def test_the_moving_image_is_seen_through_the_alignment_as_simpleitk_resamples_it(moving_size):
    fixed = textured((24, 24, 24), (1.5, 1.5, 1.5), TILT)
    moving = textured(moving_size, (1.6, 1.5, 1.5), np.diag([1.0, -1.0, 1.0]), seed=1)
    moving.SetOrigin(
        np.asarray(fixed.TransformContinuousIndexToPhysicalPoint((12, 12, 12)))
        - Grid.of(moving).axes @ (np.asarray(moving_size) / 2)
    )
    alignment = sitk.Euler3DTransform((10, -20, 5), 0.1, -0.2, 0.05, (2, 1, -3))
    space = Space("SPL")
    grid = network_grid(fixed, space).grid
    seen = on_network_grid(moving, grid, alignment, NONE)[0, 0].numpy()
    minimum = float(array_of(moving).min())
    oracle = sitk.Resample(moving, grid.empty_image(), alignment, sitk.sitkLinear, minimum)
    assert np.abs(seen - array_of(oracle)).max() < 1e-2
    outside = ~Grid.of(moving).contains(_mapped(alignment, grid), 0.5)
    assert np.all(seen.ravel()[outside] == np.float32(minimum))


def _mapped(transform, grid):
    return np.asarray([transform.TransformPoint(p) for p in grid.points().reshape(-1, grid.dimension).tolist()])


def test_without_an_alignment_parallel_grids_give_what_simpleitk_gives():
    fixed = textured((24, 24, 24), (1.5, 1.5, 1.5))
    moving = textured((20, 30, 22), (2.0, 1.5, 1.7), seed=1)
    space = Space("LIA", multiple=8)
    grid = network_grid(fixed, space).grid
    seen = on_network_grid(moving, grid, None, NONE)[0, 0].numpy()
    minimum = float(array_of(moving).min())
    oracle = sitk.Resample(moving, grid.empty_image(), sitk.Transform(), sitk.sitkLinear, minimum)
    assert np.abs(seen - array_of(oracle)).max() < 1e-2


def test_two_dimensions_work_with_letters_and_without():
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    image = textured((23, 17), (1.5, 0.8), turn)
    assert np.array_equal(as_seen(image, Space("native")), array_of(image))
    # Letters L and A: axis 0 of the tensor runs to the left, axis 1 to the front; here x is to the left, y to the back.
    assert np.array_equal(as_seen(image, Space("LA")), array_of(image).T[:, ::-1])


def test_an_image_too_large_for_a_device_is_sampled_by_the_processor(monkeypatch):
    image = textured()
    grid = network_grid(image, Space("SPL"), 3.0).grid
    expected = on_network_grid(image, grid, None, Percentile(1, 99))
    calls = []

    def full(*given):
        calls.append(given)
        if len(calls) == 1:
            raise torch.cuda.OutOfMemoryError("no room")
        return regrid(*given)

    monkeypatch.setattr(inputs, "regrid", full)
    found = on_network_grid(image, grid, None, Percentile(1, 99))
    assert len(calls) == 2 and torch.equal(found, expected)
