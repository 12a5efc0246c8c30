"""What is computed on a GPU is what is computed on the CPU; every test skips where there is no such device."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from Testing.benchmarks.speed.sequence import BreathingBody
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.networks import build_network
from VoxelMorphRegistrationLib.propagation.propagate import propagate
from VoxelMorphRegistrationLib.registration.registrar import register

SHAPE = (24, 32, 32)
TOLERANCE = 0.02  # voxels: convolutions sum in another order, and 8 passes follow each other


@pytest.fixture(params=["cuda:0"])
def device(request) -> str:
    if not torch.cuda.is_available():
        pytest.skip(f"{request.param}: there is no such device here")
    return request.param


@pytest.fixture(scope="module")
def body() -> BreathingBody:
    return BreathingBody(SHAPE, 24)


def test_a_network_predicts_the_same_field(device):
    torch.manual_seed(0)
    network = build_network({"class": "VxmDense", "ndim": 3, "features": [[8, 16, 16], [16, 16, 16, 8, 8]]})
    fixed, moving = torch.rand(2, 1, 1, *SHAPE)
    with torch.no_grad():
        plain = network(fixed, moving).displacement(SHAPE)
    network.to(device)
    found = network.flow(fixed.to(device), moving.to(device)).displacement(SHAPE)
    assert found.dtype == torch.float32 and found.device == torch.device(device)
    assert (found.cpu() - plain).abs().max() < TOLERANCE * float(plain.abs().max().clamp_min(1))


def test_a_pair_gets_the_same_displacement(device, body):
    here = register(body[5], body[0], "any-anatomy-fast", align="none", device="cpu").displacement
    there = register(body[5], body[0], "any-anatomy-fast", align="none", device=device).displacement
    apart = sitk.GetArrayFromImage(here) - sitk.GetArrayFromImage(there)
    assert np.abs(apart).max() < TOLERANCE * min(here.GetSpacing())


@pytest.mark.parametrize("strategy", ["direct", "motion-model"])
def test_a_sequence_gets_the_same_labels(device, body, strategy):
    chosen = range(6) if strategy == "direct" else range(24)
    frames = [body[index] for index in chosen]
    volumes = {}
    for where in ("cpu", device):
        options = {"strategy": strategy, "device": where, "keyframes": 4 if strategy == "motion-model" else None}
        found = propagate(frames, body.labels(), 0, "any-anatomy-fast", **options)
        volumes[where] = [{label: values[0] for label, values in one.quality.labels.items()} for one in found]
    for here, there in zip(volumes["cpu"], volumes[device]):
        assert there == pytest.approx(here, rel=0.02)


def test_memory_on_the_device_does_not_grow_with_the_frames(device, body):
    model = load_model("any-anatomy-fast", torch.device(device))
    held = []
    for _ in propagate([body[index] for index in range(8)], body.labels(), 0, model, device=device):
        held.append(torch.cuda.memory_allocated())
    assert held[-1] <= held[2] * 1.01
