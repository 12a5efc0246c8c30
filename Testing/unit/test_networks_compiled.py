"""Where OpenVINO is installed, shapes that come up often are predicted by it; PyTorch says what must come out."""

from __future__ import annotations

import copy
import importlib.util
import platform

import pytest
import torch

from VoxelMorphRegistrationLib.networks import build_network, compiled

FEATURES = [[8, 16], [16, 16, 8]]
ARCHITECTURES = [
    {"class": "VxmDense", "ndim": 3, "features": FEATURES},
    {"class": "VxmPairwise", "ndim": 3, "features": [8, 16]},
]
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None or platform.machine() not in ("x86_64", "AMD64"),
    reason="openvino is not installed, or this is no x86: pip install openvino",
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(compiled, "_OFTEN", 1)


def network_and_pair(architecture: dict):
    torch.manual_seed(0)
    network = build_network(architecture)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network, *torch.rand(2, 1, 1, 16, 12, 20)


@needs_openvino
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one["class"])
def test_the_compiled_network_predicts_what_the_plain_one_does(architecture):
    network, fixed, moving = network_and_pair(architecture)
    with torch.no_grad():
        plain = network(fixed, moving).field
    for _ in range(3):
        found = network.flow(fixed, moving).field
    assert network.compiled._made
    assert (found - plain).abs().max() < 1e-4


@needs_openvino
def test_weights_that_change_are_not_predicted_with_as_they_were():
    network, fixed, moving = network_and_pair(ARCHITECTURES[0])
    for _ in range(3):
        network.flow(fixed, moving)
    with torch.no_grad():
        network.module.flow.bias.add_(1.0)
        plain = network(fixed, moving).field
    assert (network.flow(fixed, moving).field - plain).abs().max() < 1e-4


def test_a_network_is_copied_without_what_was_compiled_for_it():
    network, fixed, moving = network_and_pair(ARCHITECTURES[1])
    found = network.flow(fixed, moving).field
    other = copy.deepcopy(network)
    assert other.compiled is not network.compiled
    assert torch.equal(other.flow(fixed, moving).field, found)


def test_without_openvino_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
    network, fixed, moving = network_and_pair(ARCHITECTURES[0])
    for _ in range(3):
        network.flow(fixed, moving)
    assert not network.compiled._made
