"""The row of presets, and what goes before a preset."""

from __future__ import annotations

from VoxelMorphRegistrationLib.registration.presets import PRESETS


def test_a_preset_says_in_one_sentence_what_it_does_and_is_kept_in_the_scene(host, panel, tmp_path):
    ui = panel.ui
    shown = [ui.presetSelector.itemText(number) for number in range(ui.presetSelector.count)]
    assert len(shown) == 1 + len(PRESETS) and not ui.presetInfo.visible
    ui.presetSelector.currentIndex = shown.index(PRESETS["heart"].title)
    assert panel.panel.parameters.preset == "heart" and ui.presetInfo.text == PRESETS["heart"].description
    host.save_scene(tmp_path / "scene.mrb")
    host.load_scene(tmp_path / "scene.mrb")
    assert ui.presetSelector.currentText == PRESETS["heart"].title


def test_what_is_chosen_under_advanced_goes_before_the_preset_and_nothing_else_does(host, panel):
    from VoxelMorphRegistrationLib.widgets.parameters import Refinement, Start

    parameters = panel.panel.parameters
    assert parameters.registration_options() == ["--device", "auto", "--align", "rigid"]
    parameters.preset = "heart"
    assert parameters.registration_options() == ["--device", "auto", "--preset", "heart"]
    parameters.refinement, parameters.start = Refinement.NONE, Start.AFFINE
    assert parameters.registration_options()[4:] == ["--align", "affine", "--refine", "0"]
