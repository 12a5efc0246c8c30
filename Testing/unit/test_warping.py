"""Sampling and integration in torch, held against voxelmorph's and scipy's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import voxelmorph
from scipy.ndimage import gaussian_filter, map_coordinates

from Testing.support.threads import computing_with
from VoxelMorphRegistrationLib.flow import integration, sampling


def velocity(shape: tuple[int, ...], voxels: float, seed: int = 0) -> torch.Tensor:
    noise = np.random.default_rng(seed).normal(size=(len(shape), *shape))
    smooth = np.stack([gaussian_filter(channel, 3) for channel in noise])
    return torch.from_numpy((smooth / np.abs(smooth).max() * voxels).astype(np.float32))[None]


SHAPES = pytest.mark.parametrize("shape", [(20, 26), (16, 20, 18)])


@SHAPES
def test_zeros_padding_warps_and_integrates_as_voxelmorph_does(shape):
    v = velocity(shape, 3.0)
    image = torch.rand(1, 2, *shape)
    ours = integration.integrate(v, squarings=5, padding="zeros")
    theirs = voxelmorph.nn.functional.integrate_disp(v, steps=5)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        sampling.warp(image, ours), voxelmorph.nn.functional.spatial_transform(image, theirs), atol=1e-5, rtol=0
    )


@SHAPES
def test_border_padding_clamps_to_the_edge_as_scipy_does(shape):
    v, image = velocity(shape, 8.0), torch.rand(1, 1, *shape)
    position = (sampling.identity(shape) + v)[0].numpy()
    expected = map_coordinates(image[0, 0].numpy(), position, order=1, mode="nearest")
    np.testing.assert_allclose(sampling.warp(image, v, "border")[0, 0].numpy(), expected, atol=1e-5)


def test_a_constant_velocity_reaches_the_border_only_when_the_edge_is_repeated():
    v = torch.full((1, 2, 12, 12), 3.0)
    torch.testing.assert_close(integration.integrate(v, 7, "border"), v)
    assert integration.integrate(v, 7, "zeros")[0, 0, -1, 5] < 1.0


@SHAPES
def test_velocities_of_opposite_sign_undo_each_other(shape):
    v = velocity(shape, 2.0)
    round_trip = integration.compose_flows(
        integration.integrate(v, 7, "border"), integration.integrate(-v, 7, "border"), "border"
    )
    inside = (slice(None), slice(None), *(slice(5, -5) for _ in shape))
    assert round_trip[inside].abs().max() < 0.05


def test_composition_applies_the_inner_flow_first():
    shape = (24, 24)
    inner, outer = velocity(shape, 1.5, 1), velocity(shape, 1.5, 2)
    point = torch.tensor([11.0, 12.0])
    step = lambda flow, p: p + sampling.sample(flow, p.view(1, 2, 1, 1))[0, :, 0, 0]  # noqa: E731
    expected = step(outer, step(inner, point))
    composed = integration.compose_flows(outer, inner)
    torch.testing.assert_close(point + composed[0, :, 11, 12], expected, atol=1e-5, rtol=0)


def test_a_flow_after_the_identity_is_itself():
    flow = velocity((8, 10), 1.5)
    assert integration.compose_flows(None, flow) is flow


def test_a_half_resolution_flow_is_doubled_exactly_as_voxelmorph_does():
    half = velocity((8, 10), 1.0)
    full = integration.resize_flow(half, (16, 20), scale=2)
    torch.testing.assert_close(full[0, :, 0, 0], 2 * half[0, :, 0, 0])
    torch.testing.assert_close(full[0, :, -1, -1], 2 * half[0, :, -1, -1])


def test_warping_to_coarser_voxels_is_about_warping_and_then_averaging():
    image = torch.from_numpy(gaussian_filter(np.random.default_rng(3).normal(size=(24, 20, 28)), 1.5))[
        None, None
    ].float()
    coarse = velocity((12, 10, 14), voxels=2.0, seed=5)
    fine = 2 * torch.nn.functional.interpolate(coarse, scale_factor=2, mode="trilinear", align_corners=False)
    expected = sampling.averaged(sampling.warp(image, fine, "border"), 2)
    found = sampling.warp_averaged(image, coarse, 2, "border")
    inner = (..., slice(3, -3), slice(3, -3), slice(3, -3))
    moved = (sampling.averaged(image, 2) - expected)[inner].abs().mean()
    assert found.shape == expected.shape and (found - expected)[inner].abs().mean() < 0.05 * moved
    still = torch.zeros_like(coarse)
    assert torch.allclose(sampling.warp_averaged(image, still, 2), sampling.averaged(image, 2), atol=1e-6)


def test_one_voxel_thick_images_can_be_sampled():
    image = torch.rand(1, 1, 1, 6, 6)
    torch.testing.assert_close(sampling.warp(image, torch.zeros(1, 3, 1, 6, 6), "border"), image)


def test_sampling_on_several_threads_gives_the_same_values():
    image, position = torch.rand(1, 2, 31, 30, 29), 30 * torch.rand(1, 3, 31, 30, 29)
    sampled = []
    for threads in (1, 3):
        with computing_with(threads):
            sampled.append(sampling.sample(image, position, "border"))
    assert torch.equal(*sampled) and sampled[0].shape == image.shape
