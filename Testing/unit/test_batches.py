"""Pairs that go through a network together find what they find alone, and as many go as a GPU has room for."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.networks.batches import in_halves, pairs_together
from VoxelMorphRegistrationLib.propagation.motion_model_look import CoarseLook
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings

SHAPE = (24, 32, 32)


def body(place: float) -> sitk.Image:
    middle = [n / 2 + move for n, move in zip(reversed(SHAPE), (place, 0, place / 2))]
    draw = np.random.default_rng(0).normal(size=SHAPE)
    image = sitk.GaussianSource(sitk.sitkFloat32, SHAPE[::-1], [7.0, 6.0, 5.0], middle, 100.0)
    return image + sitk.GetImageFromArray(draw.astype(np.float32))


@pytest.fixture(scope="module")
def registrar() -> Registrar:
    return Registrar("any-anatomy-fast", Settings(align="none", device="cpu"))


def test_frames_looked_at_together_are_seen_as_alone(registrar):
    look = CoarseLook(registrar, body(0.0))
    frames = [body(place) for place in (1.0, 2.5, 4.0)]
    alone = np.stack([look.at(frame) for frame in frames]).astype(np.float32)
    together = np.stack(look.at_all([look.seen(frame) for frame in frames])).astype(np.float32)
    assert np.abs(alone).max() > 1
    # They are kept in half precision.
    np.testing.assert_allclose(together, alone, atol=1e-4 * min(look.grid.spacing), rtol=2**-10)


def test_a_pass_of_three_pairs_is_that_of_each():
    network = load_model("any-anatomy-fast").network
    torch.manual_seed(0)
    fixed, moving = torch.nn.functional.interpolate(torch.rand(6, 1, 4, 4, 4), size=(16, 16, 16)).split(3)
    with torch.no_grad():
        together = network.improve(fixed, moving, None, 2)
        alone = [network.improve(one, other, None, 2) for one, other in zip(fixed.split(1), moving.split(1))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


def test_what_does_not_fit_is_done_in_halves_and_in_order():
    tried = []

    def run(given):
        tried.append(len(given))
        if len(given) > 2:
            raise torch.cuda.OutOfMemoryError
        return [10 * one for one in given]

    assert in_halves(run, range(7)) == [0, 10, 20, 30, 40, 50, 60]
    assert tried == [7, 3, 1, 2, 4, 2, 2]
    with pytest.raises(torch.cuda.OutOfMemoryError):
        in_halves(lambda given: run([0] * 3), [0])


@pytest.mark.parametrize(
    ("free", "voxels", "expected"), [(80e9, 32**3, 64), (2e9, 64**3, 1), (4e9, 32**3, 25), (0, 1, 1)]
)
def test_a_batch_is_as_large_as_half_of_the_free_memory(monkeypatch, free, voxels, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free), int(100e9)))
    assert pairs_together(torch.device("cuda:0"), voxels) == expected
    assert pairs_together(torch.device("cpu"), voxels) == 1
