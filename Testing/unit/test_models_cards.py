"""Cards: what they allow, what they refuse by file and key, and how a model is put together from them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.models.weights import file_sha256

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "networks"
CARD = {
    "name": "liver",
    "architecture": {
        "class": "VxmDense",
        "ndim": 3,
        "features": [[4, 6], [6, 6, 4]],
        "integration_steps": 7,
        "integration_factor": 1,
        "padding": "border",
    },
    "space": {"tensor_axes": "SPL", "spacing": 2, "extent": None, "multiple": 8},
    "intensity": {"rule": "percentile", "low": 1, "high": 99},
    "weights": "liver.h5",
}


@pytest.fixture
def liver(tmp_path):
    """A folder with weights and a card of the test's own making."""

    def make(**changes):
        shutil.copy(FIXTURES / "dense_full.h5", tmp_path / "liver.h5")
        (tmp_path / "liver.json").write_text(json.dumps({**CARD, **changes}))
        return tmp_path / "liver.json"

    return make


def test_a_card_survives_writing_and_reading(tmp_path):
    card = Card.from_dict({**CARD, "training": {"steps": 5}, "licence": "Apache-2.0", "notes": ["ü"]}, "here")
    card.write(tmp_path / "card.json")
    assert Card.read(tmp_path / "card.json") == card
    assert os.listdir(tmp_path) == ["card.json"]


def test_a_cards_digest_changes_with_what_changes_displacements_and_with_nothing_else():
    card = Card.from_dict(CARD, "card")
    for changes in ({"contrast": "any"}, {"intensity": {"rule": "percentile", "low": 2, "high": 99}}, {"space": {}}):
        assert Card.from_dict({**CARD, **changes}, "card").digest != card.digest
    same = Card.from_dict({**CARD, "title": "Livers", "notes": ["breath hold"], "name": "other"}, "card")
    assert same.digest == card.digest == Card.from_dict(card.to_dict(), "card").digest


@pytest.mark.parametrize("named", ["liver.json", "liver.h5"])
def test_a_model_loads_by_its_card_or_by_its_weights(liver, named):
    model = load_model(liver().parent / named)
    assert model.name == "liver"
    assert model.card.space.tensor_axes == "SPL"
    assert model.card.space.spacing == 2
    assert model.card.space.extent is None
    assert model.card.space.multiple == 8
    assert model.card.intensity.to_dict() == {"rule": "percentile", "low": 1, "high": 99}
    assert model.sha256 == file_sha256(FIXTURES / "dense_full.h5")
    assert (model.device.type, model.passes) == ("cpu", 1)


def test_a_bare_weights_file_is_native_free_and_min_max_normalised():
    model = load_model(FIXTURES / "dense_half_unet.h5")
    assert model.card.space.to_dict() == {"tensor_axes": "native", "spacing": "native", "extent": None, "multiple": 4}
    assert model.card.intensity.to_dict() == {"rule": "minmax"}
    assert "12x16x16" in model.card.notes[0]


def test_options_replace_single_values_of_a_card():
    model = load_model(
        FIXTURES / "dense_half_unet.h5",
        tensor_axes="LIA",
        spacing=[1, 1, 1.5],
        extent=(16, 32, 32),
        intensity={"rule": "divide", "by": 255, "unless_max_below": 2},
        integration_steps=6,
        passes=2,
        name="mine",
    )
    assert (model.name, model.network.squarings, model.passes) == ("mine", 6, 2)
    assert model.card.space.to_dict() == {
        "tensor_axes": "LIA",
        "spacing": [1, 1, 1.5],
        "extent": [16, 32, 32],
        "multiple": 4,
    }
    assert model.card.intensity.by == 255
    assert load_model(FIXTURES / "dense_half_unet.h5", intensity="percentile").card.intensity.high == 99


def test_an_option_that_is_none_is_no_option():
    assert load_model(FIXTURES / "dense_half_unet.h5", spacing=None).card.space.spacing == "native"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"tensor_axis": "LIA"}, "'tensor_axis' is not an option"),
        ({"tensor_axes": "LIL"}, "tensor_axes 'LIL'"),
        ({"intensity": "zscore"}, "rule 'zscore'"),
        ({"extent": (15, 32, 32)}, r"extent \[15, 32, 32\] is not a multiple of 4"),
        ({"multiple": 6}, "multiple is 6; this network needs a multiple of 4"),
    ],
)
def test_an_option_that_cannot_be_is_refused_naming_the_file(options, words):
    with pytest.raises(InputError, match=words) as caught:
        load_model(FIXTURES / "dense_half_unet.h5", **options)
    assert str(FIXTURES / "dense_half_unet.h5") in str(caught.value)


