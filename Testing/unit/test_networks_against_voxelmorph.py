"""Fields of the loaded networks against those VoxelMorph's own versions computed (Testing/fixtures/networks)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from VoxelMorphRegistrationLib.models.loading import load_model

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "networks"
TENSORFLOW = sorted(path.stem for path in FIXTURES.glob("*.h5") if path.with_suffix(".npz").exists())
TORCH = sorted(path.stem for path in FIXTURES.glob("*.pt"))
# A voxel; the field reaches several.
TOLERANCE = 1e-5
pytestmark = pytest.mark.usefixtures("one_thread")


def images(shape):
    with np.load(FIXTURES / f"images_{len(shape)}d.npz") as arrays:
        return tuple(torch.from_numpy(arrays[key])[None, None] for key in ("fixed", "moving"))


def expected(name, key="field"):
    with np.load(FIXTURES / f"{name}.npz") as arrays:
        return np.moveaxis(arrays[key], -1, 0)


@pytest.mark.parametrize("name", TENSORFLOW)
def test_an_h5_network_gives_the_field_tensorflow_gives(name):
    field = expected(name)
    fixed, moving = images(field.shape[1:])
    displacement = load_model(FIXTURES / f"{name}.h5").network.flow(fixed, moving).displacement(field.shape[1:])
    assert np.abs(field).max() > 2
    assert np.abs(displacement[0].numpy() - field).max() < TOLERANCE


@pytest.mark.parametrize("name", TORCH)
def test_a_pt_network_gives_the_field_voxelmorphs_torch_version_gives(name):
    field = expected(name)
    fixed, moving = images(field.shape[1:])
    displacement = load_model(FIXTURES / f"{name}.pt").network.flow(fixed, moving).displacement(field.shape[1:])
    assert np.abs(field).max() > 2
    assert np.abs(displacement[0].numpy() - field).max() < TOLERANCE


def test_the_inverse_is_the_field_a_bidirectional_network_warps_the_target_with():
    field = expected("dense_bidirectional", "inverse")
    fixed, moving = images(field.shape[1:])
    flow = load_model(FIXTURES / "dense_bidirectional.h5").network.flow(fixed, moving)
    assert np.abs(flow.inverse(field.shape[1:])[0].numpy() - field).max() < TOLERANCE


def test_a_network_without_integration_has_no_inverse():
    fixed, moving = images((12, 16, 16))
    flow = load_model(FIXTURES / "dense_displacement.h5").network.flow(fixed, moving)
    assert flow.kind == "displacement"
    assert flow.inverse((12, 16, 16)) is None


def test_the_wrong_padding_is_seen_in_the_field():
    field = expected("dense_full")
    fixed, moving = images(field.shape[1:])
    network = load_model(FIXTURES / "dense_full.h5", padding="zeros").network
    displacement = network.flow(fixed, moving).displacement(field.shape[1:])
    assert np.abs(displacement[0].numpy() - field).max() > 0.05


def test_fixed_and_moving_are_not_interchangeable():
    field = expected("dense_full")
    fixed, moving = images(field.shape[1:])
    displacement = load_model(FIXTURES / "dense_full.h5").network.flow(moving, fixed).displacement(field.shape[1:])
    assert np.abs(displacement[0].numpy() - field).max() > 0.5


def test_fixtures_cover_every_kind_of_file():
    assert len(TENSORFLOW) == 9
    assert len(TORCH) == 3
