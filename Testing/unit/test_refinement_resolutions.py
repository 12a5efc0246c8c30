"""Refinement on images finer than the network's, and on large grids coarser than theirs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from Testing.support.refined_pairs import SHAPE, known_pair, mean_error, pulled, refine, tensor
from VoxelMorphRegistrationLib.flow import integration
from VoxelMorphRegistrationLib.networks import Flow
from VoxelMorphRegistrationLib.refinement import forces, levels
from VoxelMorphRegistrationLib.refinement.pair import ImagePair

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pair():
    return known_pair()


def _pulled_pair(images, displacement):
    """Finer images, the moving one pulled by a displacement on the coarser grid."""
    shape = tuple(images[0].shape[2:])
    return ImagePair(*images).pulled(integration.resize_flow(displacement, shape))


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
    torch.testing.assert_close(result.displacement, whole)


def test_finer_images_show_what_the_coarser_ones_do_not():
    fine_shape = (67, 71, 69)
    rng = np.random.default_rng(2)
    moving = gaussian_filter(rng.normal(size=fine_shape), 1.2).astype(np.float32) * 2
    waves = np.stack([gaussian_filter(rng.normal(size=fine_shape), 3.5) for _ in range(3)])
    truth = (waves / waves.std()).astype(np.float32)
    fine = tensor(pulled(moving, truth)), tensor(moving)
    coarse = [F.avg_pool3d(F.pad(image, (1, 1, 1, 1, 1, 1), mode="replicate"), 3, stride=2) for image in fine]
    alone = refine(*coarse)
    helped = refine(*coarse, finer=lambda displacement: _pulled_pair(fine, displacement))
    at_coarse = truth[:, ::2, ::2, ::2] / 2
    assert helped.displacement.shape == alone.displacement.shape == (1, *at_coarse.shape)
    assert mean_error(helped.displacement, at_coarse) < 0.8 * mean_error(alone.displacement, at_coarse)
    assert helped.folded_after == 0


def test_finer_images_are_not_even_made_for_other_contrasts(pair):
    fixed, moving, _ = pair

    def never(displacement):
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
        *coarse, mask=mask[:, :, : shape[0], : shape[1], : shape[2]], finer=lambda _: seen.append(1) or ImagePair(*fine)
    )
    assert seen == [1] and result.accepted and tuple(result.displacement.shape[2:]) == shape


def test_a_grid_a_little_above_the_limit_is_refined_as_one_below_it(pair, monkeypatch):
    fixed, moving, _ = pair
    below = refine(fixed, moving, updates=12)
    monkeypatch.setattr(forces, "_MOST_VOXELS", int(0.9 * fixed.numel()))
    torch.testing.assert_close(refine(fixed, moving, updates=12).displacement, below.displacement)
    # Far above it, every second voxel is enough for most of the way.
    monkeypatch.setattr(forces, "_MOST_VOXELS", fixed.numel() // 8)
    assert refine(fixed, moving, updates=40).similarity_after > below.similarity_before
