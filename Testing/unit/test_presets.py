"""Presets: settings by what is registered, which single options given beside them change."""

from __future__ import annotations

import json

import pytest

from Testing.support.registration_cases import GEOMETRIES, picture_on
from VoxelMorphRegistrationLib import Settings
from VoxelMorphRegistrationLib.cli.main import main, parse
from VoxelMorphRegistrationLib.cli.options import settings_from
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.images import write_image
from VoxelMorphRegistrationLib.registration.presets import PRESETS

PAIR = ["register", "--fixed", "f.nrrd", "--moving", "m.nrrd", "--output-transform", "t.nrrd"]


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_is_the_same_on_the_command_line_and_in_python(name):
    typed = Settings(**settings_from(parse([*PAIR, "--preset", name])))
    made = Settings.of_preset(name)
    assert (typed.refine, typed.refine_similarity, typed.preset) == (made.refine, made.refine_similarity, name)
    assert typed.align == made.align


@pytest.mark.parametrize("order", [1, -1])
def test_an_option_beside_a_preset_is_taken_in_either_order(order):
    options = [["--preset", "lung"], ["--refine", "7"]][::order]
    settings = settings_from(parse([*PAIR, *options[0], *options[1]]))
    assert (settings["align"], settings["refine"]) == ("affine", 7)


def test_the_quick_look_takes_the_fast_network_unless_another_is_named():
    assert parse([*PAIR, "--preset", "quick"]).model == "any-anatomy-fast"
    assert parse([*PAIR, "--preset", "quick", "--model", "any-anatomy"]).model == "any-anatomy"


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="abdomen, heart, lung, brain, two-contrasts, quick"):
        Settings.of_preset("liver")
    with pytest.raises(InputError, match="unknown"):
        Settings(preset="liver")


def test_the_report_names_the_preset_and_what_was_done(tmp_path):
    grid, _ = GEOMETRIES["straight"]
    fixed, moving = tmp_path / "f.nrrd", tmp_path / "m.nrrd"
    write_image(picture_on(grid), fixed)
    write_image(picture_on(grid, (2, -1, 1)), moving)
    where = ["--fixed", str(fixed), "--moving", str(moving), "--output-transform", str(tmp_path / "t.nrrd")]
    chosen = ["--preset", "abdomen", "--model", "any-anatomy-fast", "--refine", "6"]
    assert main(["register", *where, *chosen, "--report", str(tmp_path / "r.json")]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["preset"] == "abdomen" and report["alignment"] == "none"
    assert report["start"] in ("network", "coarse LNCC", "discrete search")
    assert report["refinement"]["updates"] == 6 and report["refinement"]["similarity"] == "lncc"
