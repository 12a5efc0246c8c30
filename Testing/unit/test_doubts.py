"""A pair that was not matched is said to be doubtful wherever its numbers are told."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter, map_coordinates

from Testing.support.html_page import Page
from Testing.support.registration_cases import GEOMETRIES, STRAIGHT, centred_grid, picture_on, smooth_model
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.registration.doubts import doubts
from VoxelMorphRegistrationLib.registration.registrar import register

GRID = centred_grid((32, 32, 32), (1.0, 1.0, 1.0), STRAIGHT)


def texture() -> np.ndarray:
    """Structure everywhere, alike in no two directions."""
    return gaussian_filter(np.random.default_rng(5).standard_normal((48, 48, 48)), 3).astype(np.float32)[
        8:-8, 8:-8, 8:-8
    ]


def shifted(array: np.ndarray) -> np.ndarray:
    return map_coordinates(array, np.indices(array.shape) + 0.8, np.float32, order=1, mode="nearest")


CHANGES = {
    "turned by 90 degrees": lambda array: np.rot90(array, 1, (1, 2)),
    "turned by 90 degrees about another axis": lambda array: np.rot90(array, 1, (0, 2)),
    "mirrored": lambda array: array[:, :, ::-1],
}


def run(tmp_path, moving: np.ndarray, *options: str) -> int:
    for name, array in (("fixed", texture()), ("moving", moving)):
        sitk.WriteImage(GRID.image(np.ascontiguousarray(array)), str(tmp_path / f"{name}.nrrd"))
    files = [f"--{name}={tmp_path / name}.nrrd" for name in ("fixed", "moving")]
    options = ["--model", "any-anatomy-fast", "--report", str(tmp_path / "r.json"), *options]
    return main(["register", *files, "--output-transform", str(tmp_path / "t.nrrd"), *options])


@pytest.mark.parametrize("change", CHANGES)
def test_a_pair_that_lies_turned_or_mirrored_is_said_to_be_doubtful(tmp_path, capsys, change):
    assert run(tmp_path, CHANGES[change](texture()), "--report", str(tmp_path / "r.html")) == 0
    line = capsys.readouterr().out.strip()
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert "DOUBTFUL" in line and line.endswith("t.nrrd") and "\n" not in line
    assert report["doubts"] and all(doubt in line for doubt in report["doubts"])
    words = Page(tmp_path / "r.html").words
    assert all(doubt in words for doubt in report["doubts"]) and "Nothing stands out" not in words


def test_a_pair_that_matches_has_no_doubts_and_its_line_has_all_three_similarities(tmp_path, capsys):
    assert run(tmp_path, shifted(texture())) == 0
    line = capsys.readouterr().out
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert report["doubts"] == [] and "DOUBTFUL" not in line
    for name, word in (("untouched", "untouched"), ("before", "aligned"), ("after", "after")):
        assert f"{report['similarity'][name]:.4f} {word}" in line


def test_untouched_is_numpy_s_correlation_of_the_pair_as_it_was_given():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    fixed, moving = picture_on(fixed_grid), picture_on(moving_grid, (4.0, -3.0, 2.0))
    result = register(fixed, moving, smooth_model(voxels=0.0), align="rigid")
    similarity = result.similarity
    a, b = (sitk.GetArrayFromImage(image).ravel() for image in (fixed, moving))
    assert similarity["untouched"] == pytest.approx(np.corrcoef(a, b)[0, 1], abs=5e-3)
    assert similarity["untouched"] < similarity["before"]
    assert similarity["before"] == pytest.approx(similarity["after"], abs=1e-6)


def test_without_an_alignment_the_pair_is_untouched_before_the_network():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    result = register(picture_on(fixed_grid), picture_on(moving_grid, (4, -3, 2)), smooth_model(), align="none")
    assert result.similarity["untouched"] == result.similarity["before"]


def test_a_registration_that_folds_or_gains_nothing_is_doubtful():
    gained = {"metric": "nmi", "untouched": 1.2, "before": 1.25, "after": 1.3}
    assert doubts(gained, 0.99, 0.9) == ()
    assert "1.2 % of the voxels fold" in doubts(gained, 1.2, 0.9)[0]
    assert "nothing was gained" in doubts({**gained, "after": 1.2}, 0.0, 0.9)[0]
    assert "hardly agrees" in doubts(gained, 0.0, 0.2)[0]
    assert len(doubts({**gained, "after": float("nan")}, 3.0, 0.2)) == 3


def test_a_network_that_folds_is_doubtful():
    fixed_grid, _ = GEOMETRIES["straight"]
    result = register(picture_on(fixed_grid), picture_on(fixed_grid), smooth_model(voxels=9.0), align="none")
    assert result.folded_percent > 1 and any("fold" in doubt for doubt in result.report()["doubts"])


@pytest.mark.parametrize("refine", [0, 10])
def test_a_mask_beside_the_anatomy_is_a_doubtful_result_and_no_crash(refine):
    values = np.zeros((48, 48, 48), np.float32)
    values[18:34, 18:34, 18:34] = 1 + np.random.default_rng(1).normal(size=(16, 16, 16)) / 5
    beside = np.zeros(values.shape, np.uint8)
    beside[2:6, 2:6, 2:6] = 1
    fixed, moving, mask = (sitk.GetImageFromArray(array) for array in (values, np.roll(values, 2, 0), beside))
    result = register(fixed, moving, smooth_model(), mask=mask, align="none", refine=refine)
    assert result.similarity["after"] == result.similarity["untouched"]
    assert any("nothing was gained" in doubt for doubt in result.doubts)
