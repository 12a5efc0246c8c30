"""Adaptation to a sequence: it learns its frames, and never ends worse than it began."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.models.loading import Model, load_model
from VoxelMorphRegistrationLib.network_space.space import Space
from VoxelMorphRegistrationLib.training import AdaptationSettings, adapt
from VoxelMorphRegistrationLib.training.initialisation import new_network
from VoxelMorphRegistrationLib.training.loop import LoopSettings

PAIRWISE = {"class": "VxmPairwise", "ndim": 3, "features": [4, 8], "activation": "leaky_relu", "integration_steps": 4}
PYRAMID = {**PAIRWISE, "pyramid": [2, 1]}
DENSE = {
    "class": "VxmDense",
    "ndim": 3,
    "features": [[4, 8], [8, 8, 4]],
    "integration_steps": 4,
    "half_resolution": True,
}
QUICK = AdaptationSettings(
    loop=LoopSettings(learning_rate=2e-3, warmup=1, clip=1.0, average=0.5, check_every=5), window=5
)


def _model(architecture: dict) -> Model:
    if architecture["class"] == "VxmDense":
        from VoxelMorphRegistrationLib.networks import build_network

        torch.manual_seed(0)
        network = build_network(architecture)
        with torch.no_grad():
            network.module.flow.weight.mul_(0.02)
    else:
        network = new_network(architecture, 0)
    card = Card("tiny", architecture, space=Space(multiple=4))
    return Model(card, network, "0" * 64, Path("tiny.pt"))


@pytest.fixture(scope="module")
def frames() -> list[sitk.Image]:
    """A blob with stripes that moves to and fro by two voxels."""
    k, j, i = np.mgrid[:16, :16, :16]
    images = []
    for t in range(7):
        shift = 2.0 * np.sin(np.pi * t / 6)
        blob = np.exp(-((k - 8 - shift) ** 2 + (j - 8) ** 2 + (i - 8) ** 2) / 18)
        images.append(sitk.GetImageFromArray((blob * (2 + np.sin(1.1 * (k - shift) + 0.7 * i))).astype(np.float32)))
    return images


@pytest.mark.parametrize("architecture", [PAIRWISE, PYRAMID, DENSE], ids=["pairwise", "pyramid", "dense"])
def test_a_network_learns_the_frames_it_is_given(frames, architecture):
    adapted = adapt(_model(architecture), frames, reference=0, budget="40steps", settings=QUICK)
    losses = adapted.card.training["held_back_loss"]
    assert losses["after"] < losses["before"]
    assert adapted.card.training["steps"] == 40


def test_adaptation_leaves_the_model_it_began_with_alone(frames):
    model = _model(PAIRWISE)
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    adapt(model, frames, reference=0, budget="5steps", settings=QUICK)
    assert all(torch.equal(before[key], value) for key, value in model.network.state_dict().items())


def test_adaptation_that_makes_things_worse_gives_back_the_network_it_began_with(frames):
    model = _model(PAIRWISE)
    reckless = replace(QUICK, loop=replace(QUICK.loop, learning_rate=100.0, average=0.0, clip=1e9))
    adapted = adapt(model, frames, reference=0, budget="10steps", settings=reckless)
    losses = adapted.card.training["held_back_loss"]
    assert losses["after"] <= losses["before"]
    assert all(torch.isfinite(value).all() for value in adapted.network.state_dict().values())


def test_a_budget_in_steps_with_the_same_seed_gives_the_same_weights(frames):
    one, again = (
        adapt(_model(PAIRWISE), frames, reference=3, budget="6steps", settings=replace(QUICK, seed=4)) for _ in range(2)
    )
    assert one.sha256 == again.sha256


def test_held_back_frames_are_not_learned_from(frames):
    training = adapt(_model(PAIRWISE), frames, reference=2, budget="1step", settings=QUICK).card.training
    assert training["held_back_frames"]
    assert not set(training["held_back_frames"]) & set(training["frames"])
    assert 2 not in training["frames"] + training["held_back_frames"]


def test_the_saved_model_loads_and_gives_the_same_flow(frames, tmp_path):
    adapted = adapt(_model(PYRAMID), frames, reference=0, budget="5steps", settings=QUICK, output=tmp_path / "mine.pt")
    loaded = load_model(tmp_path / "mine.pt")
    assert loaded.sha256 == adapted.sha256
    assert loaded.card.training["adapted_from"]["name"] == "tiny"
    image = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(loaded.network.flow(image, image).field, adapted.network.flow(image, image).field)


def test_progress_is_told_and_cancelling_keeps_the_best_so_far(frames):
    told = []
    adapted = adapt(
        _model(PAIRWISE),
        frames,
        reference=0,
        budget="100steps",
        settings=QUICK,
        progress=lambda share, row: told.append((share, row["loss"])),
        cancelled=lambda: len(told) >= 3,
    )
    assert [round(share, 2) for share, _ in told] == [0.01, 0.02, 0.03]
    losses = adapted.card.training["held_back_loss"]
    assert losses["after"] <= losses["before"]


def test_two_frames_are_enough(frames):
    adapted = adapt(_model(PAIRWISE), frames[:2], reference=1, budget="2steps", settings=QUICK)
    assert adapted.card.training["frames"] == [0]


@pytest.mark.parametrize("reference", [7, -8])
def test_a_reference_that_is_not_a_frame_is_refused(frames, reference):
    with pytest.raises(InputError, match="reference"):
        adapt(_model(PAIRWISE), frames, reference=reference, budget="1step")


def test_a_network_without_velocity_is_refused(frames):
    with pytest.raises(InputError, match="displacement"):
        adapt(_model({**PAIRWISE, "integration_steps": 0}), frames, reference=0, budget="1step")
