"""ITK transform files are read whole: lists, composites, classes without a name in SimpleITK, and damaged ones not."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.itk_transforms import read_transform
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings
from VoxelMorphRegistrationLib.space.grid import Grid

CASES = Path(__file__).resolve().parents[1] / "fixtures" / "cases"
POINT = (1.0, 2.0, 3.0)
LIST = "#Insight Transform File V1.0\n"
AFFINE = "Transform: AffineTransform_double_3_3\nParameters: {}\nFixedParameters: 0 0 0\n"
SHIFT = AFFINE.format("1 0 0 0 1 0 0 0 1 {}")
SCALE = SHIFT.replace("1 0 0 0 1 0 0 0 1 {}", "2 0 0 0 2 0 0 0 2 0 0 0")
COMPOSITE = "#Transform 0\nTransform: CompositeTransform_double_3_3\n"
SPLINE = "Transform: BSplineTransform_double_3_3\nParameters: {}\nFixedParameters: {} 0 0 0 1 1 1 1 0 0 0 1 0 0 0 1\n"
OLD_SPLINE = SPLINE.replace("BSpline", "BSplineDeformable")


def written(folder: Path, text: str, name: str = "some.tfm") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_transform(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message and ";" in message
    return message


@pytest.mark.parametrize("name", ["list.txt", "bulk.tfm"])
def test_a_list_is_composed_as_itks_composite_does_the_last_first_and_said(name):
    path = CASES / "itk_list" / name
    transform, notes = read_transform(path)
    assert "lists 2 transforms" in notes[0]
    if name == "list.txt":
        np.testing.assert_allclose(transform.TransformPoint((0.0, 0.0, 0.0)), (3, -7, 0))
        return
    spline, shift = sitk.ReadTransform(str(CASES / "itk_list" / "b.tfm")), np.array([5.0, -4.0, 3.0])
    for point in ((3.0, 0.0, 40.0), (10.0, 5.0, 45.0), POINT):
        np.testing.assert_allclose(
            transform.TransformPoint(point), spline.TransformPoint((shift + point).tolist()), atol=1e-9
        )


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n# a remark\n\n"])
def test_the_order_of_a_list_is_kept_whatever_ends_its_lines(tmp_path, start, ending):
    text = start + LIST + SHIFT.format("3 0 0") + SCALE + "   \n"
    transform, _ = read_transform(written(tmp_path, text.replace("\n", ending)))
    assert transform.TransformPoint(POINT) == (5.0, 4.0, 6.0)


def test_composites_inside_a_list_are_its_members(tmp_path):
    text = LIST + COMPOSITE + SHIFT.format("3 0 0") + COMPOSITE + SCALE + SHIFT.format("0 1 0")
    transform, notes = read_transform(written(tmp_path, text))
    assert transform.TransformPoint(POINT) == (5.0, 6.0, 6.0)
    assert notes == ()


def test_lists_in_matlab_and_hdf5_files_are_read_whole_too(tmp_path):
    steps = [("AffineTransform_double_3_3", [1, 0, 0, 0, 1, 0, 0, 0, 1, 3, 0, 0], [0, 0, 0])]
    steps += [("Euler3DTransform_double_3_3", [0, 0, np.pi / 2, 0, 1, 0], [0, 0, 0, 0])]
    steps += [("MatrixOffsetTransformBase_float_3_3", [2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0], [0, 0, 0])]
    with h5py.File(tmp_path / "list.h5", "w") as file:
        for number, (name, parameters, fixed) in enumerate(steps):
            group = file.create_group(f"TransformGroup/{number}")
            group["TransformType"] = [name]
            group["TranformParameters" if number else "TransformParameters"] = np.array(parameters, float)
            group["TranformFixedParameters" if number else "TransformFixedParameters"] = np.array(fixed, float)
    for order in "<>":
        raw = b""
        for name, *both in steps:
            for label, values in zip((name, "fixed"), both):
                kind = {"<": 0, ">": 1000}[order] + (10 if "float" in name else 0)
                raw += struct.pack(f"{order}5i", kind, len(values), 1, 0, len(label) + 1) + label.encode() + b"\0"
                raw += np.array(values, order + ("f4" if "float" in name else "f8")).tobytes()
        (tmp_path / f"list{'<>'.index(order)}.mat").write_bytes(raw)
    for name in ("list.h5", "list0.mat", "list1.mat"):
        transform, notes = read_transform(tmp_path / name)
        np.testing.assert_allclose(transform.TransformPoint(POINT), (-1.0, 3.0, 6.0), atol=1e-6)
        assert notes


@pytest.mark.parametrize("name", ["moc.txt", "moc.mat"])
def test_the_base_class_that_c3d_and_older_ants_write_is_an_affine(name, tmp_path):
    path = CASES / "matrix_offset" / name
    transform, _ = read_transform(path)
    np.testing.assert_allclose(transform.TransformPoint(POINT), (3.0, -0.16, 6.8), atol=1e-12)
    reference = Grid((4, 4, 4), (1.0,) * 3, POINT, (1.0, 0, 0, 0, 1, 0, 0, 0, 1))
    for source in (path, sitk.ReadTransform(str(path))):
        moved = exchange.read(source, reference=reference).GetPixel(0, 0, 0)
        np.testing.assert_allclose(moved, (2.0, -2.16, 3.8), atol=1e-5)


@pytest.mark.parametrize(
    "transform",
    [
        sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0)),
        sitk.Similarity3DTransform(),
        sitk.VersorRigid3DTransform(),
        sitk.ScaleSkewVersor3DTransform(),
        sitk.ComposeScaleSkewVersor3DTransform(),
        sitk.ScaleVersor3DTransform(),
        sitk.VersorTransform(),
        sitk.ScaleTransform(3, (1.0, 2.0, 3.0)),
        sitk.TranslationTransform(3, (1.0, 2.0, 3.0)),
        sitk.Euler2DTransform((1.0, 2.0), 0.3, (4.0, 5.0)),
        sitk.Similarity2DTransform(1.5, 0.3, (1.0, 2.0), (3.0, 4.0)),
        sitk.AffineTransform([1, 0.1, 0, 1], [2, 3], [4, 5]),
        sitk.BSplineTransformInitializer(sitk.Image([8, 8, 8], sitk.sitkUInt8), [3, 4, 5]),
        sitk.BSplineTransformInitializer(sitk.Image([8, 8], sitk.sitkUInt8), [3, 4], order=2),
    ],
    ids=lambda transform: transform.GetName(),
)
@pytest.mark.parametrize("ending", ["tfm", "h5", "mat"])
def test_every_class_that_simpleitk_writes_moves_points_as_simpleitk_does(tmp_path, transform, ending):
    random = np.random.default_rng(1)
    if transform.GetName().startswith("BSpline"):
        transform.SetParameters(random.normal(0, 0.3, transform.GetNumberOfParameters()).tolist())
    path = tmp_path / f"one.{ending}"
    sitk.WriteTransform(transform, str(path))
    read, notes = read_transform(path)
    assert notes == ()
    for point in random.uniform(0, 7, (5, transform.GetDimension())).tolist():
        np.testing.assert_allclose(read.TransformPoint(point), transform.TransformPoint(point), atol=1e-6)


def test_a_field_in_a_file_is_the_field_that_was_written(tmp_path):
    grid = Grid((5, 4, 3), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
    vectors = grid.image(np.random.default_rng(0).normal(size=(*grid.shape, 3)), vector=True)
    expected = sitk.GetArrayFromImage(vectors)
    for name in ("field.h5", "field.tfm"):
        sitk.WriteTransform(sitk.DisplacementFieldTransform(sitk.Image(vectors)), str(tmp_path / name))
        read, _ = read_transform(tmp_path / name)
        field = sitk.DisplacementFieldTransform(read).GetDisplacementField()
        assert Grid.of(field).same_as(grid)
        np.testing.assert_allclose(sitk.GetArrayFromImage(field), expected, atol=1e-5)


@pytest.mark.parametrize(
    "text, said",
    [
        (LIST, "lists no transform"),
        (LIST + COMPOSITE, "a composite without"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2"), "11 parameters"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2 3 4"), "13 parameters"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2 x"), "not made of numbers"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2 1_0"), "not made of numbers"),
        (LIST + AFFINE.format("1,5 0 0 0 1 0 0 0 1 1 2 3"), "not made of numbers"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2 1.0D+01"), "not made of numbers"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2 inf"), "infinite"),
        (LIST + AFFINE.format("1 0 0 0 1 0 1 1 0 1 2 3"), "singular"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2 3").replace("FixedParameters: 0 0 0\n", ""), "no FixedParameters"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2 3") + "FixedParameters: 1 1 1\n", "stands twice"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2 3").replace("_3_3", "_3_2"), "from 3D to 2D"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2 3").replace("Affine", "Elastic"), "ITK does not read"),
        (LIST + AFFINE.format("1 0 0 0 1 0 0 0 1 1 2 3").replace("_double_3_3", ""), "no class"),
        (LIST + SPLINE.format("1 2 3", "1e15 1e15 1e15"), "holds 3 numbers"),
        (LIST + SPLINE.format("1 2 3", "-4 4 4"), "holds 3 numbers"),
        (LIST + SPLINE.format("1 2 3", "1 1 1"), "on a grid of"),
        (LIST + SPLINE.format("1 2 3", "4 4"), "17 fixed parameters"),
        (LIST + SPLINE.replace("1 1 1 1 0 0", "1 0 1 1 0 0").format("0 " * 192, "4 4 4"), "no volume"),
        (
            LIST + SPLINE.format("0 " * 192, "4 4 4").replace("Spline", "SplineDeformable") + SHIFT.format("1 2 3"),
            "added",
        ),
        (LIST + SHIFT.format("1 2 3") + SHIFT.replace("3_3", "2_2").format("1"), "parameters"),
        (LIST + "ComponentTransformFile: a.tfm\n", "ComponentTransformFile"),
        ("1 0 0 5\n0 1 0 6\n0 0 1 7\n0 0 0 1\n", "convert --input"),
    ],
)
def test_what_is_damaged_or_no_transform_is_refused(tmp_path, text, said):
    assert said in refused(written(tmp_path, text))


def test_damaged_matlab_and_hdf5_files_are_refused(tmp_path):
    good = (CASES / "matrix_offset" / "moc.mat").read_bytes()
    for name, raw in {
        "short": good[:-3],
        "half": good[:153],
        "level5": b"MATLAB 5.0 MAT-file" + good,
        "huge": struct.pack("<5i", 0, 2**31 - 1, 2**31 - 1, 0, 4) + b"abc\0",
        "negative": struct.pack("<5i", 0, -1, -1, 0, 4) + b"abc\0",
        "empty": b"",
    }.items():
        (tmp_path / f"{name}.mat").write_bytes(raw)
        refused(tmp_path / f"{name}.mat")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    assert "not of ITK's transforms" in refused(tmp_path / "weights.h5")
    (tmp_path / "other.h5").write_bytes(b"nothing of it")
    refused(tmp_path / "other.h5")
    with h5py.File(tmp_path / "claims.h5", "w") as file:
        group = file.create_group("TransformGroup/0")
        group["TransformType"] = ["AffineTransform_double_3_3"]
        group.create_dataset("TransformParameters", (10**10,), "f8", chunks=(10**6,))
    assert "claims" in refused(tmp_path / "claims.h5")
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        group = file.create_group("TransformGroup/0")
        group["TransformType"] = ["AffineTransform_double_3_3"]
        group["TransformParameters"] = h5py.ExternalLink("weights.h5", "/kernel")
    assert "another file" in refused(tmp_path / "outside.h5")


def test_a_start_is_read_by_the_same_reader_and_its_notes_reach_the_pair():
    fixed = sitk.GaussianSource(sitk.sitkFloat32, [32] * 3, [4.0] * 3, [16.0] * 3)
    moving = sitk.GaussianSource(sitk.sitkFloat32, [32] * 3, [4.0] * 3, [19.0, 9.0, 16.0])
    start = CASES / "itk_list" / "list.txt"
    registration = Registrar("any-anatomy-fast", Settings(align="none", initial_transform=start)).register(
        fixed, moving
    )
    assert any("lists 2 transforms" in note for note in registration.notes)
    assert registration.report()["similarity"]["before"] > 0.9


def test_a_start_of_another_dimension_is_refused(tmp_path):
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "flat.tfm"))
    for start in (tmp_path / "flat.tfm", sitk.Euler2DTransform()):
        with pytest.raises(InputError, match="2D points"):
            Registrar("any-anatomy-fast", Settings(initial_transform=start))


def test_the_command_that_a_refused_start_names_makes_one(tmp_path, capsys):
    matrix = written(tmp_path, "1 0 0 5\n0 1 0 6\n0 0 1 7\n0 0 0 1\n", "affine.txt")
    reference = tmp_path / "fixed.nrrd"
    sitk.WriteImage(sitk.Image([5, 5, 5], sitk.sitkUInt8), str(reference))
    words = refused(matrix).partition("slicer-voxelmorph ")[2].split()
    words = [{"FIXED": str(reference), "start.h5": str(tmp_path / "start.h5")}.get(word, word) for word in words]
    assert main(words) == 1
    assert "say --from, possible: niftyreg" in capsys.readouterr().err
    assert main([*words, "--from", "niftyreg"]) == 0
    start, _ = read_transform(tmp_path / "start.h5")
    np.testing.assert_allclose(start.TransformPoint(POINT), (-4.0, -4.0, 10.0), atol=1e-5)


def test_an_xfm_is_read_where_itk_wrote_it_and_refused_where_its_points_are_another_tools(tmp_path):
    affine = sitk.AffineTransform([1.1, 0.1, 0, 0, 1, 0, 0, 0.2, 0.9], [1.0, 2.0, 3.0])
    sitk.WriteTransform(affine, str(tmp_path / "itk.xfm"))
    transform, _ = read_transform(tmp_path / "itk.xfm")
    np.testing.assert_allclose(transform.TransformPoint(POINT), affine.TransformPoint(POINT), atol=1e-6)
    text = (tmp_path / "itk.xfm").read_text().replace("%ITK-XFM writer", "% avi2talxfm")
    (tmp_path / "talairach.xfm").write_text(text)
    with pytest.raises(InputError, match="MINC or FreeSurfer .* lta_convert --inmni"):
        read_transform(tmp_path / "talairach.xfm")


def test_an_xfm_that_is_not_one_linear_transform_is_refused_in_one_line(tmp_path, capfd):
    """MINC's own reader prints what it does not take, and takes a singular matrix for the identity."""
    sitk.WriteTransform(sitk.AffineTransform(3), str(tmp_path / "itk.xfm"))
    whole = (tmp_path / "itk.xfm").read_text()
    damaged = {
        "cut short": whole[: len(whole) * 3 // 4],
        "inverted": whole.replace("Linear;", "Linear;\nInvert_Flag = True;"),
        "followed by a grid": f"{whole}Transform_Type = Grid_Transform;\nDisplacement_Volume = grid.mnc;\n",
        "twice": whole + whole.partition("\n\n")[2],
        "singular": whole.replace(" 1 0 0 0", " 0 0 0 0"),
        "without its first line": whole.partition("\n")[2],
    }
    for name, text in damaged.items():
        assert text != whole, name
        (tmp_path / f"{name}.xfm").write_text(text)
        with pytest.raises(InputError, match=name) as caught:
            read_transform(tmp_path / f"{name}.xfm")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_an_xfm_is_converted_as_simpleitk_reads_it(tmp_path):
    """Line ends of other systems make no difference."""
    reference = sitk.Image([5, 6, 7], sitk.sitkUInt8)
    sitk.WriteImage(reference, str(tmp_path / "fixed.nrrd"))
    affine = sitk.Euler3DTransform((4.0, 5.0, 6.0), 0.1, -0.2, 0.3, (1.0, 2.0, 3.0))
    sitk.WriteTransform(affine, str(tmp_path / "itk.xfm"))
    oracle = sitk.ReadTransform(str(tmp_path / "itk.xfm"))
    (tmp_path / "dos.xfm").write_bytes((tmp_path / "itk.xfm").read_bytes().replace(b"\n", b"\r\n"))
    for name in ("itk.xfm", "dos.xfm"):
        given = ["--input", str(tmp_path / name), "--reference", str(tmp_path / "fixed.nrrd"), "--to", "itk"]
        assert main(["convert", *given, "--output", str(tmp_path / "out.nrrd")]) == 0
        moved = np.add(sitk.ReadImage(str(tmp_path / "out.nrrd"))[4, 3, 2], (4.0, 3.0, 2.0))
        np.testing.assert_allclose(moved, oracle.TransformPoint((4.0, 3.0, 2.0)), atol=1e-5)


def test_a_2d_affine_is_no_xfm(tmp_path):
    vectors = np.broadcast_to(np.float32([1, 2]), (6, 5, 2))
    field = sitk.GetImageFromArray(vectors, isVector=True)
    with pytest.raises(InputError, match="end the name in .tfm"):
        exchange.write(field, tmp_path / "a.xfm", "itk")
    exchange.write(field, tmp_path / "a.tfm", "itk")
    assert sitk.ReadTransform(str(tmp_path / "a.tfm")).TransformPoint((0.0, 0.0)) == pytest.approx((1, 2))
