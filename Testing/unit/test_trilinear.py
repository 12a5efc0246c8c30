"""Quick sampling of volumes, held against PyTorch's own in double precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from Testing.support.threads import computing_with
from VoxelMorphRegistrationLib.flow import integration, sampling, trilinear

SHAPES = [(14, 22, 31), (40, 33, 17), (2, 50, 60)]
PADDINGS = pytest.mark.parametrize("padding", ["border", "zeros"])


def volume(shape: tuple[int, ...], channels: int = 1) -> torch.Tensor:
    return torch.rand(1, channels, *shape, generator=torch.Generator().manual_seed(1))


def places(shape: tuple[int, ...], count: int = 20_001) -> torch.Tensor:
    """In and around a volume, some of them exactly at its edges: (1, 3, count)."""
    drawn = 3 * torch.rand(1, 3, count, generator=torch.Generator().manual_seed(2)) - 1.5
    drawn[..., :100] = drawn[..., :100].sign()
    return drawn[..., None, None].contiguous()


def expected(image: torch.Tensor, position: torch.Tensor, padding: str) -> torch.Tensor:
    grid = position.double().movedim(1, -1)
    return F.grid_sample(image.double(), grid, padding_mode=padding, align_corners=True).float()


@PADDINGS
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_values_are_those_of_pytorch_in_and_around_a_volume(shape, padding, threads):
    image, position = volume(shape, 3), places(shape)
    assert trilinear.is_quicker(image, position)
    with computing_with(threads):
        found = sampling.sample_normalised(image, position, padding, quick=True)
    torch.testing.assert_close(found, expected(image, position, padding), atol=5e-4, rtol=0)


def test_many_positions_are_taken_some_at_a_time(monkeypatch):
    image, position = volume(SHAPES[0]), places(SHAPES[0])
    monkeypatch.setattr(trilinear, "_POSITIONS", 900)
    found = trilinear.sample(image, position, "border")
    torch.testing.assert_close(found, expected(image, position, "border"), atol=5e-4, rtol=0)


@PADDINGS
def test_gradients_by_positions_and_by_the_volume_are_those_of_pytorch(padding):
    image = volume(SHAPES[0], 2).requires_grad_()
    # Away from voxel centres, where a linear interpolation has a gradient on either side.
    index = torch.randint(-2, 40, (3, 6000), generator=torch.Generator().manual_seed(3)) + 0.3
    scale = torch.tensor([2 / (n - 1) for n in reversed(SHAPES[0])])[:, None]
    position = (index * scale - 1)[None, :, :, None, None].contiguous().requires_grad_()
    found = torch.autograd.grad(trilinear.sample(image, position, padding).square().sum(), [image, position])
    wanted = torch.autograd.grad(expected(image, position, padding).square().sum(), [image, position])
    for ours, theirs in zip(found, wanted):
        torch.testing.assert_close(ours, theirs, atol=float(1e-3 * theirs.abs().max()), rtol=0)


def test_a_place_that_is_no_number_gives_a_value_of_the_volume_and_leaves_the_others_alone():
    image, position = volume(SHAPES[0]), places(SHAPES[0])
    spoilt = position.clone()
    spoilt[0, :, 7] = float("nan")
    found = trilinear.sample(image, spoilt, "border")
    assert float(found.min()) >= 0 and float(found.max()) <= 1
    torch.testing.assert_close(found[0, 0, 8:], expected(image, position, "border")[0, 0, 8:], atol=5e-4, rtol=0)


def test_what_is_handed_out_is_sampled_as_pytorch_does():
    flow = 4 * volume((20, 30, 25), 3) - 2
    exact = integration.integrate(flow, 4, "border")
    quick = integration.integrate(flow, 4, "border", quick=True)
    position = sampling.normalised_positions(flow, (20, 30, 25))
    torch.testing.assert_close(
        sampling.warp(flow, flow, "border"), expected(flow, position, "border"), atol=1e-5, rtol=0
    )
    assert 0 < float((exact - quick).abs().max()) < 0.01
