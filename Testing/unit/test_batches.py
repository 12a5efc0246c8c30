"""Pairs that go through a network together find what they find alone, and as many go as a GPU has room for."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.networks.batches import in_halves, pairs_together
from VoxelMorphRegistrationLib.propagation.motion_model_fields import KeyFields
from VoxelMorphRegistrationLib.propagation.motion_model_look import CoarseLook
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings
from VoxelMorphRegistrationLib.space.displacement import from_array
from VoxelMorphRegistrationLib.space.grid import Grid

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


@pytest.mark.parametrize("grids", ["the same", "another"])
def test_key_frames_displacements_are_added_on_a_device_as_by_numpy(grids):
    draw = np.random.default_rng(0)
    grid = Grid((6, 5, 4), (1.0, 2.0, 3.0), (0.0,) * 3, tuple(np.eye(3).ravel()))
    vectors = draw.normal(size=(3, 4, 5, 6, 3)).astype(np.float32)
    weights = np.array([0.5, -0.25, 2.0])
    fields = KeyFields(torch.device("cpu"))
    fields._sent = []  # as on a GPU
    for one in vectors[:2]:
        fields.add(from_array(one, grid))
    fields.weighted(weights[:2], grid)
    fields.add(from_array(vectors[2], grid))
    if grids == "another":  # of twice as many voxels, the fields' own among them
        other = Grid((11, 9, 7), (0.5, 1.0, 1.5), (0.0,) * 3, grid.direction)
        found = sitk.GetArrayFromImage(fields.weighted(weights, other))[::2, ::2, ::2]
    else:
        found = sitk.GetArrayFromImage(fields.weighted(weights, grid))
        assert len(fields._sent) == 3
    np.testing.assert_allclose(found, np.tensordot(weights, vectors, 1), atol=1e-5)


def test_without_room_on_the_device_displacements_are_added_in_the_program_s_memory(monkeypatch):
    grid = Grid((6, 5, 4), (1.0, 2.0, 3.0), (0.0,) * 3, tuple(np.eye(3).ravel()))
    fields = KeyFields(torch.device("cpu"))
    fields._sent = []

    def without_room(*given):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr("VoxelMorphRegistrationLib.propagation.motion_model_fields.sent_array", without_room)
    fields.add(from_array(np.ones((4, 5, 6, 3)), grid))
    assert (sitk.GetArrayFromImage(fields.weighted(np.array([3.0]), grid)) == 3).all()
