"""A convolution by fewer multiplications; PyTorch's own convolution in double precision says what must come out."""

import pytest
import torch
import torch.nn.functional as F

from VoxelMorphRegistrationLib.networks import minimal_filtering, slab_unet
from VoxelMorphRegistrationLib.networks.minimal_filtering import Filtering
from VoxelMorphRegistrationLib.networks.slab_unet import Convolution, SlabUnet, leaky

PRECISE = 1e-5  # of the largest value


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def of_any_size(monkeypatch):
    monkeypatch.setattr(minimal_filtering, "_MULTIPLICATIONS", 0)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def weights(inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    return drawn(outputs, inputs, 3, 3, 3) / inputs, drawn(outputs)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < PRECISE * expected.abs().max()


@pytest.mark.parametrize("plane", [(1, 1), (7, 9), (12, 10)])
@pytest.mark.parametrize(("inputs", "outputs", "depth"), [(16, 16, 4), (48, 32, 8), (3, 5, 12)])
def test_slices_between_others_are_those_of_a_plain_convolution(inputs, outputs, depth, plane):
    weight, bias = weights(inputs, outputs)
    x = drawn(1, inputs, depth + 2, *plane)
    expected = F.conv3d(x.double(), weight.double(), bias.double(), padding=(0, 1, 1))
    assert_close(Filtering(weight, bias)(x), expected)
    assert_close(Filtering(weight, None)(x), expected - bias.view(1, -1, 1, 1, 1))


@pytest.mark.parametrize("plane", [(1, 1), (4, 7)])
@pytest.mark.parametrize("depth", [4, 12])
def test_channels_at_half_the_resolution_count_as_upsampled_to_the_nearest_voxel(depth, plane):
    weight, bias = weights(16 + 24, 8)
    coarse = drawn(1, 24, depth // 2 + 2, *plane)
    skip = drawn(1, 16, depth + 2, *(2 * n for n in plane))
    upsampled = F.interpolate(coarse, scale_factor=2, mode="nearest")[:, :, 1:-1]
    joined = torch.cat([upsampled, skip], dim=1)
    expected = F.conv3d(joined.double(), weight.double(), bias.double(), padding=(0, 1, 1))
    assert_close(Filtering(weight, bias, doubled=24)(skip, coarse), expected)


def test_it_is_for_many_channels_three_wide_filters_and_large_volumes():
    large = (80, 96, 112)
    assert Filtering.pays(torch.zeros(32, 32, 3, 3, 3), large)
    assert not Filtering.pays(torch.zeros(16, 2, 3, 3, 3), large)
    assert not Filtering.pays(torch.zeros(3, 16, 3, 3, 3), large)
    assert not Filtering.pays(torch.zeros(32, 32, 1, 1, 1), large)
    assert not Filtering.pays(torch.zeros(32, 32, 3, 3, 3), (16, 24, 24))


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 7, 10])
def test_a_volume_may_have_any_number_of_slices(depth, of_any_size, monkeypatch):
    monkeypatch.setattr(slab_unet, "_VALUES", 16 * 9 * 11 * 4)  # one or more slabs
    weight, bias = weights(16, 16)
    x = drawn(1, 16, depth, 9, 11)
    unet = SlabUnet([], [Convolution(weight, bias, leaky(0.2))], [])
    assert_close(unet(x), F.leaky_relu(F.conv3d(x.double(), weight.double(), bias.double(), padding=1), 0.2))


def test_a_prediction_outlasts_the_next_one_and_takes_no_more_memory_than_its_own(of_any_size):
    layers = [Convolution(*weights(16, outputs), leaky(0.2)) for outputs in (16, 16, 16)]
    unet = SlabUnet([], [layers[0]], [], layers[1:])
    images = [drawn(1, 16, 8, 9, 11), drawn(1, 16, 8, 9, 11) + 1]
    first = unet(images[0])
    kept = first.clone()
    unet(images[1])
    assert torch.equal(first, kept)
    assert first.untyped_storage().nbytes() == 4 * first.numel()
