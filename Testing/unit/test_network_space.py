"""What the network sees of two images, held against nibabel, SimpleITK and scipy."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import scipy.stats
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel import orientations
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.network_space.grid import finer_grid, network_grid
from VoxelMorphRegistrationLib.network_space.inputs import NormalisedImage, on_network_grid
from VoxelMorphRegistrationLib.network_space.intensity import AsIs, IntensityRule, Percentile
from VoxelMorphRegistrationLib.network_space.space import Space
from VoxelMorphRegistrationLib.space.grid import Grid

NONE = AsIs()
TILT = Rotation.from_euler("xyz", [20, -15, 30], degrees=True).as_matrix()


def _image(size=(23, 27, 17), spacing=(1.5, 0.8, 2.2), direction=TILT, seed=0, smooth=2.0):
    dimension = len(size)
    array = gaussian_filter(np.random.default_rng(seed).normal(size=size[::-1]), smooth) * 1000
    grid = Grid(tuple(size), tuple(spacing), (10.0, -20.0, 5.0)[:dimension], tuple(np.asarray(direction).ravel()))
    return grid.image(array.astype(np.float32))


def _array(image):
    return sitk.GetArrayFromImage(image)


def _seen(image, space, intensity=NONE):
    return on_network_grid(image, network_grid(image, space).grid, None, intensity)[0, 0].numpy()


def _blob(size, centre, radius=4.0):
    """Noise of 5 with a ball of 100: an image whose foreground is known."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in size[::-1]], indexing="ij"), -1)
    array = np.random.default_rng(0).uniform(0, 5, size[::-1])
    array[np.linalg.norm(index - np.asarray(centre[::-1]), axis=-1) <= radius] += 100
    return sitk.GetImageFromArray(array.astype(np.float32))


@pytest.mark.parametrize("letters", ["LIA", "SPL", "RAS", "PSR"])
def test_the_tensor_runs_along_the_letters_as_nibabel_orients_it(letters):
    image = _image()
    affine = np.diag([-1, -1, 1, 1]) @ Grid.of(image).index_to_physical()
    stored = nibabel.Nifti1Image(_array(image).transpose(2, 1, 0), affine)
    change = orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(tuple(letters)))
    oracle = np.asarray(stored.as_reoriented(change).dataobj)
    # A nibabel array of these codes has its first axis along the first letter, as the tensor has.
    assert np.array_equal(_seen(image, Space(letters)), oracle)


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
    image = _image((13, 19, 16), (1.5, 0.8, 2.2), direction, smooth=1.0)
    space = Space("LIA", spacing, extent, 8)
    stored = sitk.Flip(sitk.PermuteAxes(image, [int(a) for a in order]), flips)
    assert network_grid(stored, space).grid.same_as(network_grid(image, space).grid, 1e-6)
    rule = Percentile(1, 99)
    assert np.abs(_seen(stored, space, rule) - _seen(image, space, rule)).max() < 1e-4


def test_native_spacing_keeps_the_voxels_of_the_fixed_image_as_they_are():
    image = _image()
    seen = _seen(image, Space("LIA", multiple=16))
    assert all(n % 16 == 0 for n in seen.shape)
    assert np.isin(_array(image), seen).all()
    assert set(np.unique(seen)) == set(np.unique(_array(image)))


def test_padding_is_even_and_holds_the_smallest_value():
    image = sitk.GetImageFromArray(np.random.default_rng(0).uniform(3, 9, (10, 13, 16)).astype(np.float32))
    seen = _seen(image, Space("native", multiple=8))
    assert seen.shape == (16, 16, 16)
    assert np.array_equal(seen[3:13, 2:15, :], _array(image))
    outside = np.ones(seen.shape, bool)
    outside[3:13, 2:15, :] = False
    assert np.all(seen[outside] == _array(image).min())


def test_a_fixed_extent_is_centred_on_the_foreground_and_not_on_the_image():
    image = _blob((60, 50, 40), (41, 12, 25))
    grid = network_grid(image, Space("native", extent=(16, 16, 16))).grid
    middle = np.asarray(grid.origin) + grid.axes @ ((np.asarray(grid.size) - 1) / 2)
    assert np.abs(middle - (41, 12, 25)).max() <= 0.5
    assert np.allclose(grid.origin, np.rint(grid.origin))


def test_a_mask_centres_a_fixed_extent_on_itself():
    image, mask = _blob((60, 50, 40), (41, 12, 25)), _blob((60, 50, 40), (20, 30, 15)) > 50
    grid = network_grid(image, Space("native", extent=(16, 16, 16)), mask=mask).grid
    middle = np.asarray(grid.origin) + grid.axes @ ((np.asarray(grid.size) - 1) / 2)
    assert np.abs(middle - (20, 30, 15)).max() <= 0.5