def test_weights_that_are_not_those_of_the_card_are_refused(liver):
    card = liver(sha256="0" * 64)
    with pytest.raises(InputError, match=r"liver\.h5: these are not the weights its card describes \(sha256 "):
        load_model(card)


def test_a_card_without_its_weights_says_which_file_is_missing(liver):
    card = liver()
    (card.parent / "liver.h5").unlink()
    with pytest.raises(InputError, match=r"liver\.h5: there is no such weights file"):
        load_model(card)
    card = liver(weights="")
    (card.parent / "liver.h5").unlink()
    with pytest.raises(InputError, match="no weights file lies beside this card"):
        load_model(card)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"nmae": "liver"}, "'nmae' is not a key"),
        ({"name": "My Liver"}, "name 'My Liver'"),
        ({"name": 3}, "'name' is 3; a str"),
        ({"architecture": "VxmDense"}, "'architecture' is 'VxmDense'; a dict"),
        ({"architecture": {**CARD["architecture"], "ndim": 4}}, "architecture.ndim 4"),
        ({"architecture": {**CARD["architecture"], "passes": 0}}, "architecture.passes 0"),
        ({"space": {"tensor_axes": "XYZ"}}, "space.tensor_axes 'XYZ'"),
        ({"space": {"tensor_axes": "LA"}}, "space.tensor_axes 'LA'; use 'native' or 3 letters"),
        ({"space": {"spacing": 0}}, "space.spacing 0"),
        ({"space": {"spacing": [1, 1]}}, r"space.spacing \[1, 1\]"),
        ({"space": {"spacing": "fine"}}, "space.spacing 'fine'"),
        ({"space": {"extent": [160, 192]}}, r"space.extent \[160, 192\]"),
        ({"space": {"extent": [160, 192, 0]}}, r"space.extent \[160, 192, 0\]"),
        ({"space": {"max_voxels": 0}}, "space.max_voxels 0"),
        ({"space": {"flexible": 1}}, "space.flexible 1"),
        ({"space": {"multiple": 1.5}}, "space.multiple 1.5"),
        ({"space": {"axes": "LIA"}}, "space.axes is not a value"),
        ({"intensity": {}}, "intensity.rule None"),
        ({"intensity": {"rule": "divide"}}, "intensity.by None"),
        ({"intensity": {"rule": "divide", "by": 0}}, "intensity.by is 0"),
        ({"intensity": {"rule": "window", "low": 240, "high": -160}}, "intensity.low 240 is not below"),
        ({"intensity": {"rule": "window", "low": "dark", "high": 2}}, "intensity.low 'dark'"),
        ({"intensity": {"rule": "percentile", "low": 1, "high": 99, "equalise": None}}, "intensity.equalise None"),
        ({"intensity": {"rule": "percentile", "low": 1, "high": 99, "equalise": 1.5}}, "intensity.equalise 1.5"),
        ({"intensity": {"rule": "minmax", "low": 1}}, "intensity.low is not a value of the rule 'minmax'"),
        ({"contrast": "some"}, "contrast 'some'"),
        ({"sha256": "abc"}, "sha256 'abc'"),
        ({"weights": "../liver.h5"}, "weights '../liver.h5'"),
    ],
)
def test_a_card_with_a_wrong_value_is_refused_naming_file_key_and_value(liver, changes, words):
    card = liver(**changes)
    with pytest.raises(InputError, match=words) as caught:
        load_model(card)
    assert str(card) in str(caught.value) and "\n" not in str(caught.value)


def test_a_card_that_lacks_a_key_or_is_no_json_is_refused(tmp_path):
    path = tmp_path / "card.json"
    path.write_text(json.dumps({"name": "liver"}))
    with pytest.raises(InputError, match="'architecture' is missing"):
        load_model(path)
    path.write_text("{name: liver}")
    with pytest.raises(InputError, match="not valid JSON"):
        load_model(path)
    path.write_text("[]")
    with pytest.raises(InputError, match="a JSON object"):
        load_model(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_model(tmp_path / "none.json")


BUNDLED = Path(__file__).resolve().parents[2] / "VoxelMorphRegistration" / "Resources" / "Models"


@pytest.mark.parametrize("name", ["any-anatomy.json", "any-anatomy-fast.json"])
def test_a_card_that_is_read_and_written_again_is_the_same_file(tmp_path, name):
    Card.read(BUNDLED / name).write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == (BUNDLED / name).read_bytes()


@pytest.mark.parametrize("contrast, metric", [("same", "ncc"), ("any", "nmi")])
def test_images_of_any_contrast_are_compared_by_mutual_information(contrast, metric):
    assert Card.from_dict({**CARD, "contrast": contrast}, "here").metric == metric
