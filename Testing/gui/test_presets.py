"""The row of presets, and what goes before a preset."""

from __future__ import annotations

import sys
import types

import pytest

from Testing.gui import MODULE_FILE


@pytest.fixture
def panel(host, monkeypatch):
    heart = types.SimpleNamespace(title="Heart, beating", description="Phases of one heart; some seconds a frame.")
    quick = types.SimpleNamespace(title="Quick look", description="To see whether it can be registered.")
    presets = types.SimpleNamespace(PRESETS={"heart": heart, "quick": quick})
    monkeypatch.setitem(sys.modules, "VoxelMorphRegistrationLib.registration.presets", presets)
    return host.open_module(MODULE_FILE)


def test_a_preset_says_in_one_sentence_what_it_does_and_is_kept_in_the_scene(host, panel, tmp_path):
    ui = panel.ui
    shown = [ui.presetSelector.itemText(number) for number in range(ui.presetSelector.count)]
    assert shown[1:] == ["Heart, beating", "Quick look"] and not ui.presetInfo.visible
    ui.presetSelector.currentIndex = 1
    assert panel.panel.parameters.preset == "heart" and "Phases of one heart" in ui.presetInfo.text
    host.save_scene(tmp_path / "scene.mrb")
    host.load_scene(tmp_path / "scene.mrb")
    assert ui.presetSelector.currentText == "Heart, beating"


def test_what_is_chosen_under_advanced_goes_before_the_preset_and_nothing_else_does(host, panel):
    from VoxelMorphRegistrationLib.widgets.parameters import Refinement, Start

    parameters = panel.panel.parameters
    assert parameters.registration_options() == ["--device", "auto", "--align", "rigid"]
    parameters.preset = "heart"
    assert parameters.registration_options() == ["--device", "auto", "--preset", "heart"]
    parameters.refinement, parameters.start = Refinement.NONE, Start.AFFINE
    assert parameters.registration_options()[4:] == ["--align", "affine", "--refine", "0"]