def test_an_extent_larger_than_the_image_pads_it_and_never_squashes():
    image = _image((10, 12, 14), (1, 1, 1), np.eye(3))
    seen = _seen(image, Space("native", 1.0, (32, 32, 32)))
    assert seen.shape == (32, 32, 32)
    assert np.isin(_array(image), seen).all()


@pytest.mark.parametrize("spacing", [0.7, 1.5, 3.0, (3.0, 2.0, 1.0)])
def test_another_spacing_covers_the_whole_image_and_samples_it_as_simpleitk_does(spacing):
    image = _image((40, 36, 30), (1.0, 1.0, 1.0), TILT, smooth=4.0)
    space = Space("SPL", spacing, None, 4)
    grid = network_grid(image, space).grid
    assert np.allclose(grid.spacing[::-1], spacing)
    assert grid.contains(Grid.of(image).extent_corners()).all()
    coarse = np.asarray(grid.spacing)
    sigma = np.sqrt(np.maximum(coarse**2 - 1.0, 0)) / 2.3548
    along_image = np.abs(np.linalg.inv(Grid.of(image).axes) @ (grid.axes / coarse)).round() @ sigma
    smooth = Grid.of(image).image(gaussian_filter(_array(image), along_image[::-1], mode="nearest", truncate=8))
    oracle = sitk.Resample(smooth, grid.empty_image(), sitk.Transform(), sitk.sitkLinear, float(_array(image).min()))
    inside = Grid.of(image).contains(grid.points().reshape(-1, 3), 0.0).reshape(grid.shape)
    assert np.abs(_seen(image, space) - _array(oracle))[inside].max() < 0.02 * np.ptp(_array(image))


def test_downsampling_removes_what_the_coarse_grid_cannot_hold():
    board = np.indices((48, 48, 48)).sum(0) % 2
    image = sitk.GetImageFromArray(board.astype(np.float32) * 100)
    seen = _seen(image, Space("native", 3.0))
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
    image = _image((20, 20, 20), (1.0, 0.9999, 1.0005), np.eye(3))
    seen = _seen(image, Space("native", 1.0))
    assert np.array_equal(seen, _array(image))


def test_spacing_may_be_overridden():
    image = _image((20, 20, 20), (1.0, 1.0, 1.0), np.eye(3))
    assert network_grid(image, Space("native", 1.0), spacing=2.0).grid.size == (10, 10, 10)
    assert network_grid(image, Space("native", 2.0), spacing="native").grid.size == (20, 20, 20)
    for wrong in (0, -1.0, float("nan"), "coarse"):
        with pytest.raises(InputError, match="spacing"):
            network_grid(image, Space(), spacing=wrong)


def test_a_grid_too_large_for_memory_becomes_coarser_and_says_so():
    image = _image((64, 64, 64), (1.0, 1.0, 2.0), np.eye(3))
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
    image = _image((20, 20, 20), (own, own, 2.0), np.eye(3))
    space = Space("native", wish, multiple=8, flexible=True)
    assert np.allclose(network_grid(image, space).grid.spacing, (taken, taken, 2.0))
    assert np.allclose(network_grid(image, space, spacing=1.3).grid.spacing, 1.3)


def test_a_flexible_spacing_stays_a_multiple_when_the_grid_must_be_coarser():
    image = _image((60, 60, 60), (1.0, 1.0, 1.0), np.eye(3))
    grid = network_grid(image, Space("native", 1.0, max_voxels=30_000, flexible=True)).grid
    assert np.allclose(grid.spacing, 2.0)


def test_a_flexible_finer_grid_blurs_every_voxel_alike():
    impulse = sitk.GetArrayFromImage(_image((21, 21, 21), (3.0, 3.0, 3.0), np.eye(3))) * 0
    peaks = set()
    for place in (9, 10, 11):
        image = sitk.GetImageFromArray(impulse)
        image.SetSpacing((3.0, 3.0, 3.0))
        image[place, 10, 10] = 1.0
        peaks.add(round(float(_seen(image, Space("native", 2.0, multiple=8, flexible=True)).max()), 4))
    assert len(peaks) == 1


