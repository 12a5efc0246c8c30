"""Where the grid lies on which the network sees two images, and how fine it is."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.network_images import NONE, array_of, ball_in_noise, textured
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network_space.grid import finer_grid, network_grid
from VoxelMorphRegistrationLib.network_space.inputs import NormalisedImage
from VoxelMorphRegistrationLib.network_space.space import Space
from VoxelMorphRegistrationLib.space.grid import Grid


def test_a_fixed_extent_is_centred_on_the_foreground_and_not_on_the_image():
    image = ball_in_noise((60, 50, 40), (41, 12, 25))
    grid = network_grid(image, Space("native", extent=(16, 16, 16))).grid
    middle = np.asarray(grid.origin) + grid.axes @ ((np.asarray(grid.size) - 1) / 2)
    assert np.abs(middle - (41, 12, 25)).max() <= 0.5
    assert np.allclose(grid.origin, np.rint(grid.origin))


def test_a_mask_centres_a_fixed_extent_on_itself():
    image, mask = ball_in_noise((60, 50, 40), (41, 12, 25)), ball_in_noise((60, 50, 40), (20, 30, 15)) > 50
    grid = network_grid(image, Space("native", extent=(16, 16, 16)), mask=mask).grid
    middle = np.asarray(grid.origin) + grid.axes @ ((np.asarray(grid.size) - 1) / 2)
    assert np.abs(middle - (20, 30, 15)).max() <= 0.5


def test_spacing_may_be_overridden():
    image = textured((20, 20, 20), (1.0, 1.0, 1.0), np.eye(3))
    assert network_grid(image, Space("native", 1.0), spacing=2.0).grid.size == (10, 10, 10)
    assert network_grid(image, Space("native", 2.0), spacing="native").grid.size == (20, 20, 20)
    for wrong in (0, -1.0, float("nan"), "coarse"):
        with pytest.raises(InputError, match="spacing"):
            network_grid(image, Space(), spacing=wrong)


def test_a_grid_too_large_for_memory_becomes_coarser_and_says_so():
    image = textured((64, 64, 64), (1.0, 1.0, 2.0), np.eye(3))
    grid, notes = network_grid(image, Space("native", multiple=16, max_voxels=70_000))
    assert np.prod(grid.size) <= 70_000
    assert np.isclose(grid.spacing[2] / grid.spacing[0], 2.0)
    assert "coarser" in notes[0] and "70000" in notes[0]
    assert network_grid(image, Space(max_voxels=70_000), spacing="native").grid.size == (64, 64, 64)


@pytest.mark.parametrize(
    "own, wish, taken",
    [(3.0, 2.0, 1.5), (1.0, 2.0, 2.0), (0.8, 2.0, 2.4), (2.4, 2.0, 2.4), (1.5, 2.0, 1.5), (7.0, 2.0, 1.75)],
)
def test_a_flexible_spacing_is_the_nearest_multiple_or_fraction_of_the_images_own(own, wish, taken):
    image = textured((20, 20, 20), (own, own, 2.0), np.eye(3))
    space = Space("native", wish, multiple=8, flexible=True)
    assert np.allclose(network_grid(image, space).grid.spacing, (taken, taken, 2.0))
    assert np.allclose(network_grid(image, space, spacing=1.3).grid.spacing, 1.3)


def test_a_flexible_spacing_stays_a_multiple_when_the_grid_must_be_coarser():
    image = textured((60, 60, 60), (1.0, 1.0, 1.0), np.eye(3))
    grid = network_grid(image, Space("native", 1.0, max_voxels=30_000, flexible=True)).grid
    assert np.allclose(grid.spacing, 2.0)


def test_a_model_of_another_dimension_than_the_image_says_so():
    with pytest.raises(InputError, match="2 dimensions"):
        network_grid(textured((10, 10), (1, 1), np.eye(2)), Space("LIA"))
    with pytest.raises(InputError, match="2 dimensions"):
        network_grid(textured((10, 10), (1, 1), np.eye(2)), Space("native", extent=(16, 16, 16)))


@pytest.mark.parametrize("axes", ["LRS", "LI", "XYZ", "LPP"])
def test_tensor_axes_that_are_not_directions_are_refused(axes):
    if axes == "LI":
        with pytest.raises(InputError):
            network_grid(textured(), Space(axes))
    else:
        with pytest.raises(InputError, match=axes):
            Space(axes)


def test_the_finer_grid_halves_the_spacing_where_both_images_show_as_much_and_keeps_the_corners():
    fixed, moving = textured((40, 44, 20), (1.0, 1.0, 2.5)), textured((40, 44, 20), (0.9, 1.0, 1.0), seed=1)
    space = Space("SPL", 2.0, multiple=8, flexible=True)
    grid = network_grid(fixed, space).grid
    finer = finer_grid(grid, Grid.of(fixed), Grid.of(moving))
    # Tensor axes S, P, L are the fixed image's k, j, i: of 2.5, 1 and 1 mm.
    assert finer.shape == (grid.shape[0], 2 * grid.shape[1] - 1, 2 * grid.shape[2] - 1)
    np.testing.assert_allclose(finer.spacing, np.asarray(grid.spacing) / (2, 2, 1))
    every = tuple((n - 1) // (m - 1) for n, m in zip(finer.size, grid.size))
    for corner in ((0, 0, 0), tuple(n - 1 for n in grid.size)):
        same = tuple(c * k for c, k in zip(corner, every))
        np.testing.assert_allclose(
            finer.empty_image().TransformIndexToPhysicalPoint(same),
            grid.empty_image().TransformIndexToPhysicalPoint(corner),
            atol=1e-9,
        )
    seen = NormalisedImage.of(fixed, NONE).on(finer, None)[0, 0].numpy()
    oracle = sitk.Resample(fixed, finer.empty_image(), sitk.Transform(), sitk.sitkLinear, float(array_of(fixed).min()))
    covered = sitk.Resample(fixed * 0 + 1, finer.empty_image(), sitk.Transform(), sitk.sitkLinear, 0.0)
    inside = array_of(sitk.BinaryErode(covered > 0.5, (1, 1, 1))) > 0
    assert inside.mean() > 0.5
    np.testing.assert_allclose(seen[inside], array_of(oracle)[inside], atol=1e-2)


@pytest.mark.parametrize("coarse", ["fixed", "moving", "both"])
def test_there_is_no_finer_grid_where_either_image_shows_no_more(coarse):
    fixed = textured((30, 30, 30), (2.0,) * 3 if coarse != "moving" else (1.0,) * 3)
    moving = textured((30, 30, 30), (2.0,) * 3 if coarse != "fixed" else (1.0,) * 3)
    grid = network_grid(fixed, Space("SPL", 2.0, multiple=8, flexible=True)).grid
    assert finer_grid(grid, Grid.of(fixed), Grid.of(moving)) is None
