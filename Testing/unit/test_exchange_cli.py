"""`slicer-voxelmorph convert` from the command line: what it writes, prints and returns."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.files.displacements import read_displacement
from VoxelMorphRegistrationLib.space.grid import Grid

FIXED = Grid((12, 11, 10), (2.0, 2.5, 3.0), (-10.0, 5.0, 20.0), (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
MOVING = Grid((11, 12, 9), (2.5, 2.2, 3.5), (-12.0, 6.0, 18.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))


@pytest.fixture
def case(tmp_path):
    """A folder with fixed and moving image, and an ANTs list made of known parts."""
    wave = 2 * np.sin(FIXED.points() / 9)
    displacement = FIXED.image(wave.astype(np.float32), vector=True)
    sitk.WriteImage(FIXED.empty_image(), str(tmp_path / "fixed.nii.gz"))
    sitk.WriteImage(MOVING.empty_image(), str(tmp_path / "moving.nii.gz"))
    exchange.write(displacement, tmp_path / "1Warp.nii.gz", "ants")
    affine = sitk.Euler3DTransform((0.0, 10.0, 30.0), 0.05, 0.0, 0.1, (1.0, 2.0, 3.0))
    whole = sitk.AffineTransform(3)
    whole.SetMatrix(affine.GetMatrix())
    whole.SetTranslation(affine.GetTranslation())
    whole.SetCenter(affine.GetCenter())
    sitk.WriteTransform(whole, str(tmp_path / "0GenericAffine.mat"))
    return tmp_path


def convert(case, *options) -> int:
    """`convert` with the ANTs list of the case; words that name a file of the case become its path."""
    words = [str(case / word) if "." in str(word) and not str(word).startswith("[") else str(word) for word in options]
    return main(["convert", *words])


ANTS_LIST = ("--input", "1Warp.nii.gz", "0GenericAffine.mat", "--reference", "fixed.nii.gz")


def test_an_ants_list_becomes_one_displacement_that_slicer_opens(case, capsys):
    assert convert(case, *ANTS_LIST, "--to", "slicer", "--output", "transform.nrrd") == 0
    written = read_displacement(case / "transform.nrrd")
    expected = exchange.read([case / "1Warp.nii.gz", case / "0GenericAffine.mat"], "ants", FIXED)
    np.testing.assert_allclose(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(expected), atol=1e-5)
    assert "12 x 11 x 10" in capsys.readouterr().out


def test_the_sampling_grid_is_that_of_the_python_function(case):
    options = ("--to", "torch", "--moving", "moving.nii.gz", "--align-corners", "no", "--output", "grid.npy")
    assert convert(case, *ANTS_LIST, *options) == 0
    displacement = exchange.read([case / "1Warp.nii.gz", case / "0GenericAffine.mat"], "ants", FIXED)
    expected = exchange.to_sampling_grid(displacement, FIXED, MOVING, align_corners=False)
    np.testing.assert_allclose(np.load(case / "grid.npy"), expected.numpy(), atol=1e-6)


def test_an_inverse_flag_is_understood_as_ants_writes_it(case):
    flagged = f"[{case / '0GenericAffine.mat'},1]"
    options = ("--reference", "moving.nii.gz", "--to", "ants", "--output", "inverse.mat")
    assert main(["convert", "--input", flagged, *[str(case / w) if "." in w else w for w in options]]) == 0
    forward = sitk.ReadTransform(str(case / "0GenericAffine.mat"))
    inverse = sitk.ReadTransform(str(case / "inverse.mat"))
    point = (5.0, 6.0, 7.0)
    np.testing.assert_allclose(inverse.TransformPoint(forward.TransformPoint(point)), point, atol=1e-3)


def test_landmarks_go_to_the_moving_image_and_come_back(case, capsys):
    (case / "points.csv").write_text("label,l,p,s\nfirst,-4,16,30\nsecond,-8,20,34\n")
    assert convert(case, *ANTS_LIST, "--points", "points.csv", "--output", "moved.mrk.json") == 0
    assert "places in the moving image" in capsys.readouterr().out
    moved = json.loads((case / "moved.mrk.json").read_text(encoding="utf-8"))["markups"][0]
    assert moved["coordinateSystem"] == "LPS"
    field = sitk.DisplacementFieldTransform(
        sitk.Cast(sitk.ReadImage(str(case / "1Warp.nii.gz")), sitk.sitkVectorFloat64)
    )
    chain = sitk.CompositeTransform([sitk.ReadTransform(str(case / "0GenericAffine.mat")), field])
    for point, start in zip(moved["controlPoints"], ((-4.0, 16.0, 30.0), (-8.0, 20.0, 34.0))):
        np.testing.assert_allclose(point["position"], chain.TransformPoint(start), atol=1e-3)
    back = ("--points", "moved.mrk.json", "--points-on", "moving", "--output", "back.mrk.json")
    assert convert(case, *ANTS_LIST, *back) == 0
    returned = json.loads((case / "back.mrk.json").read_text(encoding="utf-8"))["markups"][0]["controlPoints"]
    np.testing.assert_allclose([point["position"] for point in returned], [(-4, 16, 30), (-8, 20, 34)], atol=1e-3)


def test_what_the_target_cannot_hold_is_a_note_on_stderr(case, capsys):
    options = ("--input", "0GenericAffine.mat", "--reference", "fixed.nii.gz", "--to", "itk", "--output", "affine.nrrd")
    assert convert(case, *options) == 0
    assert "note: " in (error := capsys.readouterr().err)
    assert "is an affine" in error


def test_bad_input_is_one_line_and_exit_1(case, capsys):
    wrong = ("--input", "0GenericAffine.mat", "1Warp.nii.gz", "--reference", "fixed.nii.gz")
    assert convert(case, *wrong, "--to", "itk", "--output", "out.nrrd") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "impossible order" in error
    assert not (case / "out.nrrd").exists()


@pytest.mark.parametrize("chosen", [(), ("--to", "itk", "--points", "points.csv")])
def test_neither_or_both_of_to_and_points_is_wrong_usage(case, chosen):
    try:
        status = convert(case, *ANTS_LIST, *chosen, "--output", "out.nrrd")
    except SystemExit as leaving:
        status = leaving.code
    assert status == 2
