"""Prediction on a CPU goes slab by slab; the plain forward pass, which training takes, says what must come out."""

import platform

import pytest
import torch
import torch.nn.functional as F

from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.networks import build_network, minimal_filtering, pair_cues, slab_unet
from VoxelMorphRegistrationLib.networks.motion_cues import motion_cues

FEATURES = [[8, 16, 16], [16, 16, 16, 8, 8]]
IN_SLABS = {
    "VxmDense": {"class": "VxmDense", "ndim": 3, "features": FEATURES},
    "two convolutions a level": {
        "class": "VxmDense",
        "ndim": 3,
        "features": [[8, 8, 16, 16], [16, 16, 16, 16, 8]],
        "convolutions": 2,
    },
    "half resolution": {"class": "VxmDense", "ndim": 3, "features": FEATURES, "half_resolution": True},
    "VxmPairwise": {"class": "VxmPairwise", "ndim": 3, "features": [8, 16, 16]},
    "nearest": {"class": "VxmPairwise", "ndim": 3, "features": [8, 16, 16], "unet": {"upsample_mode": "nearest"}},
}
AS_BEFORE = {
    "transposed": {"class": "VxmPairwise", "ndim": 3, "features": [8, 16], "unet": {"upsample_mode": "transposed"}},
    "no convolution at a level": {"class": "VxmPairwise", "ndim": 3, "features": [0, 16, 16]},
    "two dimensions": {"class": "VxmDense", "ndim": 2, "features": FEATURES},
    "2018": {"class": "Vxm2018", "ndim": 3, "features": [[8, 16, 16], [16, 16, 8, 8, 8]]},
}
TOLERANCE = 1e-4  # voxels


@pytest.fixture(autouse=True)
def many_slabs(monkeypatch):
    """Slabs of a few slices and convolutions by minimal filtering, as large images have them."""
    for module in (slab_unet, pair_cues):
        monkeypatch.setattr(module, "_VALUES", 50_000)
    monkeypatch.setattr(minimal_filtering, "_MULTIPLICATIONS", 0)


def images(shape: tuple[int, ...]) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(len(shape))
    mode = {2: "bilinear", 3: "trilinear"}[len(shape)]
    coarse = [max(2, n // 3) for n in shape]
    return [F.interpolate(torch.rand(1, 1, *coarse, generator=draw), size=shape, mode=mode) for _ in range(2)]


def with_weights(architecture: dict) -> torch.nn.Module:
    network = build_network(architecture)
    draw = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        # Voxels of motion, as of a trained network.
        torch.nn.init.normal_(parameter, std=0.07, generator=draw)
    return network


@pytest.mark.parametrize("name", IN_SLABS)
def test_the_fast_path_predicts_what_the_plain_one_does(name):
    network = with_weights(IN_SLABS[name])
    fixed, moving = images((32, 24, 40))
    with torch.no_grad():
        plain = network(fixed, moving).field
    assert network.slab_unet() is not None
    assert (network.flow(fixed, moving).field - plain).abs().max() < TOLERANCE
    assert plain.abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("name", AS_BEFORE)
def test_a_network_of_other_layers_is_computed_as_before(name):
    network = with_weights(AS_BEFORE[name])
    fixed, moving = images((32, 24, 40)[: network.dimension])
    with torch.no_grad():
        plain = network(fixed, moving).field
    assert network.slab_unet() is None
    assert (network.flow(fixed, moving).field - plain).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", ["any-anatomy", "any-anatomy-fast"])
def test_the_bundled_networks_find_the_same_displacement_both_ways(name):
    network = load_model(name).network
    fixed, moving = images((40, 32, 24))
    with torch.no_grad():
        plain = network(fixed, moving).displacement((40, 32, 24))
    fast = network.flow(fixed, moving).displacement((40, 32, 24))
    assert (fast - plain).abs().max() < TOLERANCE
    assert plain.abs().max() > 100 * TOLERANCE


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="slabs are computed on x86 alone")
def test_the_fast_path_is_taken_for_prediction_and_not_for_training(monkeypatch):
    taken = []
    monkeypatch.setattr(
        slab_unet.SlabUnet, "__call__", lambda self, x: taken.append(1) or torch.zeros(1, 3, 16, 16, 16)
    )
    network = build_network(IN_SLABS["VxmPairwise"])
    fixed, moving = images((16, 16, 16))
    network(fixed, moving)
    with torch.no_grad():
        network(fixed, moving)
    assert not taken
    network.flow(fixed, moving)
    assert taken


@pytest.mark.parametrize("window", [3, 5, 7])
@pytest.mark.parametrize("shape", [(20, 33, 17), (9, 12, 8), (2, 16, 16), (64, 8, 8)])
def test_cues_of_both_orders_in_slabs_are_those_of_each_order(shape, window):
    fixed, moving = images(shape)
    found = torch.zeros(2, 4, *shape)
    for rows, one, other, confidence in pair_cues.PairCues(fixed, moving, window).slabs():
        found[0, :3, rows], found[1, :3, rows] = one, other
        found[:, 3, rows] = confidence
    expected = torch.cat([motion_cues(fixed, moving, window), motion_cues(moving, fixed, window)])
    # What both lose to single precision, in windows of 3 most.
    assert (found - expected).abs().max() < 2e-3
    assert (found - expected).abs().mean() < 1e-5
