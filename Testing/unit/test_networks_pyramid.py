"""The passes of a network that looks at a pair several times."""

from __future__ import annotations

import pytest
import torch

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.networks import build_network

pytest.importorskip("voxelmorph")
ARCHITECTURE = {
    "class": "VxmPairwise",
    "ndim": 3,
    "features": [[4, 4], [4, 4]],
    "integration_steps": 5,
    "padding": "border",
    "pyramid": [4, 2, 1],
    "cue_windows": [5],
    "symmetric": True,
}


def _network(**changes):
    torch.manual_seed(3)
    network = build_network({**ARCHITECTURE, **changes})
    with torch.no_grad():
        for parameter in network.module.flow_layer.parameters():
            parameter.normal_(0, 0.3)
    return network


@pytest.fixture(scope="module")
def images():
    torch.manual_seed(5)
    coarse = torch.rand(2, 1, 6, 6, 6)
    return torch.nn.functional.interpolate(coarse, size=(24, 24, 24), mode="trilinear").split(1)


def test_two_images_that_are_the_same_get_no_motion_from_a_symmetric_network_whatever_its_weights(images):
    assert _network().flow(images[0], images[0]).field.abs().max() < 1e-5
    assert _network(symmetric=False).flow(images[0], images[0]).field.abs().max() > 0.1


@pytest.mark.parametrize("passes", [[1], [4, 2, 1], [2, 1, 1]])
def test_all_passes_of_a_symmetric_network_there_and_back_are_opposite(images, passes):
    network = _network(pyramid=passes)
    there, back = (network.flow(*pair).field for pair in (images, images[::-1]))
    assert there.abs().max() > 0.1
    torch.testing.assert_close(there, -back, atol=1e-4, rtol=1e-4)


def test_the_rough_flow_is_what_the_coarse_passes_alone_find(images):
    rough = _network().rough_flow(*images)
    torch.testing.assert_close(rough.field, _network(pyramid=[4, 2]).flow(*images).field)
    assert (rough.field - _network().flow(*images).field).abs().max() > 0.01


def test_a_rough_flow_is_finished_to_what_all_passes_find(images):
    network = _network(pyramid=[4, 2, 1, 1])
    rough = network.rough_flow(*images)
    torch.testing.assert_close(network.finished(*images, rough).field, network.flow(*images).field)


def test_a_network_without_coarse_passes_has_no_cheaper_flow(images):
    network = _network(pyramid=[1, 1])
    torch.testing.assert_close(network.rough_flow(*images).field, network.flow(*images).field)


def _looks(network, fixed, moving) -> int:
    """How often the images are seen at full resolution."""
    seen = []
    predict = network.predict
    network.predict = lambda source, target: seen.append(source.shape[2]) or predict(source, target)
    network.flow(fixed, moving)
    return seen.count(fixed.shape[2])


def test_images_are_looked_at_again_only_while_that_makes_them_more_alike():
    torch.manual_seed(7)
    fixed = torch.nn.functional.interpolate(torch.rand(1, 1, 9, 9, 9), size=(32, 32, 32), mode="trilinear")
    other = torch.nn.functional.interpolate(torch.rand(1, 1, 9, 9, 9), size=(32, 32, 32), mode="trilinear")
    network = _network(pyramid=[2, 1, 1], symmetric=False, further_windows=[5, 3, 3])
    with torch.no_grad():
        for parameter in network.module.flow_layer.parameters():
            parameter.zero_()  # the motion cues alone
    assert _looks(network, fixed, fixed) == 2
    assert 2 < _looks(network, fixed, 0.5 * (fixed + other)) <= 5
    network.further_windows = ()
    assert _looks(network, fixed, 0.5 * (fixed + other)) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"cue_windows": 7}, {"cue_windows": [4]}, {"cue_windows": [1]}, {"further_windows": [4]}, {"further_windows": 3}],
)
def test_cues_and_looks_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        _network(**wrong)
