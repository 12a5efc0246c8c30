"""Between grids of parallel axes arrays are permuted, flipped, cropped and stretched as SimpleITK resamples them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from Testing.support.exchange_scenes import grid, rotation, rotation_2d
from VoxelMorphRegistrationLib.network_space.axis_map import AxisMap, regrid, smooth
from VoxelMorphRegistrationLib.space.grid import Grid

SOURCE = grid((9, 7, 6), (1.5, 2.0, 2.5), rotation(25))
OUTSIDE = -3.0


def values(on: Grid) -> np.ndarray:
    return np.random.default_rng(0).normal(size=on.shape).astype(np.float32)


def turned(source: Grid, order: tuple[int, ...], flips: tuple[int, ...]) -> Grid:
    """The same voxels with their axes in another order, some of them run backwards."""
    matrix = np.zeros((source.dimension + 1, source.dimension + 1))
    matrix[-1, -1] = 1.0
    for new, old in enumerate(order):
        matrix[old, new] = -1.0 if flips[new] else 1.0
        matrix[old, -1] = source.size[old] - 1 if flips[new] else 0.0
    return Grid.from_matrix(tuple(source.size[old] for old in order), source.index_to_physical() @ matrix)


def moved(source: Grid, size: tuple[int, ...], scale: tuple[float, ...], start: tuple[float, ...]) -> Grid:
    """A grid of `size` along the source's own axes: voxel n lies at source index start + scale * n."""
    matrix = np.diag([*scale, 1.0])
    matrix[:-1, -1] = start
    return Grid.from_matrix(size, source.index_to_physical() @ matrix)


def by_simpleitk(array: np.ndarray, source: Grid, target: Grid, interpolator: int = sitk.sitkLinear) -> np.ndarray:
    identity = sitk.Transform(source.dimension, sitk.sitkIdentity)
    canvas = target.empty_image(sitk.sitkUInt8)
    return sitk.GetArrayFromImage(sitk.Resample(source.image(array), canvas, identity, interpolator, OUTSIDE))


def ours(array: np.ndarray, source: Grid, target: Grid, outside: float | None = OUTSIDE) -> np.ndarray:
    axis_map = AxisMap.between(target, source)
    assert axis_map is not None
    return regrid(torch.from_numpy(array)[None], axis_map, target.shape, outside)[0].numpy()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1)])
def test_permuted_and_flipped_axes_keep_every_value_exactly(order, flips):
    target, array = turned(SOURCE, order, flips), values(SOURCE)
    there = ours(array, SOURCE, target)
    np.testing.assert_array_equal(there, by_simpleitk(array, SOURCE, target, sitk.sitkNearestNeighbor))
    np.testing.assert_array_equal(ours(there, target, SOURCE), array)


@pytest.mark.parametrize("flips", [(0, 0), (1, 0), (1, 1)])
def test_so_do_those_of_2d_images(flips):
    source = grid((11, 8), (0.7, 1.9), rotation_2d(30))
    target, array = turned(source, (1, 0), flips), values(source)
    expected = by_simpleitk(array, source, target, sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(ours(array, source, target), expected)


def test_cropping_and_padding_by_whole_voxels_keeps_every_value_and_fills_the_rest():
    target, array = moved(SOURCE, (13, 4, 8), (1.0, 1.0, 1.0), (-2.0, 2.0, -1.0)), values(SOURCE)
    expected = by_simpleitk(array, SOURCE, target, sitk.sitkNearestNeighbor)
    assert (expected == OUTSIDE).any()
    np.testing.assert_array_equal(ours(array, SOURCE, target), expected)


@pytest.mark.parametrize(
    ("size", "scale", "start"),
    [
        ((17, 13, 11), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0)),
        ((6, 5, 4), (1.3, 1.4, 1.7), (0.2, 0.1, 0.3)),
        ((9, 7, 6), (1.0, 1.0, 1.0), (0.45, -0.25, 0.4)),
        ((14, 9, 8), (0.9, 1.2, 1.0), (-1.3, -0.4, -1.0)),
    ],
)
def test_stretched_and_shifted_grids_are_interpolated_linearly_and_filled_outside(size, scale, start):
    # Turned as well, so that a mistaken axis would show.
    target = turned(moved(SOURCE, size, scale, start), (2, 0, 1), (1, 0, 1))
    array = values(SOURCE)
    np.testing.assert_allclose(ours(array, SOURCE, target), by_simpleitk(array, SOURCE, target), atol=1e-5)


def test_without_a_value_for_outside_the_nearest_edge_voxel_holds():
    target, array = moved(SOURCE, (13, 11, 10), (1.0, 1.0, 1.0), (-2.0, -2.0, -2.0)), values(SOURCE)
    np.testing.assert_array_equal(ours(array, SOURCE, target, outside=None), np.pad(array, 2, mode="edge"))


def test_a_grid_of_one_voxel_along_an_axis_is_that_voxel():
    source = grid((6, 5, 1), (1.0, 2.0, 4.0), np.eye(3))
    target, array = moved(source, (6, 5, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.3)), values(source)
    np.testing.assert_allclose(ours(array, source, target), array, atol=1e-6)


@pytest.mark.parametrize("degrees", [1.0, 30.0, 45.0])
def test_grids_whose_axes_are_not_parallel_have_no_map(degrees):
    tilted = Grid(SOURCE.size, SOURCE.spacing, SOURCE.origin, tuple((rotation(25) @ rotation(degrees)).ravel()))
    assert AxisMap.between(tilted, SOURCE) is None


def test_positions_that_rounding_leaves_off_a_voxel_are_that_voxel():
    target = moved(SOURCE, (4, 4, 4), (1.0, 1.0, 1.0), (1.0 + 1e-6, 2.0 - 1e-6, 1.0))
    axis_map = AxisMap.between(target, SOURCE)
    assert axis_map is not None
    assert axis_map.positions(2, 4).tolist() == [1.0, 2.0, 3.0, 4.0]
    assert axis_map.positions(1, 4).tolist() == [2.0, 3.0, 4.0, 5.0]


def test_smoothing_before_sampling_is_a_gaussian_that_leaves_a_constant_as_it_is():
    array, sigma = values(SOURCE), (0.8, 0.0, 1.1)
    axis_map = AxisMap.between(SOURCE, SOURCE)
    assert axis_map is not None
    tensor = torch.from_numpy(array)[None]
    together = regrid(tensor, axis_map, SOURCE.shape, None, sigma)
    constant = smooth(torch.ones_like(tensor), sigma)
    torch.testing.assert_close(constant, torch.ones_like(tensor))

    from scipy.ndimage import gaussian_filter

    # scipy has no renormalised border, so what lies at one is left out.
    expected = gaussian_filter(np.pad(array, 8), sigma, truncate=6.0)[8:-8, 8:-8, 8:-8]
    weight = gaussian_filter(np.pad(np.ones_like(array), 8), sigma, truncate=6.0)[8:-8, 8:-8, 8:-8]
    np.testing.assert_allclose(together[0].numpy(), expected / weight, atol=5e-3)
