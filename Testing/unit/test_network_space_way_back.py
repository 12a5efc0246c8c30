"""From the network's displacement to the images' grids, held against SimpleITK's transforms."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from VoxelMorphRegistrationLib.network_space.grid import network_grid
from VoxelMorphRegistrationLib.network_space.outputs import forward_displacement, inverse_displacement, network_vectors
from VoxelMorphRegistrationLib.network_space.space import Space
from VoxelMorphRegistrationLib.space import displacement as displacements
from VoxelMorphRegistrationLib.space.grid import Grid

TILT = Rotation.from_euler("xyz", [20, -15, 30], degrees=True).as_matrix()


def _grid(size=(24, 30, 20), spacing=(1.5, 0.8, 2.2), direction=TILT):
    return Grid(tuple(size), tuple(spacing), (10.0, -20.0, 5.0)[: len(size)], tuple(np.asarray(direction).ravel()))


def _field(grid, seed=0, voxels=2.0):
    noise = np.random.default_rng(seed).normal(size=(grid.dimension, *grid.shape))
    smooth = np.stack([gaussian_filter(channel, 4) for channel in noise])
    return displacements.from_voxel_flow(smooth / np.abs(smooth).max() * voxels, grid)


def to_image_grid(field, fixed, alignment=None):
    flow = torch.from_numpy(displacements.to_voxel_flow(field))[None]
    return forward_displacement(flow, Grid.of(field), fixed, alignment)


def _transform(field):
    return sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))


def _moved(transform, points):
    return np.asarray([transform.TransformPoint(point) for point in points.reshape(-1, points.shape[-1]).tolist()])


@pytest.mark.parametrize("letters", ["native", "LIA", "SPL", "PSR"])
@pytest.mark.parametrize("extent", [None, (12, 16, 14)])
def test_on_the_fixed_image_s_own_voxels_nothing_is_interpolated(letters, extent):
    fixed = _grid()
    network = network_grid(
        fixed.image(np.random.default_rng(0).random(fixed.shape)), Space(letters, "native", extent)
    ).grid
    field = _field(network)
    ours = to_image_grid(field, fixed)
    assert Grid.of(ours) == fixed
    inside = network.contains(fixed.points().reshape(-1, 3), 0.01)
    nearest = sitk.Resample(field, fixed.empty_image(), sitk.Transform(), sitk.sitkNearestNeighbor)
    difference = sitk.GetArrayFromImage(ours) - sitk.GetArrayFromImage(nearest)
    assert inside.sum() == min(np.prod(network.size), np.prod(fixed.size))
    assert np.abs(difference.reshape(-1, 3)[inside]).max() < 1e-5


@pytest.mark.parametrize("spacing", [0.9, 2.0, 3.0])
def test_between_the_network_s_voxels_the_field_is_linear_as_simpleitk_has_it(spacing):
    fixed = _grid()
    network = network_grid(fixed.image(np.random.default_rng(0).random(fixed.shape)), Space("LIA", spacing)).grid
    field = _field(network)
    ours = sitk.GetArrayFromImage(to_image_grid(field, fixed)).reshape(-1, 3)
    points = fixed.points().reshape(-1, 3)
    inside = network.contains(points, 0.0)
    oracle = _moved(_transform(field), points[inside]) - points[inside]
    assert np.abs(ours[inside] - oracle).max() < 1e-4


def test_beyond_the_crop_the_field_fades_outward_and_is_gone_after_two_voxels():
    fixed = Grid((40, 40), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    network = Grid((10, 12), (2.0, 2.0), (8.0, 6.0), (1.0, 0.0, 0.0, 1.0))
    field = displacements.from_array(np.full((*network.shape, 2), 3.0), network)
    ours = sitk.GetArrayFromImage(to_image_grid(field, fixed))
    points = fixed.points()
    beyond = np.maximum(np.maximum(np.asarray(network.origin) - points, 0), points - (26.0, 28.0)).max(-1) / 2.0
    assert np.all(ours[beyond <= 0.5] == 3.0)
    assert np.all(ours[beyond >= 2.0] == 0.0)
    fading = ours[(beyond > 0.5) & (beyond < 2.0)]
    assert np.all((fading > 0) & (fading < 3))
    row = ours[20, :, 0]
    assert np.all(np.diff(row[:10]) >= 0) and np.all(np.diff(row[26:]) <= 0)
    steps = np.abs(np.diff(row)).max()
    assert steps <= 3.0 * (1.0 / 3.0) + 1e-6


def test_far_outside_the_crop_the_alignment_is_alone():
    fixed = _grid((40, 40, 40), (1.0, 1.0, 1.0))
    network = network_grid(
        fixed.image(np.random.default_rng(0).random(fixed.shape)), Space("SPL", 1.0, (16, 16, 16))
    ).grid
    alignment = sitk.Euler3DTransform((1, 2, 3), 0.2, -0.1, 0.3, (4, 5, 6))
    ours = sitk.GetArrayFromImage(to_image_grid(_field(network), fixed, alignment)).reshape(-1, 3)
    points = fixed.points().reshape(-1, 3)
    outside = ~network.contains(points, 2.0)
    assert outside.any()
    assert np.abs(ours[outside] - (_moved(alignment, points[outside]) - points[outside])).max() < 1e-4


def _alignments():
    affine = sitk.AffineTransform(3)
    affine.SetMatrix((1.1, 0.1, 0.0, -0.05, 0.9, 0.02, 0.0, 0.1, 1.05))
    affine.SetTranslation((4.0, -3.0, 2.0))
    return {
        "rigid": sitk.Euler3DTransform((1, 2, 3), 0.2, -0.1, 0.3, (4, 5, 6)),
        "affine": affine,
        "composite": sitk.CompositeTransform([affine, sitk.TranslationTransform(3, (1.0, 2.0, 3.0))]),
        "field": _transform(_field(_grid((30, 40, 30)), seed=5)),
    }


@pytest.mark.parametrize("kind", ["rigid", "affine", "composite", "field"])
def test_the_whole_map_is_the_network_s_displacement_then_the_alignment(kind):
    fixed, alignment = _grid(), _alignments()[kind]
    network = network_grid(fixed.image(np.random.default_rng(0).random(fixed.shape)), Space("SPL")).grid
    field = _field(network)
    ours = sitk.GetArrayFromImage(to_image_grid(field, fixed, alignment)).reshape(-1, 3)
    both = sitk.CompositeTransform([alignment, _transform(field)])  # the last of the list acts first
    points = fixed.points().reshape(-1, 3)
    assert np.abs(ours - (_moved(both, points) - points)).max() < 1e-3


@pytest.mark.parametrize("kind", ["rigid", "affine", "composite"])
def test_the_inverse_is_the_alignment_s_inverse_and_then_the_network_s_on_the_moving_grid(kind):
    fixed, alignment = _grid(), _alignments()[kind]
    middle = np.asarray(alignment.TransformPoint(fixed.points()[10, 15, 12].tolist()))
    origin = middle - (17.0, -19.0, 17.0)
    moving = Grid((17, 19, 23), (2.0, 2.0, 1.5), tuple(origin), tuple(np.diag([1.0, -1.0, 1.0]).ravel()))
    network = network_grid(fixed.image(np.random.default_rng(0).random(fixed.shape)), Space("SPL")).grid
    field = _field(network)
    flow = torch.from_numpy(displacements.to_voxel_flow(field))[None]
    ours = inverse_displacement(flow, network, moving, alignment)
    assert Grid.of(ours) == moving
    points = moving.points().reshape(-1, 3)
    back = _moved(alignment.GetInverse(), points)
    inside = network.contains(back, 0.0)
    assert inside.sum() > 1000
    oracle = _moved(_transform(field), back[inside]) - points[inside]
    assert np.abs(sitk.GetArrayFromImage(ours).reshape(-1, 3)[inside] - oracle).max() < 1e-3


def test_both_ways_of_sampling_the_network_s_field_agree_everywhere():
    fixed = _grid()
    network = network_grid(
        fixed.image(np.random.default_rng(0).random(fixed.shape)), Space("LIA", 2.0, (8, 8, 12))
    ).grid
    flow = torch.from_numpy(displacements.to_voxel_flow(_field(network)))[None]
    separable = network_vectors(flow, network, fixed)
    general = network_vectors(flow, network, fixed, (np.eye(3), np.zeros(3)))
    assert torch.abs(separable - general).max() < 1e-4