@pytest.mark.parametrize("moving_size", [(30, 20, 25), (60, 60, 60)])
def test_the_moving_image_is_seen_through_the_alignment_as_simpleitk_resamples_it(moving_size):
    fixed = _image((24, 24, 24), (1.5, 1.5, 1.5), TILT)
    moving = _image(moving_size, (1.6, 1.5, 1.5), np.diag([1.0, -1.0, 1.0]), seed=1)
    moving.SetOrigin(
        np.asarray(fixed.TransformContinuousIndexToPhysicalPoint((12, 12, 12)))
        - Grid.of(moving).axes @ (np.asarray(moving_size) / 2)
    )
    alignment = sitk.Euler3DTransform((10, -20, 5), 0.1, -0.2, 0.05, (2, 1, -3))
    space = Space("SPL")
    grid = network_grid(fixed, space).grid
    seen = on_network_grid(moving, grid, alignment, NONE)[0, 0].numpy()
    minimum = float(_array(moving).min())
    oracle = sitk.Resample(moving, grid.empty_image(), alignment, sitk.sitkLinear, minimum)
    assert np.abs(seen - _array(oracle)).max() < 1e-2
    outside = ~Grid.of(moving).contains(_mapped(alignment, grid), 0.5)
    assert np.all(seen.ravel()[outside] == np.float32(minimum))


def _mapped(transform, grid):
    return np.asarray([transform.TransformPoint(p) for p in grid.points().reshape(-1, grid.dimension).tolist()])


def test_without_an_alignment_parallel_grids_give_what_simpleitk_gives():
    fixed = _image((24, 24, 24), (1.5, 1.5, 1.5))
    moving = _image((20, 30, 22), (2.0, 1.5, 1.7), seed=1)
    space = Space("LIA", multiple=8)
    grid = network_grid(fixed, space).grid
    seen = on_network_grid(moving, grid, None, NONE)[0, 0].numpy()
    minimum = float(_array(moving).min())
    oracle = sitk.Resample(moving, grid.empty_image(), sitk.Transform(), sitk.sitkLinear, minimum)
    assert np.abs(seen - _array(oracle)).max() < 1e-2


def test_two_dimensions_work_with_letters_and_without():
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    image = _image((23, 17), (1.5, 0.8), turn)
    assert np.array_equal(_seen(image, Space("native")), _array(image))
    # Letters L and A: axis 0 of the tensor runs to the left, axis 1 to the front; here x is to the left, y to the back.
    assert np.array_equal(_seen(image, Space("LA")), _array(image).T[:, ::-1])


def test_a_model_of_another_dimension_than_the_image_says_so():
    with pytest.raises(InputError, match="2 dimensions"):
        network_grid(_image((10, 10), (1, 1), np.eye(2)), Space("LIA"))
    with pytest.raises(InputError, match="2 dimensions"):
        network_grid(_image((10, 10), (1, 1), np.eye(2)), Space("native", extent=(16, 16, 16)))


@pytest.mark.parametrize("axes", ["LRS", "LI", "XYZ", "LPP"])
def test_tensor_axes_that_are_not_directions_are_refused(axes):
    if axes == "LI":
        with pytest.raises(InputError):
            network_grid(_image(), Space(axes))
    else:
        with pytest.raises(InputError, match=axes):
            Space(axes)


