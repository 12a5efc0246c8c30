"""What weights files say and what they cannot: readers, and the one error a file that is no network gives."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from voxelmorph.nn.models import VxmPairwise

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.models.weights import read_weights

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "networks"


def refused(path, words):
    """The error has one line, names the file, and holds `words` (a regular expression)."""
    with pytest.raises(InputError, match=words) as caught:
        load_model(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message


@pytest.mark.parametrize(
    "features, inferred",
    [
        ((4, 8, 8), [4, 8, 8]),
        (((4, 8), (8, 6)), [[4, 8], [8, 6]]),
        ((0, 8, 8), [0, 8, 8]),
    ],
)
@pytest.mark.parametrize("dimension", [2, 3])
def test_the_features_of_a_bare_state_dict_are_inferred(tmp_path, features, inferred, dimension):
    reference = VxmPairwise(ndim=dimension, source_channels=1, target_channels=1, nb_features=features).eval()
    torch.save(reference.state_dict(), tmp_path / "trained.pt")
    model = load_model(tmp_path / "trained.pt")
    assert model.card.architecture["features"] == inferred
    images = torch.rand(2, 1, 1, *(16, 24, 16)[:dimension])
    with torch.no_grad():
        velocity = reference(images[0], images[1], return_field_type="svf")
    assert torch.allclose(model.network.flow(images[1], images[0]).field, velocity, atol=1e-8)


def test_what_a_state_dict_cannot_say_is_noted_and_can_be_given(tmp_path):
    reference = VxmPairwise(ndim=3, source_channels=1, target_channels=1, nb_features=(4, 8))
    torch.save(reference.state_dict(), tmp_path / "trained.pt")
    assert "assumed" in load_model(tmp_path / "trained.pt").card.notes[0]
    model = load_model(tmp_path / "trained.pt", integration_steps=7, activation="leaky_relu", negative_slope=0.2)
    assert model.network.squarings == 7
    assert model.card.architecture["activation"] == "leaky_relu"


@pytest.mark.parametrize("wrap", [lambda s: {"state_dict": s}, lambda s: {f"module.{k}": v for k, v in s.items()}])
def test_a_wrapped_state_dict_is_unwrapped(tmp_path, wrap):
    reference = VxmPairwise(ndim=3, source_channels=1, target_channels=1, nb_features=(4, 8))
    torch.save(wrap(reference.state_dict()), tmp_path / "trained.pt")
    assert load_model(tmp_path / "trained.pt").card.architecture["features"] == [4, 8]


def test_sampling_grids_of_the_training_shape_are_dropped(tmp_path):
    content = torch.load(FIXTURES / "torch_half_integration.pt", weights_only=True)
    content["model_state"]["transformer.grid"] = torch.zeros(1, 3, 160, 1, 1)
    torch.save(content, tmp_path / "with_grids.pt")
    assert not any(key.endswith(".grid") for key in read_weights(tmp_path / "with_grids.pt").state)


def test_torch_weights_integrate_with_zeros_and_keras_ones_with_the_border():
    assert load_model(FIXTURES / "torch_half_unet.pt").network.padding == "zeros"
    assert load_model(FIXTURES / "dense_half_unet.h5").network.padding == "border"


def test_h5_weights_without_a_configuration_say_how_to_save_them():
    refused(FIXTURES / "weights_only.h5", r"save_weights\(\).*model\.save\(\).*card")


def test_h5_weights_without_a_configuration_load_with_a_card(tmp_path):
    whole = load_model(FIXTURES / "dense_full.h5")
    shutil.copy(FIXTURES / "weights_only.h5", tmp_path)
    Card("mine", whole.card.architecture, weights="weights_only.h5").write(tmp_path / "weights_only.json")
    state = load_model(tmp_path / "weights_only.h5").network.module.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in whole.network.module.state_dict().items())


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
def test_a_hostile_pickle_is_refused_and_never_run(tmp_path, suffix):
    marker, path = tmp_path / "was-run", tmp_path / f"hostile{suffix}"
    torch.save({"config": Hostile(marker), "model_state": {}}, path)
    refused(path, "Python objects and not weights")
    path.write_bytes(pickle.dumps(Hostile(marker), protocol=2))
    refused(path, "Python objects and not weights|not a torch weights file")
    assert not marker.exists()


def test_a_whole_pickled_network_is_refused_with_the_remedy(tmp_path):
    torch.save(VxmPairwise(ndim=3, source_channels=1, target_channels=1, nb_features=(4, 8)), tmp_path / "whole.pt")
    refused(tmp_path / "whole.pt", r"state_dict\(\)")


@pytest.mark.parametrize("name", ["dense_full.h5", "torch_half_unet.pt"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.98])
def test_a_truncated_file_is_refused(tmp_path, name, part):
    content = (FIXTURES / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(part * len(content))])
    refused(path, "truncated")


@pytest.mark.parametrize("name", ["empty.h5", "empty.pt"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    refused(tmp_path / name, "empty")


@pytest.mark.parametrize("name", ["text.h5", "text.pt"])
def test_a_text_file_is_refused(tmp_path, name):
    (tmp_path / name).write_text("<html>404 Not Found</html>" * 50)
    refused(tmp_path / name, "not an HDF5 file|not a torch weights file")


def test_a_missing_file_and_a_foreign_suffix_are_refused(tmp_path):
    refused(tmp_path / "none.h5", "no such")
    (tmp_path / "network.onnx").write_bytes(b"onnx")
    refused(tmp_path / "network.onnx", r"\.onnx is not a weights file")


@pytest.mark.parametrize(
    "content, words",
    [
        ({"layer.weight": torch.zeros(3)}, "not a VoxelMorph network.*layer.weight"),
        (torch.zeros(3), "holds a Tensor"),
        ([1, 2], "holds a list"),
        ({}, "holds no weights"),
        ({"epoch": 3}, "holds no weights"),
        ({"config": 3, "model_state": {"a": torch.zeros(1)}}, "configuration is a int"),
        ({"config": {"inshape": [32]}, "model_state": {"a": torch.zeros(1)}}, "inshape"),
        ({"unet_model.encoder.0.0.main.weight": torch.zeros(1)}, "VxmDense weights without their configuration"),
    ],
)
def test_a_torch_file_that_is_no_network_is_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "file.pt")
    refused(tmp_path / "file.pt", words)


def edited(tmp_path, edit):
    """A copy of a fixture with its Keras configuration changed by `edit`."""
    path = tmp_path / "edited.h5"
    shutil.copy(FIXTURES / "dense_full.h5", path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(edit(json.loads(file.attrs["model_config"])))
    return path


@pytest.mark.parametrize(
    "edit, words",
    [
        (lambda c: {**c, "class_name": "HyperVxmDense"}, "class HyperVxmDense are not supported"),
        (lambda c: {**c, "class_name": "TemplateCreation"}, "class TemplateCreation are not supported"),
        (lambda c: {**c, "config": {**c["config"], "src_feats": 3}}, "src_feats is 3"),
        (lambda c: {**c, "config": {**c["config"], "svf_resolution": 4}}, "svf_resolution 4"),
        (lambda c: {**c, "config": {**c["config"], "nb_unet_features": [[4, 6], [6, 6, 6, 4]]}}, "6 convolutions.* 7"),
        (lambda c: {**c, "config": {**c["config"], "nb_unet_features": [[4, 8], [6, 6, 4]]}}, "do not fit"),
        (lambda c: {"class_name": "Sequential", "config": {}}, "class Sequential"),
        (lambda c: {"class_name": "Model", "config": {"layers": []}}, "not one of VoxelMorph's"),
        (lambda c: ["nothing"], "configuration cannot be read"),
    ],
)
def test_an_h5_file_of_another_network_is_refused_by_name(tmp_path, edit, words):
    refused(edited(tmp_path, edit), words)


def test_an_h5_file_that_is_data_is_refused(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["volume"] = np.zeros((4, 4))
    refused(tmp_path / "data.h5", "not a Keras network")


def test_freesurfers_synthmorph_is_refused_by_its_name(tmp_path):
    path = tmp_path / "synthmorph.deform.3.h5"
    path.write_bytes(b"x")
    refused(path, "FreeSurfer's SynthMorph")


def test_the_released_networks_are_recognised_and_run(shared_weights):
    brain = load_model(shared_weights / "vxm_dense_brain_T1_3D_mse.h5")
    old = load_model(shared_weights / "cvpr2018_vm2_cc.h5")
    assert (brain.name, old.name) == ("brain-t1", "cvpr2018-vm2-cc")
    assert brain.card.space.to_dict() == {"tensor_axes": "LIA", "spacing": 1, "extent": [160, 192, 224], "multiple": 16}
    image = torch.rand(1, 1, 16, 32, 32)
    flow = brain.network.flow(image, image.flip(2))
    assert (flow.kind, flow.factor, flow.padding, flow.squarings) == ("velocity", 2, "border", 7)
    assert old.network.flow(image, image.flip(2)).kind == "displacement"
