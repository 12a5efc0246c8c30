"""elastix' TransformParameters files as elastix itself takes them; every truth is the field of transformix."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.errors import InputError

CASES = Path(__file__).resolve().parents[1] / "fixtures" / "cases" / "elastix"
EULER = CASES / "odd" / "TransformParameters.0.txt"
SPLINE = CASES / "odd" / "nogriddir.0.txt"
FIXED = CASES / "odd" / "fixed.mha"


def read(source, reference=FIXED, **options) -> tuple[np.ndarray, list[str]]:
    with exchange.collected_warnings() as notes:
        displacement = exchange.read(source, reference=reference, **options)
    return sitk.GetArrayFromImage(displacement), notes


def refused(source, reference=FIXED) -> str:
    with pytest.raises(InputError) as caught:
        exchange.read(source, reference=reference)
    assert "\n" not in str(caught.value) and ";" in str(caught.value)
    return str(caught.value)


def truth(name: str) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(CASES / name)))


def changed(folder: Path, path: Path, *replacements: tuple[str, str]) -> Path:
    text = path.read_text(encoding="utf-8")
    for pattern, by in replacements:
        text, count = re.subn(pattern, by, text, flags=re.MULTILINE)
        assert count, pattern
    (folder / path.name).write_bytes(text.encode())
    return folder / path.name


def test_a_transform_of_images_whose_directions_were_left_out_is_turned_back_and_the_guess_said():
    source = CASES / "direction" / "TransformParameters.false.txt"
    field, notes = read(source, CASES / "direction" / "fixed.mha")
    np.testing.assert_allclose(field, truth("direction/truth_false.mha"), atol=1e-4)
    assert len(notes) == 1 and "--moving" in notes[0]
    field, notes = read(source, CASES / "direction" / "fixed.mha", moving=CASES / "direction" / "fixed.mha")
    np.testing.assert_allclose(field, truth("direction/truth_false.mha"), atol=1e-4)
    assert notes == []


def test_a_reference_that_is_not_the_fixed_image_is_no_guess_for_its_directions(tmp_path):
    source, fixed = (
        CASES / "direction" / "TransformParameters.false.txt",
        sitk.ReadImage(str(CASES / "direction" / "fixed.mha")),
    )
    assert "is not its fixed image" in refused(source, fixed[3:, :, :])
    direction = np.reshape(fixed.GetDirection(), (3, 3)).T.ravel()
    said = changed(tmp_path, source, (r"\(Direction .*\)", f"(Direction {' '.join(map(repr, direction.tolist()))})"))
    cropped, _ = read(said, fixed[3:, 2:, 1:])
    np.testing.assert_allclose(cropped, truth("direction/truth_false.mha")[1:, 2:, 3:], atol=1e-4)


def test_a_transform_of_itk_elastix_which_uses_directions_whatever_it_says_is_told_by_its_centre(tmp_path):
    """A registration by itk-elastix with "false" gave such a file; its own result image is that of the turned image."""
    fixed = sitk.ReadImage(str(CASES / "direction" / "fixed.mha"))
    centre = fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()])
    direction = np.reshape(fixed.GetDirection(), (3, 3)).T.ravel()
    source = changed(
        tmp_path,
        CASES / "direction" / "TransformParameters.false.txt",
        (r"\(Direction .*\)", f"(Direction {' '.join(map(repr, direction.tolist()))})"),
        (r"\(CenterOfRotationPoint .*\)", f"(CenterOfRotationPoint {' '.join(map(repr, centre))})"),
    )
    field, notes = read(source, fixed)
    rigid = sitk.Euler3DTransform(centre, 0.1, -0.05, 0.2, (4.0, -3.0, 5.0))
    oracle = sitk.TransformToDisplacementField(
        rigid, sitk.sitkVectorFloat64, fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection()
    )
    np.testing.assert_allclose(field, sitk.GetArrayFromImage(oracle), atol=1e-4)
    assert len(notes) == 1 and "written by itk-elastix" in notes[0]


def test_files_of_a_chain_in_another_order_than_they_name_are_refused(tmp_path):
    first = changed(tmp_path, EULER)
    second = tmp_path / "second.txt"
    second.write_text(first.read_text().replace('"NoInitialTransform"', f'"{first}"'))
    assert "the file given before it" in refused([second, first])
    np.testing.assert_allclose(read([first, second])[0], read(second)[0])


def test_a_parameter_file_that_was_written_over_its_own_transform_is_told_so(tmp_path):
    stored = CASES / "files" / "out" / EULER.name
    source = changed(tmp_path, stored, ('"[^"]*Parameters[.]0[.]h5"', f'"{EULER.name}"'))
    assert 'lost; register again with "tfm" or "h5"' in refused(source)


def test_without_the_word_on_directions_todays_default_is_taken_and_said(tmp_path):
    field, notes = read(changed(tmp_path, EULER, (r"\(UseDirectionCosines.*\n", "")))
    np.testing.assert_allclose(field, read(EULER)[0], atol=1e-6)
    assert len(notes) == 1 and "UseDirectionCosines" in notes[0]


def test_a_transform_in_an_itk_file_of_its_own_is_read_from_there():
    field, notes = read(CASES / "files" / "out" / "TransformParameters.1.txt", CASES / "files" / "fixed.mha")
    np.testing.assert_allclose(field, truth("files/out_truth.mha"), atol=1e-5)
    assert notes == []


@pytest.mark.parametrize("name", ["out/TransformParameters.1.h5", r"C:\\\\results\\\\TransformParameters.1.h5"])
def test_files_that_were_moved_together_are_found_whatever_path_they_had(tmp_path, name):
    for path in (CASES / "files" / "out").iterdir():
        shutil.copy(path, tmp_path)
    source = changed(tmp_path, tmp_path / "TransformParameters.1.txt", ('"out/TransformParameters.1.h5"', f'"{name}"'))
    field, notes = read(source, CASES / "files" / "fixed.mha")
    np.testing.assert_allclose(field, truth("files/out_truth.mha"), atol=1e-5)
    assert notes == []


def test_another_file_of_the_same_name_in_the_current_folder_is_not_taken_and_said(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    first = changed(tmp_path / "run", EULER)
    second = changed(tmp_path, EULER, ("NoInitialTransform", first.name)).rename(tmp_path / "run" / "second.txt")
    expected, notes = read(second)
    assert notes == []
    changed(tmp_path, EULER, (r"4\.0 -3\.0 5\.0", "0 0 0"))
    monkeypatch.chdir(tmp_path)
    field, notes = read(second)
    np.testing.assert_array_equal(field, expected)
    assert "differs from it" in notes[0]


def test_an_empty_name_of_the_initial_transform_is_none_and_the_order_given_is_the_chain():
    both = [CASES / "files" / name for name in ("func.0.txt", "func.1.txt")]
    field, notes = read(both, CASES / "files" / "fixed.mha")
    np.testing.assert_allclose(field, truth("files/func_truth.mha"), atol=1e-5)
    assert notes == []
    _, notes = read(both[1], CASES / "files" / "fixed.mha")
    assert "func.0.txt, give" in notes[0]
    assert read(CASES / "odd" / "empty.1.txt")[0].any()


def test_a_spline_without_grid_direction_index_or_order_is_what_transformix_makes_of_it(tmp_path):
    expected = truth("odd/nogriddir.0.txt.truth.mha")
    np.testing.assert_allclose(read(SPLINE)[0], expected, atol=1e-5)
    shorter = changed(tmp_path, SPLINE, (r"\(GridIndex.*\n", ""), (r"\(BSplineTransformSplineOrder.*\n", ""))
    np.testing.assert_allclose(read(shorter)[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "replacements",
    [
        [(r"$", "\r")],
        [(r"^\(Transform ", "\ufeff(Transform ")],
        [(r"^\(", "   (  "), (r"\)$", '\t)  // a remark ("of two")')],
        [(r"4\.0 -3\.0 5\.0", "4.0e+00\t-3.0E0 +5.")],
        [(r"4\.0 -3\.0 5\.0", '"4.0" "-3.0" "5.0"')],
        [(r"^\(Size", "// (Size 1 1 1)\n(Size"), (r"\(InitialTransform.*\n", "")],
        [(r"\(InitialTransformParameterFileName.*\n", '(InitialTransformParametersFileName "NoInitialTransform")\n')],
        [(r"\(HowToCombineTransforms.*\n", "")],
    ],
    ids=["CRLF", "BOM", "blanks and remarks", "exponents", "quotes", "remark of an entry", "old key", "defaults"],
)
def test_what_elastix_takes_is_taken(tmp_path, replacements):
    np.testing.assert_allclose(read(changed(tmp_path, EULER, *replacements))[0], read(EULER)[0], atol=1e-6)


@pytest.mark.parametrize(
    "path, pattern, by, said",
    [
        (EULER, r"^\(Size", '(ComputeZYX "false")\n(ComputeZYX "true")\n(Size', "stands in it twice"),
        (EULER, r'"true"', '"True"', "correct it to true or false"),
        (EULER, r"4\.0 -3\.0", "4.0D0 -3.0", "not made of numbers"),
        (EULER, r"4\.0 -3\.0", "4,0 -3,0", "not made of numbers"),
        (EULER, r"4\.0 -3\.0", "4_0 -3.0", "not made of numbers"),
        (EULER, r"4\.0 -3\.0", "nan -3.0", "NaN"),
        (EULER, r"\(NumberOfParameters 6\)", "(NumberOfParameters 5)", "needs 5"),
        (EULER, r"\(CenterOfRotationPoint.*\n", "", "no CenterOfRotationPoint"),
        (EULER, r"\(FixedImageDimension 3\)", "(FixedImageDimension 4)", "4D"),
        (EULER, r"\(FixedImageDimension 3\)", "(FixedImageDimension 2.5)", "whole numbers"),
        (EULER, r'"Compose"', '"Multiply"', "Compose or Add"),
        (EULER, r'"EulerTransform"', '"ElasticTransform"', "no transform of elastix"),
        (EULER, r'"EulerTransform"\)', '"EulerTransform"', "line 1"),
        (EULER, r"5\.0\)", "\n5.0)", "line"),
        (SPLINE, r"\(GridSize 7 7 7\)", "(GridSize 1e15 1e15 1e15)", "export it again"),
        (SPLINE, r"\(GridSize 7 7 7\)", "(GridSize 7 7 8)", "holds 1029 numbers"),
        (SPLINE, r"\(GridSize 7 7 7\)", "(GridSize 7 7)", "needs 3"),
        (SPLINE, r"\(GridSpacing 14 14 14\)", "(GridSpacing 14 0 14)", "no volume"),
        (SPLINE, r"\(GridOrigin.*\n", "", "no GridOrigin"),
        (SPLINE, r"^\(GridSize", "(GridDirection 0 1 0)\n(GridSize", "needs 9"),
    ],
)
def test_what_elastix_does_not_take_is_refused(tmp_path, path, pattern, by, said):
    assert said in refused(changed(tmp_path, path, (pattern, by)))


def test_a_file_that_names_an_itk_file_which_is_not_there_or_none_is_refused(tmp_path):
    source = changed(tmp_path, CASES / "files" / "out" / "TransformParameters.0.txt")
    assert "is not there" in refused(source)
    (tmp_path / "TransformParameters.0.h5").write_bytes(b"no HDF5")
    assert "TransformParameters.0.h5: " in refused(source)
    long = changed(tmp_path, source, ("out/TransformParameters.0.h5", "x" * 5000))
    assert "is not there" in refused(long)


def test_a_line_of_many_blanks_takes_no_time(tmp_path):
    path = changed(tmp_path, EULER, (r"^\(Size", "(Size" + " " * 200_000 + 'x"'))
    started = time.perf_counter()
    refused(path)
    many = changed(tmp_path, EULER, (r"^\(Size ", "(Size " + " " * 200_000))
    read(many)
    assert time.perf_counter() - started < 3