class TestIntensity:
    """The vocabulary of the cards."""

    values = np.asarray([-1000.0, -160, 40, 240, 3000] + [40.0] * 200).reshape(1, 5, 41).astype(np.float32)

    def _seen(self, rule, values=None):
        image = sitk.GetImageFromArray(self.values if values is None else values)
        return _seen(image, Space("native"), IntensityRule.from_dict(rule)).ravel()

    def test_minmax_runs_from_zero_to_one(self):
        seen = self._seen({"rule": "minmax"})
        assert seen.min() == 0 and seen.max() == 1
        assert np.allclose(seen[2], 1040 / 4000)

    def test_a_window_clips_to_hounsfield_units(self):
        assert np.allclose(self._seen({"rule": "window", "low": -160, "high": 240})[:5], [0, 0, 0.5, 1, 1])

    def test_percentiles_clip_as_numpy_has_them(self):
        values = np.random.default_rng(0).normal(size=(10, 10, 10)).astype(np.float32)
        low, high = np.percentile(values, (1, 99))
        oracle = np.clip((values - low) / (high - low), 0, 1)
        assert np.allclose(self._seen({"rule": "percentile", "low": 1, "high": 99}, values), oracle.ravel(), atol=1e-6)

    def test_an_image_that_is_nearly_all_background_is_not_lost_to_percentiles(self):
        values = np.zeros((10, 10, 10), np.float32)
        values[5, 5, 5] = 7
        assert self._seen({"rule": "percentile", "low": 1, "high": 99}, values).max() == 1

    def test_soft_tissue_between_air_and_bone_gets_the_contrast_its_frequency_earns(self):
        random = np.random.default_rng(1)
        parts = (random.uniform(-1000, -995, 4000), random.normal(50, 20, 5000), random.uniform(300, 1200, 500))
        values = np.concatenate(parts).astype(np.float32).reshape(10, 950, 1)
        plain = self._seen({"rule": "percentile", "low": 0, "high": 100}, values)
        spread = self._seen({"rule": "percentile", "low": 0, "high": 100, "equalise": 1.0}, values)
        tissue = slice(4000, 9000)
        assert plain[tissue].std() < 0.02
        # Of the foreground's ranks (scipy's) nine tenths of the range remain, above the background's tenth.
        ranks = scipy.stats.rankdata(values.ravel()[4000:]) / 5500
        assert np.abs(spread[4000:] - (0.1 + 0.9 * ranks)).max() < 0.03
        assert np.abs(spread[:4000]).max() < 0.1
        half = self._seen({"rule": "percentile", "low": 0, "high": 100, "equalise": 0.5}, values)
        assert np.allclose(half, (plain + spread) / 2, atol=1e-6)

    def test_equalising_keeps_the_order_of_intensities(self):
        values = np.random.default_rng(2).gamma(1.0, size=(12, 12, 12)).astype(np.float32)
        seen = self._seen({"rule": "percentile", "low": 1, "high": 99, "equalise": 0.5}, values)
        order = np.argsort(values.ravel())
        assert (np.diff(seen[order]) >= -1e-6).all()
        assert seen.min() == 0 and seen.max() == pytest.approx(1)

    def test_division_is_left_out_where_it_has_been_done(self):
        rule = {"rule": "divide", "by": 255, "unless_max_below": 2}
        assert np.allclose(self._seen(rule, np.asarray([[[0.0, 51, 255]]], np.float32)), [0, 0.2, 1])
        assert np.allclose(self._seen(rule, np.asarray([[[0.0, 0.2, 1]]], np.float32)), [0, 0.2, 1])
        assert np.allclose(
            self._seen(
                {"rule": "divide", "by": 2, "unless_max_below": None}, np.asarray([[[0.0, 0.2, 1]]], np.float32)
            ),
            [0, 0.1, 0.5],
        )

    def test_a_constant_image_is_refused(self):
        for rule in ("minmax", "none", "percentile"):
            with pytest.raises(InputError, match="constant"):
                self._seen({"rule": rule}, np.full((3, 4, 5), 8, np.float32))

    def test_a_window_that_holds_nothing_of_the_image_is_refused(self):
        with pytest.raises(InputError, match="window"):
            self._seen({"rule": "window", "low": 5000, "high": 6000})

    @pytest.mark.parametrize(
        "rule",
        [
            {},
            {"rule": "zscore"},
            {"rule": "window"},
            {"rule": "window", "low": 2, "high": 1},
            {"rule": "percentile", "low": 99, "high": 1},
            {"rule": "percentile", "equalise": 1.5},
            {"rule": "divide", "by": 0},
        ],
    )
    def test_rules_that_cannot_be_followed_are_refused(self, rule):
        with pytest.raises(InputError):
            IntensityRule.from_dict(rule)


def test_integer_images_are_seen_as_they_are():
    for dtype in (np.uint8, np.int16, np.uint16, np.int32, np.float64):
        array = np.random.default_rng(0).integers(0, 100, (4, 5, 6)).astype(dtype)
        assert np.array_equal(_seen(sitk.GetImageFromArray(array), Space("native")), array)


def test_the_finer_grid_halves_the_spacing_where_both_images_show_as_much_and_keeps_the_corners():
    fixed, moving = _image((40, 44, 20), (1.0, 1.0, 2.5)), _image((40, 44, 20), (0.9, 1.0, 1.0), seed=1)
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
    oracle = sitk.Resample(fixed, finer.empty_image(), sitk.Transform(), sitk.sitkLinear, float(_array(fixed).min()))
    covered = sitk.Resample(fixed * 0 + 1, finer.empty_image(), sitk.Transform(), sitk.sitkLinear, 0.0)
    inside = _array(sitk.BinaryErode(covered > 0.5, (1, 1, 1))) > 0
    assert inside.mean() > 0.5
    np.testing.assert_allclose(seen[inside], _array(oracle)[inside], atol=1e-2)


@pytest.mark.parametrize("coarse", ["fixed", "moving", "both"])
def test_there_is_no_finer_grid_where_either_image_shows_no_more(coarse):
    fixed = _image((30, 30, 30), (2.0,) * 3 if coarse != "moving" else (1.0,) * 3)
    moving = _image((30, 30, 30), (2.0,) * 3 if coarse != "fixed" else (1.0,) * 3)
    grid = network_grid(fixed, Space("SPL", 2.0, multiple=8, flexible=True)).grid
    assert finer_grid(grid, Grid.of(fixed), Grid.of(moving)) is None
