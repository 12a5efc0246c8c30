"""The contract `network.flow(fixed, moving) -> Flow`, with voxelmorph's own VxmPairwise as the reference."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from voxelmorph.nn.models import VxmPairwise

from Testing.support.threads import computing_with
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.networks import build_network
from VoxelMorphRegistrationLib.networks.inference import fast_convolutions, predicting

SHAPE = (16, 24, 16)
PAIRWISE = {"class": "VxmPairwise", "ndim": 3, "features": [4, 8, 8], "integration_steps": 5}
DENSE = {"class": "VxmDense", "ndim": 3, "features": [[4, 6], [6, 6, 4]], "integration_factor": 2}
STRIDED = {"class": "Vxm2018", "ndim": 3, "features": [[4, 6], [6, 6, 6, 4]], "integration_steps": 0}


@pytest.fixture(autouse=True)
def reproducible():
    with computing_with(1):
        torch.manual_seed(0)
        yield


def pair(shape=SHAPE):
    return torch.rand(1, 1, *shape), torch.rand(1, 1, *shape)


def vxm_pairwise(**options):
    return VxmPairwise(
        ndim=options.pop("ndim", 3),
        source_channels=1,
        target_channels=1,
        nb_features=(4, 8, 8),
        integration_steps=5,
        flow_initializer=0.5,
        **options,
    )


def strong(architecture):
    """A network whose random flow layer moves by voxels, not by 1e-5."""
    network = build_network(architecture)
    with torch.no_grad():
        if architecture["class"] == "VxmPairwise":
            network.module.flow_layer.conv0.weight.normal_(0, 0.5)
    return network


@pytest.mark.parametrize(
    "activation, options",
    [
        (torch.nn.ReLU, {}),
        (torch.nn.LeakyReLU(0.2), {"activation": "leaky_relu", "negative_slope": 0.2}),
        (torch.nn.ELU, {"activation": "elu"}),
    ],
)
def test_pairwise_gives_the_displacement_and_the_inverse_that_voxelmorph_warps_with(activation, options):
    reference = vxm_pairwise(activations=activation).eval()
    network = build_network({**PAIRWISE, **options}, reference.state_dict())
    fixed, moving = pair()
    with torch.no_grad():
        displacement = reference(moving, fixed)
        inverse = reference.velocity_field_integrator(-reference(moving, fixed, return_field_type="svf"))
    flow = network.flow(fixed, moving)
    assert displacement.abs().max() > 0.5
    assert torch.allclose(flow.displacement(SHAPE), displacement, atol=1e-5)
    assert torch.allclose(flow.inverse(SHAPE), inverse, atol=1e-5)


def test_pairwise_works_in_two_dimensions():
    reference = vxm_pairwise(ndim=2).eval()
    network = build_network({**PAIRWISE, "ndim": 2}, reference.state_dict())
    fixed, moving = pair((32, 40))
    with torch.no_grad():
        displacement = reference(moving, fixed)
    assert torch.allclose(network.flow(fixed, moving).displacement((32, 40)), displacement, atol=1e-5)


def test_the_last_velocity_field_is_not_kept_alive():
    network = strong(PAIRWISE)
    field = weakref.ref(network.flow(*pair()).field)
    gc.collect()
    assert field() is None


@pytest.mark.parametrize("architecture", [PAIRWISE, DENSE, STRIDED], ids=lambda a: a["class"])
def test_flow_has_no_gradient_and_the_forward_pass_has(architecture):
    network = build_network(architecture)
    fixed, moving = pair()
    assert not network.flow(fixed, moving).field.requires_grad
    network(fixed, moving).displacement(SHAPE).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("architecture", [PAIRWISE, DENSE, STRIDED], ids=lambda a: a["class"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_fast_convolutions_give_the_same_field(architecture, dimension):
    network = build_network({**architecture, "ndim": dimension})
    fixed, moving = pair(SHAPE[:dimension])
    with torch.no_grad():
        plain = network(fixed, moving).field
    fast = network.flow(fixed, moving).field
    assert torch.allclose(fast, plain, rtol=1e-4, atol=2e-6 * float(plain.abs().max()))


def test_fast_convolutions_stand_aside_where_gradients_are_wanted():
    image = torch.rand(1, 1, 8, 8, 8)
    weight = torch.rand(2, 1, 3, 3, 3, requires_grad=True)
    with predicting(image), fast_convolutions():
        torch.nn.functional.conv3d(image, weight, padding=1).sum().backward()
    assert weight.grad is not None


def test_fast_convolutions_stand_aside_for_a_padding_they_cannot_express():
    image, weight = torch.rand(1, 1, 8, 8, 8), torch.rand(2, 1, 3, 3, 3)
    with torch.no_grad(), predicting(image), fast_convolutions():
        assert torch.nn.functional.conv3d(image, weight, None, 1, "same").shape == (1, 2, 8, 8, 8)


@pytest.mark.parametrize("architecture, multiple", [(PAIRWISE, 8), (DENSE, 4), (STRIDED, 4)])
def test_a_shape_that_does_not_fit_is_refused_with_the_multiple_it_needs(architecture, multiple):
    network = build_network(architecture)
    assert network.multiple == multiple
    with pytest.raises(InputError, match=rf"multiple of {multiple}"):
        network.flow(*pair((16, 24, 18)))


def test_images_of_different_shapes_or_dimension_are_refused():
    network = build_network(DENSE)
    with pytest.raises(InputError, match="one grid"):
        network.flow(torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 24))
    with pytest.raises(InputError, match="3D network"):
        network.flow(*pair((16, 16)))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"class": "TransMorph"}, "'TransMorph' is not known"),
        ({"ndim": 1}, "ndim is 1"),
        ({"features": "many"}, "features 'many'"),
        ({"features": [[4, 6], [6]]}, "decoder of"),
        ({"half_resolution": True, "integration_steps": 0}, "without integration"),
        ({"half_resolution": True, "integration_factor": 1}, "half resolution"),
        ({"bidir": True}, "'bidir' is not one of its keys"),
        ({"padding": "reflect"}, "padding"),
        ({"integration_steps": -1}, "integration_steps"),
    ],
)
def test_an_architecture_that_cannot_be_built_is_refused_by_name(change, words):
    with pytest.raises(InputError, match=words):
        build_network({**DENSE, **change})


def test_weights_of_other_features_are_refused_naming_the_layer_and_both_shapes():
    state = build_network({**DENSE, "features": [[4, 8], [6, 6, 4]]}).module.state_dict()
    with pytest.raises(InputError, match=r"encoder\.1\.0\.main\.weight.*\(8, 4, 3, 3, 3\).*\(6, 4, 3, 3, 3\)"):
        build_network(DENSE, state)


def test_the_device_is_followed():
    network = build_network(DENSE).to("meta")
    assert network.flow(*(image.to("meta") for image in pair())).field.device.type == "meta"
