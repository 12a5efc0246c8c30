"""The passes of a network run from coarse to fine, against scipy and arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.ndimage import gaussian_filter, map_coordinates

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.flow.surroundings import Surroundings
from VoxelMorphRegistrationLib.networks import build_network, pyramid
from VoxelMorphRegistrationLib.networks.motion_cues import motion_cues

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


def _says_the_same_in_every_pass(**changes):
    """A network that gives one constant velocity, (1, -2, 0.5) voxels of whatever level it is run on."""
    network = _network(symmetric=False, cue_windows=[], **changes)
    with torch.no_grad():
        network.module.flow_layer.conv0.weight.zero_()
        network.module.flow_layer.conv0.bias.copy_(torch.tensor([1.0, -2.0, 0.5]))
    return network


def _voxels(flow) -> list[float]:
    field = flow.field[0].flatten(1)
    assert (field.amax(1) - field.amin(1)).max() < 1e-4
    return [round(value, 4) for value in field.mean(1).tolist()]


def test_each_pass_adds_its_velocity_in_voxels_of_its_own_level(images):
    assert _voxels(_says_the_same_in_every_pass(pyramid=[1]).flow(*images)) == [1, -2, 0.5]
    assert _voxels(_says_the_same_in_every_pass(pyramid=[4, 2, 1]).flow(*images)) == [7, -14, 3.5]


def test_the_rough_flow_is_what_the_passes_before_full_resolution_add(images):
    assert _voxels(_says_the_same_in_every_pass(pyramid=[4, 2, 1]).rough_flow(*images)) == [6, -12, 3]
    assert (_network().rough_flow(*images).field - _network().flow(*images).field).abs().max() > 0.01


def test_a_rough_flow_is_finished_with_the_passes_that_it_left_out(images):
    network = _says_the_same_in_every_pass(pyramid=[4, 2, 1, 1])
    shapes = _record(network, lambda source, target: source.shape[2])
    rough = network.rough_flow(*images)
    assert shapes == [8, 12]  # 6 voxels of 4, padded to the multiple, and 12 of 2
    assert _voxels(network.finished(*images, rough)) == [8, -16, 4]
    assert shapes == [8, 12, 24, 24]


def test_full_detail_is_found_around_what_counts_alone_and_elsewhere_the_flow_stays_the_rough_one(images):
    network = _network(pyramid=[4, 2, 1])
    rough, whole = network.rough_flow(*images), network.flow(*images)
    counting = torch.zeros_like(images[0])
    counting[..., 4, 4, 4] = 1
    detailed = Surroundings.of(counting, torch.zeros(1, 3, *counting.shape[2:]))
    assert all(part.start == 0 and part.stop <= 10 for part in detailed.box)
    found = network.finished(*images, rough, detailed=detailed)
    assert torch.equal(found.field[..., 10:], rough.field[..., 10:])
    near, before = ((flow.field - whole.field)[..., :4, :4, :4].abs().max() for flow in (found, rough))
    assert near < 0.1 * before


def test_a_network_without_coarse_passes_has_no_cheaper_flow(images):
    network = _says_the_same_in_every_pass(pyramid=[1, 1])
    rough = network.rough_flow(*images)
    assert _voxels(rough) == _voxels(network.finished(*images, rough)) == [2, -4, 1]


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_pass_is_run_on_the_images_warped_by_the_exponential_of_the_velocity_so_far(symmetric):
    size = 24
    random = np.random.default_rng(1)
    fixed, moving = (gaussian_filter(random.normal(size=(size,) * 3), 3.0) for _ in range(2))
    network = _network(pyramid=[2, 1], cue_windows=[], symmetric=symmetric)
    # A velocity that is linear in space, v = A x about the centre, has the exponential (expm(A) - I) x.
    linear = np.asarray([[0.02, -0.15, 0.0], [0.15, -0.03, 0.05], [0.0, -0.05, 0.04]])
    points = np.stack(np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 3, indexing="ij"))
    seen = []
    velocity = torch.from_numpy(np.tensordot(linear, points, 1)[None]).float()
    pair = [torch.from_numpy(image[None, None]).float() for image in (fixed, moving)]
    _record(network, lambda source, target: seen.append((source[0, 0].numpy(), target[0, 0].numpy())))
    with torch.no_grad():
        network.improve(*pair, velocity, 1)
    for image, got, share in (
        (moving, seen[0][0], 0.5 if symmetric else 1.0),
        (fixed, seen[0][1], -0.5 if symmetric else 0.0),
    ):
        at = np.tensordot(expm(share * linear), points, 1) + (size - 1) / 2
        oracle = map_coordinates(image, at, order=1, mode="nearest")
        inside = ((at > 1) & (at < size - 2)).all(axis=0)
        assert inside.mean() > 0.5
        assert np.abs(got - oracle)[inside].max() < 0.02 * np.abs(image).max()
        if share:
            assert np.abs(image - oracle)[inside].max() > 0.15 * np.abs(image).max()


def test_an_untrained_network_gives_the_motion_cues_smoothed_and_weighted_by_their_confidence(images):
    network = _network(pyramid=[1], symmetric=False)
    with torch.no_grad():
        for parameter in network.module.flow_layer.parameters():
            parameter.zero_()
    cues = motion_cues(*images, window=5)[0].numpy()
    got = network.flow(*images).field[0].numpy()
    for axis in range(3):
        oracle = gaussian_filter(cues[axis] * cues[3], 1.5, truncate=6.0)
        inner = (slice(8, -8),) * 3  # the weights are renormalised at the borders
        np.testing.assert_allclose(got[axis][inner], oracle[inner], atol=1e-4)


def _record(network, describe) -> list:
    """What `describe` says of the (source, target) of each run of the network from here on."""
    seen = []
    predict = network.predict
    network.predict = lambda source, target: seen.append(describe(source, target)) or predict(source, target)
    return seen


def _full_passes(network, fixed, moving, **options) -> int:
    """How often the network is run at full resolution."""
    shapes = _record(network, lambda source, target: source.shape[2])
    network.flow(fixed, moving, **options)
    return shapes.count(fixed.shape[2])


def test_the_last_pass_is_repeated_only_while_that_makes_the_images_more_similar():
    torch.manual_seed(7)
    fixed = torch.nn.functional.interpolate(torch.rand(1, 1, 9, 9, 9), size=(32, 32, 32), mode="trilinear")
    other = torch.nn.functional.interpolate(torch.rand(1, 1, 9, 9, 9), size=(32, 32, 32), mode="trilinear")
    network = _network(pyramid=[2, 1, 1], symmetric=False, further_windows=[5, 3, 3])
    with torch.no_grad():
        for parameter in network.module.flow_layer.parameters():
            parameter.zero_()  # the motion cues alone
    assert _full_passes(network, fixed, fixed) == 2
    assert 2 < _full_passes(network, fixed, 0.5 * (fixed + other)) <= 5
    assert _full_passes(network, fixed, 0.5 * (fixed + other), repeating=False) == 2
    assert network.flow(fixed, 0.5 * (fixed + other), repeating=False).unfinished
    assert not network.flow(fixed, fixed, repeating=False).unfinished
    assert not network.flow(fixed, 0.5 * (fixed + other)).unfinished
    network.further_windows = ()
    assert _full_passes(network, fixed, 0.5 * (fixed + other)) == 2


def test_both_orders_of_a_pair_in_one_batch_give_what_they_give_one_after_the_other(images, monkeypatch):
    network, pairs = _network(), []
    one_order = network._one_order
    monkeypatch.setattr(network, "_one_order", lambda *given: pairs.append(len(given[0])) or one_order(*given))
    with torch.no_grad():
        expected = network(*images).field
        monkeypatch.setattr(pyramid, "_both_at_once", lambda image: True)
        together = network(*images).field
        assert pairs == [1] * 6 + [2] * 3

        def without_room(fixed, *rest):
            if len(fixed) > 1:
                raise torch.cuda.OutOfMemoryError
            return one_order(fixed, *rest)

        monkeypatch.setattr(network, "_one_order", without_room)
        after_all = network(*images).field
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(together, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(after_all, expected, atol=0, rtol=0)


def test_pairs_of_one_batch_are_what_they_are_alone_however_many_passes_each_needs(images, monkeypatch):
    network, passes = _network(pyramid=[2, 1, 1], further_windows=[3, 3, 3]), []
    one_pass = network._after_pass
    monkeypatch.setattr(network, "_after_pass", lambda *given: passes.append(1) or one_pass(*given))
    for parameter in network.module.flow_layer.parameters():
        torch.nn.init.zeros_(parameter)  # the cues alone, which do gain
    pairs = [(images[0], images[0]), (images[0], images[0].roll(2, 2)), (images[0], images[1])]
    alone, needed = [], []
    for pair in pairs:
        passes.clear()
        alone.append(network(*pair).field.detach())
        needed.append(len(passes))
    together = network(*(torch.cat(part) for part in zip(*pairs))).field.detach()
    assert len(set(needed)) > 1
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "wrong",
    [{"cue_windows": 7}, {"cue_windows": [4]}, {"cue_windows": [1]}, {"further_windows": [4]}, {"further_windows": 3}],
)
def test_windows_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        _network(**wrong)
