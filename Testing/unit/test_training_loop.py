"""The training loop: budgets, what is kept, and going on after an interruption."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.training import parse_budget
from VoxelMorphRegistrationLib.training.budget import Budget
from VoxelMorphRegistrationLib.training.initialisation import new_network
from VoxelMorphRegistrationLib.training.loop import Loop, LoopSettings
from VoxelMorphRegistrationLib.training.losses import Loss
from VoxelMorphRegistrationLib.training.pretraining import Pretraining
from VoxelMorphRegistrationLib.training.synthesis import SynthesisSettings
from VoxelMorphRegistrationLib.training.synthetic_pairs import ARCHITECTURE, PretrainingSettings

LIBRARY = Path(__file__).resolve().parents[2] / "VoxelMorphRegistration"
TINY = {**ARCHITECTURE, "features": [[4, 8], [8, 8]], "pyramid": [2, 1]}
SETTINGS = PretrainingSettings(
    architecture=TINY,
    synthesis=SynthesisSettings(shape=(16, 16, 16), margin=2),
    loop=LoopSettings(learning_rate=3e-3, warmup=1, check_every=3),
    schedules=((2, 1),),
    held_back=2,
    half_precision=False,
)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("5min", Budget(seconds=300)),
        ("90s", Budget(seconds=90)),
        ("2h", Budget(seconds=7200)),
        ("500steps", Budget(steps=500)),
        (" 1.5 min ", Budget(seconds=90)),
        ("1step", Budget(steps=1)),
    ],
)
def test_a_budget_is_a_time_or_a_number_of_steps(text, budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "5", "min", "-3min", "0steps", "1.5steps", "5 parsecs", "infs"])
def test_a_budget_that_cannot_be_read_is_refused_with_an_example(text):
    with pytest.raises(InputError, match="500steps"):
        parse_budget(text)


class MadeUp:
    """Data of one loss, a function of the network, judged by another."""

    def __init__(self, loss, judgement):
        self.loss, self.judgement = loss, judgement

    def losses(self, network, spent):
        yield Loss(self.loss(network), {})

    def evaluate(self, network):
        return {"loss": self.judgement()}


def sum_of_squares(network):
    return sum(parameter.pow(2).sum() for parameter in network.parameters())


def _weights(run: Pretraining) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in run.loop.network.state_dict().items()}


def test_the_same_seed_and_steps_give_the_same_weights(tmp_path):
    runs = [Pretraining(SETTINGS, Budget(steps=4), tmp_path / name) for name in "ab"]
    for run in runs:
        run.run()
    one, other = map(_weights, runs)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_training_leaves_the_random_generator_of_the_process_alone(tmp_path):
    before = torch.get_rng_state()
    Pretraining(SETTINGS, Budget(steps=1), tmp_path).run()
    assert torch.equal(torch.get_rng_state(), before)


def test_an_interrupted_run_goes_on_from_its_checkpoint_to_the_same_weights(tmp_path):
    # Pairs are two steps here: a run stopped at 6 of 12 continues where a pair ends.
    stopped = Pretraining(SETTINGS, Budget(steps=12), tmp_path / "cut")
    stopped.run(cancelled=lambda: stopped.loop.progress.step >= 6)
    resumed = Pretraining(SETTINGS, Budget(steps=12), tmp_path / "cut")
    assert resumed.loop.resume()
    assert resumed.loop.progress.step == 6
    resumed.loop.run()
    uncut = Pretraining(SETTINGS, Budget(steps=12), tmp_path / "uncut")
    uncut.run()
    one, other = _weights(resumed), _weights(uncut)
    assert all(torch.allclose(one[key], other[key], atol=1e-6) for key in one)


def test_a_run_leaves_a_model_that_loads_and_a_log(tmp_path):
    Pretraining(SETTINGS, Budget(steps=3), tmp_path).run()
    model = load_model(tmp_path / "model.pt")
    assert model.card.contrast == "any"
    assert model.card.training["steps"] == 3
    image = torch.rand(1, 1, 16, 16, 16)
    assert model.network.flow(image, image).field.shape == (1, 3, 16, 16, 16)
    with open(tmp_path / "log.csv", newline="") as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["0", "3"]


def test_the_loop_keeps_the_best_weights_it_met_and_those_it_began_with_count():
    network = new_network(TINY, 0)
    start = {key: value.clone() for key, value in network.state_dict().items()}
    worse = iter(range(100))
    data = MadeUp(sum_of_squares, lambda: float(next(worse)))
    Loop(network, data, LoopSettings(check_every=2), Budget(steps=6)).run()
    assert all(torch.equal(start[key], value) for key, value in network.state_dict().items())


def test_the_loop_ends_when_the_held_back_loss_has_not_improved_for_a_while():
    network = new_network(TINY, 0)
    data = MadeUp(sum_of_squares, lambda: 1.0)
    loop = Loop(network, data, LoopSettings(check_every=2, patience=3), Budget(steps=1000))
    assert loop.run().step == 6


def test_a_loss_that_is_not_a_number_moves_no_weight():
    network = new_network(TINY, 0)
    start = {key: value.clone() for key, value in network.state_dict().items()}
    data = MadeUp(lambda net: sum(parameter.sum() for parameter in net.parameters()) * float("nan"), lambda: 0.0)
    Loop(network, data, LoopSettings(), Budget(steps=2)).run()
    assert all(torch.equal(start[key], value) for key, value in network.state_dict().items())


def test_the_command_line_trains_and_says_what_it_cannot_read(tmp_path):
    command = [sys.executable, "-m", "VoxelMorphRegistrationLib.training", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1"}
    bad = subprocess.run([*command, "--budget", "soon"], env=environment, capture_output=True, text=True)
    assert bad.returncode == 1
    assert "soon" in bad.stderr and len(bad.stderr.strip().splitlines()) == 1
    good = subprocess.run(
        [*command, "--budget", "2steps", "--size", "16", "--features", "4,8/8,8", "--held-back", "1", "--threads", "1"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert good.returncode == 0, good.stderr
    assert json.loads((tmp_path / "run" / "model.json").read_text(encoding="utf-8"))["training"]["steps"] == 2


def test_a_network_grown_from_a_smaller_one_begins_by_doing_what_that_one_does(tmp_path):
    small = new_network({**TINY, "cue_windows": [5]}, seed=1)
    with torch.no_grad():
        for parameter in small.module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    torch.save(small.module.state_dict(), tmp_path / "small.pt")
    settings = replace(SETTINGS, architecture={**TINY, "features": [[6, 8], [8, 8]], "cue_windows": [5, 3]})
    grown = Pretraining(settings, Budget(steps=1), tmp_path / "run", start=tmp_path / "small.pt").loop.network

    images = torch.rand(2, 1, 1, 16, 16, 16)
    expected, begun = (network.flow(*images).field for network in (small, grown))
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(begun, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("features", [[[6, 8], [8, 8]], [[4, 8], [8, 6]], [[4, 8, 8], [8, 8, 8]]])
def test_weights_that_are_no_smaller_form_of_the_network_are_refused_by_name(features, tmp_path):
    torch.save(new_network({**TINY, "features": features}, seed=1).module.state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt.*no smaller form"):
        Pretraining(SETTINGS, Budget(steps=1), tmp_path / "run", start=tmp_path / "other.pt")
