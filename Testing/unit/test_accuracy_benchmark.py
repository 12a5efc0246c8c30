"""What the accuracy benchmark measures by: real pairs, landmarks, folds in physical space, results of several runs."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.benchmarks.accuracy import case_real, run
from Testing.benchmarks.accuracy.cases import Case, points_of
from Testing.benchmarks.accuracy.others import METHODS, Method, from_affine_start
from Testing.benchmarks.accuracy.report import merged
from Testing.benchmarks.accuracy.scores import jacobian_determinant, read_landmark_pair, score

_OBLIQUE = (0.36, 0.48, -0.8, -0.8, 0.6, 0.0, 0.48, 0.64, 0.6)


def oblique_grid(size=(9, 8, 7), spacing=(1.0, 2.0, 4.0)) -> sitk.Image:
    image = sitk.Image(size, sitk.sitkUInt8)
    image.SetSpacing(spacing)
    image.SetOrigin((-20.0, 5.0, 11.0))
    image.SetDirection(_OBLIQUE)
    return image


def displacement_of(matrix: np.ndarray, offset=(0.0, 0.0, 0.0)) -> sitk.Image:
    """u(x) = M x + offset in LPS mm on the oblique grid."""
    grid = oblique_grid()
    field = sitk.GetImageFromArray(points_of(grid) @ np.asarray(matrix).T + np.asarray(offset), isVector=True)
    field.CopyInformation(grid)
    return field


def landmarks_file(path: Path, points: np.ndarray) -> str:
    rows = "\n".join(" ".join(f"{value:.4f}" for value in point) for point in points)
    path.write_text(
        f"# vtk DataFile Version 3.0\nvtk output\nASCII\nDATASET POLYDATA\nPOINTS {len(points)} float\n{rows}\n"
    )
    return str(path)


def inner_points(count: int) -> np.ndarray:
    grid = oblique_grid()
    inside = np.random.default_rng(0).uniform(1, 5, size=(count, 3))
    return np.array([grid.TransformContinuousIndexToPhysicalPoint(index.tolist()) for index in inside])


def test_the_folded_share_is_that_of_physical_space_on_an_oblique_grid():
    shear = np.array([[0.1, 0.4, -0.2], [0.0, -0.3, 0.5], [0.3, 0.0, 0.2]])
    expected = np.linalg.det(np.eye(3) + shear)
    np.testing.assert_allclose(jacobian_determinant(displacement_of(shear)), expected, atol=1e-9)
    by_array_axes = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(displacement_of(shear)))
    assert abs(by_array_axes[3, 3, 3] - expected) > 0.05


@pytest.mark.parametrize(("stretch", "percent"), [(-0.9, 0.0), (-1.1, 100.0)])
def test_a_direction_that_is_turned_round_counts_as_folded(stretch, percent):
    case = Case("turned", "turned", "", "")
    assert score(case, displacement_of(np.diag([stretch, 0.0, 0.0])))["folded_percent"] == percent


def test_landmarks_are_scored_where_the_displacement_takes_the_fixed_ones(tmp_path):
    fixed = inner_points(20)
    matrix, offset = np.array([[0.02, 0.01, 0.0], [0.0, -0.03, 0.0], [0.01, 0.0, 0.02]]), np.array([1.0, -2.0, 0.5])
    moving = fixed + fixed @ matrix.T + offset
    moving[0] += [0.0, 0.0, 4.0]
    paths = landmarks_file(tmp_path / "fixed.vtk", fixed), landmarks_file(tmp_path / "moving.vtk", moving)
    found = score(Case("liver", "liver", "", "", landmarks=paths), displacement_of(matrix, offset))
    assert found["tre_mm"] == pytest.approx(4.0 / 20, abs=1e-3)
    assert found["tre95_mm"] == pytest.approx(np.percentile([0.0] * 19 + [4.0], 95), abs=1e-3)
    assert found["tre_start_mm"] == pytest.approx(np.linalg.norm(moving - fixed, axis=1).mean(), abs=1e-3)


def test_landmarks_that_are_no_pairs_are_refused(tmp_path):
    paths = [landmarks_file(tmp_path / f"{count}.vtk", inner_points(count)) for count in (4, 5)]
    with pytest.raises(ValueError, match="4 landmarks and .* 5"):
        read_landmark_pair(*paths)
    (tmp_path / "empty.vtk").write_text("nothing")
    with pytest.raises(ValueError, match="no points"):
        read_landmark_pair(str(tmp_path / "empty.vtk"), paths[0])


def test_labels_on_another_grid_are_compared_as_the_headers_say(tmp_path):
    fixed = sitk.Image(20, 20, 20, sitk.sitkUInt8)
    fixed[5:15, 5:15, 5:15] = 1
    moving = sitk.Image(16, 16, 16, sitk.sitkUInt8)
    moving[1:11, 1:11, 1:11] = 1
    moving.SetOrigin((4.0, 4.0, 2.0))
    paths = [str(tmp_path / name) for name in ("fixed.nii.gz", "moving.nii.gz")]
    for image, path in zip((fixed, moving), paths):
        sitk.WriteImage(image, path)
    field = sitk.Image(fixed.GetSize(), sitk.sitkVectorFloat32, 3)
    still = score(Case("parts", "parts", "", "", labels={"parts": tuple(paths)}), field)
    assert still["dice parts"] == still["dice_start parts"] == pytest.approx(0.8)
    up = sitk.GetImageFromArray(np.broadcast_to([0.0, 0.0, -2.0], (20, 20, 20, 3)).astype(np.float32), isVector=True)
    assert score(Case("parts", "parts", "", "", labels={"parts": tuple(paths)}), up)["dice parts"] == 1.0


def test_a_method_without_an_affine_of_its_own_gives_the_whole_way_to_the_untouched_image():
    points = points_of(sitk.Image(30, 30, 30, sitk.sitkUInt8))
    blob = np.exp(-(((points - [14, 15, 13]) / [5, 8, 6]) ** 2).sum(-1)) * 100
    fixed = sitk.GetImageFromArray(blob.astype(np.float32))
    moving = sitk.Image(fixed)
    moving.SetOrigin((40.0, -7.0, 3.0))

    def one_more_mm(one, other, contrast):
        field = np.broadcast_to([1.0, 0.0, 0.0], (30, 30, 30, 3))
        return sitk.GetImageFromArray(field, isVector=True), {"seconds": 1.0, "cpu_seconds": 1.0}

    field, spent = from_affine_start(Method(one_more_mm, ""), fixed, moving, "same")
    middle = sitk.GetArrayFromImage(field)[9:18, 9:21, 9:19]
    np.testing.assert_allclose(middle, np.broadcast_to([41.0, -7.0, 3.0], middle.shape), atol=0.2)
    assert spent["seconds"] > 1.0


def test_real_pairs_that_are_not_on_this_machine_are_left_out_with_a_line(tmp_path, capsys):
    assert case_real.pairs(data=tmp_path) == []
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert all("left out" in line and str(tmp_path) in line for line in said)


def test_the_real_pairs_have_landmarks_or_labels(shared_data):
    cases = case_real.pairs(data=shared_data)
    assert len(cases) == 12
    assert len(case_real.pairs(one_of_each=True, data=shared_data)) == 4
    for case in cases:
        assert case.real
        assert (case.landmarks is None) == bool(case.labels)
    assert [len(read_landmark_pair(*case.landmarks)[0]) for case in cases[:4]] == [32, 32, 36, 36]


def test_a_tool_that_is_not_installed_is_left_out_with_its_reason(capsys, monkeypatch):
    monkeypatch.setitem(METHODS, "absent", Method(None, "no-such-package-anywhere"))
    options = Namespace(tools_python=sys.executable, segflow_python=None)
    assert run._is_left_out("absent", options) and run._is_left_out("absent", options)
    assert capsys.readouterr().out.count("absent: left out, no-such-package-anywhere is not installed") == 1
    assert not run._is_left_out("network", options)


def test_results_of_another_run_stay_and_the_real_pairs_come_first():
    def entry(method, case, number, real=False):
        return {"method": method, "case": case, "group": case, "real": real, "number": number}

    earlier = {"runs": {"CT": {"note": "old"}}, "entries": [entry("network", "CT", 1), entry("greedy", "CT", 2)]}
    new = {
        "runs": {"liver": {"note": "new"}},
        "entries": [entry("network", "CT", 3), entry("network", "liver", 4, True)],
    }
    both = merged(earlier, new)
    assert [(e["case"], e["method"], e["number"]) for e in both["entries"]] == [
        ("liver", "network", 4),
        ("CT", "network", 3),
        ("CT", "greedy", 2),
    ]
    assert set(both["runs"]) == {"CT", "liver"}
