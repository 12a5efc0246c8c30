"""Refinement on images finer than the network's, and on large grids coarser than theirs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, map_coordinates

from Testing.support.refined_pairs import SHAPE, known_pair, mean_error, pulled, refine, tensor
from VoxelMorphRegistrationLib.flow import integration, sampling
from VoxelMorphRegistrationLib.flow.similarity import standardised
from VoxelMorphRegistrationLib.flow.slabs import slabs
from VoxelMorphRegistrationLib.networks import Flow
from VoxelMorphRegistrationLib.refinement import forces, levels
from VoxelMorphRegistrationLib.refinement.finer import FinerImages, Pull
from VoxelMorphRegistrationLib.refinement.forces import LnccForce
from VoxelMorphRegistrationLib.refinement.levels import Lattice, level_shape
from VoxelMorphRegistrationLib.space.affine import apply_affine, homogeneous

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pair():
    return known_pair()


def _on_one_grid(fixed, moving, coarse_shape):
    """Finer images on one grid, which shares its corner voxel centres with a coarser one."""
    scale = [(n - 1) / (m - 1) for n, m in zip(fixed.shape[2:], coarse_shape)]
    return FinerImages(fixed, moving, np.diag([*scale, 1.0]))


def test_large_images_keep_velocities_on_half_as_many_voxels_an_axis_and_lose_nothing(pair, monkeypatch):
    fixed, moving, truth = pair
    monkeypatch.setattr(levels, "_LEAST_VOXELS", 1000)
    result = refine(fixed, moving)
    assert {tuple(velocity.shape[2:]) for velocity in result.velocities} == {tuple(n // 2 for n in SHAPE)}
    assert mean_error(result.displacement, truth) < 0.35 and result.folded_after == 0
    whole = torch.zeros_like(result.displacement)
    for velocity in result.velocities:
        change = Flow(velocity, "velocity", 1, "border", 7).displacement(SHAPE)
        whole = integration.compose_flows(whole, change, "border")
    torch.testing.assert_close(result.displacement, whole, atol=1e-4, rtol=0)


def test_finer_images_show_what_the_coarser_ones_do_not():
    fine_shape = (67, 71, 69)
    rng = np.random.default_rng(2)
    moving = gaussian_filter(rng.normal(size=fine_shape), 1.2).astype(np.float32) * 2
    waves = np.stack([gaussian_filter(rng.normal(size=fine_shape), 3.5) for _ in range(3)])
    truth = (waves / waves.std()).astype(np.float32)
    fine = tensor(pulled(moving, truth)), tensor(moving)
    coarse = [F.avg_pool3d(F.pad(image, (1, 1, 1, 1, 1, 1), mode="replicate"), 3, stride=2) for image in fine]
    alone = refine(*coarse)
    helped = refine(*coarse, finer=lambda: _on_one_grid(*fine, coarse[0].shape[2:]))
    at_coarse = truth[:, ::2, ::2, ::2] / 2
    assert helped.displacement.shape == alone.displacement.shape == (1, *at_coarse.shape)
    assert mean_error(helped.displacement, at_coarse) < 0.8 * mean_error(alone.displacement, at_coarse)
    assert helped.folded_after == 0


def test_finer_images_are_not_even_made_for_other_contrasts(pair):
    fixed, moving, _ = pair

    def never():
        raise AssertionError("asked for")

    assert refine(1 - fixed, moving, finer=never).similarity == "mind"


def test_images_that_are_finer_along_some_axes_only_and_a_mask_are_taken(pair):
    fixed, moving, _ = pair
    mask = torch.ones_like(fixed)
    mask[..., :6] = 0
    thick = [image[..., ::2, :, ::2][..., :, :-1] for image in (fixed, moving)]
    coarse = [image[:, :, ::2, :, :] for image in thick]
    shape = tuple(coarse[0].shape[2:])
    fine = [image[:, :, : 2 * shape[0] - 1] for image in thick]
    seen = []
    result = refine(
        *coarse,
        mask=mask[:, :, : shape[0], : shape[1], : shape[2]],
        finer=lambda: seen.append(1) or _on_one_grid(*fine, shape),
    )
    assert seen == [1] and result.accepted and tuple(result.displacement.shape[2:]) == shape


def test_a_moving_image_on_a_turned_grid_of_its_own_is_pulled_from_where_it_lies(pair):
    _, moving, _ = pair
    coarse = tuple((n + 1) // 2 for n in SHAPE)
    rng = np.random.default_rng(4)
    before, after = (torch.from_numpy(rng.uniform(-1, 1, (1, 3, *coarse))).float() for _ in range(2))
    linear = np.array([[0.1, 1.9, 0.0], [-1.8, 0.2, 0.1], [0.0, 0.1, 2.1]])
    to_moving = homogeneous(linear, np.array([3.0, 40.0, -2.0]))
    pull = Pull(before, to_moving, SHAPE)
    found = sampling.sample_normalised(moving, pull(after), "border")[0, 0].numpy()
    whole = integration.compose_flows(before, after, "border")[0].numpy()
    positions = np.moveaxis(np.indices(coarse) + whole, 0, -1)
    expected = map_coordinates(
        moving[0, 0].numpy(), np.moveaxis(apply_affine(to_moving, positions), -1, 0), order=1, mode="nearest"
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_slope_is_exact_for_a_cubic_but_for_the_two_outermost_voxels_and_one_sided_at_the_end():
    steps = torch.arange(9.0)
    image = (steps**3 - 2 * steps).view(1, 1, 9, 1, 1).expand(1, 1, 9, 7, 6).contiguous()
    shape = tuple(image.shape[2:])
    lattice = Lattice(shape, shape)
    whole = tuple(slice(0, n) for n in shape)
    found = lattice.gradient(torch.ones_like(image), image, [whole])
    slope = found[0, 0, :, 3, 2]
    torch.testing.assert_close(slope[2:-2], 3 * steps[2:-2] ** 2 - 2, rtol=1e-5, atol=1e-4)
    values = image[0, 0, :, 0, 0]
    assert slope[0] == values[1] - values[0] and slope[-1] == values[-1] - values[-2]
    assert slope[1] == (values[2] - values[0]) / 2
    assert found[0, 1:].abs().max() == 0
    parts = [(slice(first, min(first + 4, 9)), *whole[1:]) for first in (0, 4, 8)]
    torch.testing.assert_close(lattice.gradient(torch.ones_like(image), image, parts), found)


def test_leaving_out_empty_surroundings_changes_no_force(pair):
    around = (20, 13, 5, 22, 24, 18)
    fixed, moving = (standardised(F.pad(image - image.min(), around)) for image in pair[:2])
    shape = tuple(fixed.shape[2:])
    lattice = Lattice(shape, level_shape(shape, 2))
    displacement = 0.8 * torch.randn((1, 3, *lattice.velocity_shape), generator=torch.Generator().manual_seed(5))
    force, everywhere = LnccForce(fixed, moving), LnccForce(fixed, moving)
    everywhere._correlation.boxes = slabs(shape)
    assert sum(math.prod(part.stop - part.start for part in box) for box in force._correlation.boxes) < math.prod(shape)
    (value, gradient), (expected_value, expected) = (each(displacement, lattice) for each in (force, everywhere))
    assert value == pytest.approx(expected_value, rel=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_a_grid_a_little_above_the_limit_is_refined_as_one_below_it(pair, monkeypatch):
    fixed, moving, _ = pair
    below = refine(fixed, moving, updates=12)
    monkeypatch.setattr(forces, "_MOST_VOXELS", int(0.9 * fixed.numel()))
    torch.testing.assert_close(refine(fixed, moving, updates=12).displacement, below.displacement)
    # Far above it, every second voxel is enough for most of the way.
    monkeypatch.setattr(forces, "_MOST_VOXELS", fixed.numel() // 8)
    assert refine(fixed, moving, updates=40).similarity_after > below.similarity_before
