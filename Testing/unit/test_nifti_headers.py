"""NIfTI files whose headers say what cannot be meant, and what ITK makes of them without a word."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.propagation_cases import frame, labels, weights_file
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.displacements import read_displacement
from VoxelMorphRegistrationLib.files.images import read_image
from VoxelMorphRegistrationLib.files.nifti_places import contradictions
from VoxelMorphRegistrationLib.space.grid import Grid

AFFINE = np.diag([-2.0, -2.0, 2.5, 1.0])
VALUES = np.random.default_rng(0).integers(0, 900, (8, 7, 6)).astype(np.int16)


def written(path: Path, values: np.ndarray = VALUES, unit: str = "mm", affine: np.ndarray = AFFINE) -> Path:
    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def test_the_voxels_are_those_of_the_file_itself_and_not_of_another_of_nearly_its_name(tmp_path):
    """ITK takes the voxels of a.nii for those of a.nii.gz where both lie in one folder."""
    written(tmp_path / "a.nii", VALUES[::-1])
    packed = written(tmp_path / "a.nii.gz")
    found = sitk.GetArrayFromImage(read_image(packed))
    assert np.array_equal(found.T, np.asarray(nibabel.load(packed).dataobj))
    assert not np.array_equal(sitk.GetArrayFromImage(read_image(tmp_path / "a.nii")), found)


DAMAGE = {
    "no axis": (42, struct.pack("<h", 0), "dimensions"),
    "a negative axis": (44, struct.pack("<h", -5), "dimensions"),
    "nine axes": (40, struct.pack("<h", 9), "dimensions"),
    "voxels inside the header": (108, struct.pack("<f", 0), "begin at byte 0"),
    "no mark of NIfTI": (344, b"abcd", "not marked as NIfTI"),
    "an infinite scale": (112, struct.pack("<f", np.inf), "scales values by inf"),
    "an intercept that is no number": (112, struct.pack("<ff", 2, np.nan), "scales values by 2 and nan"),
    "an sform that is no number": (280, struct.pack("<f", np.nan), "not finite"),
    "a qform that is no number": (268, struct.pack("<f", np.inf), "not finite"),
    "no type of voxels": (70, struct.pack("<hh", 1, 1), "type of voxels"),
    "a type that is none": (70, struct.pack("<hh", 777, 16), "type of voxels"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_header_that_cannot_be_meant_is_refused_in_one_line(tmp_path, capfd, damage, packed):
    place, content, reason = DAMAGE[damage]
    data = bytearray(written(tmp_path / "a.nii").read_bytes())
    data[place : place + len(content)] = content
    path = tmp_path / ("b.nii.gz" if packed else "b.nii")
    path.write_bytes(gzip.compress(bytes(data)) if packed else bytes(data))
    with pytest.raises(InputError, match=reason) as caught:
        read_image(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_file_of_nifti_2_or_of_a_misleading_name_is_refused_with_what_to_do(tmp_path):
    nibabel.save(nibabel.Nifti2Image(VALUES, AFFINE), tmp_path / "second.nii")
    with pytest.raises(InputError, match="NIfTI-2 file.*nifti1.nii.gz"):
        read_image(tmp_path / "second.nii")
    (tmp_path / "packed.nii").write_bytes(written(tmp_path / "a.nii.gz").read_bytes())
    with pytest.raises(InputError, match="rename it packed.nii.gz"):
        read_image(tmp_path / "packed.nii")


def test_vectors_of_scaled_whole_numbers_are_read_as_nibabel_has_them_and_are_no_image(tmp_path):
    """ITK ends the whole process over them."""
    vectors = np.random.default_rng(1).normal(0, 3, (8, 7, 6, 1, 3))
    image = nibabel.Nifti1Image(vectors, AFFINE)
    image.set_data_dtype(np.int16)
    image.header.set_intent("displacement vector")
    nibabel.save(image, tmp_path / "field.nii.gz")
    field = sitk.GetArrayFromImage(read_displacement(tmp_path / "field.nii.gz"))
    told = np.asarray(nibabel.load(tmp_path / "field.nii.gz").dataobj)[:, :, :, 0] * [-1, -1, 1]
    assert np.allclose(field, told.transpose(2, 1, 0, 3), atol=1e-5)
    with pytest.raises(InputError, match="holds 3 numbers"):
        read_image(tmp_path / "field.nii.gz")


def test_vectors_in_a_file_that_counts_in_other_units_are_refused(tmp_path):
    path = written(tmp_path / "field.nii.gz", np.zeros((8, 7, 6, 1, 3), np.float32), unit="micron")
    with pytest.raises(InputError, match="counts in micron"):
        read_displacement(path)


def test_register_and_propagate_say_that_a_header_contradicts_itself(tmp_path, capsys):
    for n in range(2):
        values = sitk.GetArrayFromImage(frame(n)).T
        image = nibabel.load(written(tmp_path / f"frame{n}.nii.gz", values))
        moved = AFFINE.copy()
        moved[0, 3] += 9.0
        image.set_qform(moved, 1)
        nibabel.save(image, tmp_path / f"frame{n}.nii.gz")
    given = ["--model", str(weights_file(tmp_path)), "--align", "none"]
    pair = ["--fixed", str(tmp_path / "frame0.nii.gz"), "--moving", str(tmp_path / "frame1.nii.gz")]
    assert main(["register", *pair, "--output-transform", str(tmp_path / "t.nrrd"), *given]) == 0
    told = capsys.readouterr().err
    assert told.count("contradicts itself: sform and qform put voxels up to 9 mm apart; the sform was used") == 2
    drawn = sitk.GetArrayFromImage(labels(0)).T
    frames = ["--sequence", str(tmp_path / "frame*.nii.gz"), "--reference-frame", "0", "--no-report"]
    frames += ["--segmentation", str(written(tmp_path / "drawn.nii.gz", drawn)), "--output", str(tmp_path / "out")]
    assert main(["propagate", *frames, *given]) == 0
    assert "frame0.nii.gz: its header contradicts itself" in capsys.readouterr().err


def test_a_header_in_metres_contradicts_nothing(tmp_path):
    path = written(tmp_path / "a.nii.gz", unit="meter", affine=np.diag([-2e-3, -2e-3, 2.5e-3, 1.0]))
    assert read_image(path).GetSpacing() == pytest.approx((2.0, 2.0, 2.5))
    assert contradictions([str(path)]) == [
        f"{path}: its header counts in metres, and was converted to mm, as SimpleITK and Slicer do"
    ]
    assert contradictions([str(written(tmp_path / "b.nii.gz")), str(tmp_path / "c.nrrd")]) == []


@pytest.mark.parametrize(("slope", "intercept"), [(0.0, 7), (np.nan, 7), (np.nan, np.nan), (0.0, np.nan)])
def test_an_intercept_without_a_slope_changes_no_value(tmp_path, slope, intercept):
    """ITK adds it; the format says that a slope of 0 means values as they are stored, and nibabel has them so."""
    data = bytearray(written(tmp_path / "a.nii").read_bytes())
    data[112:120] = struct.pack("<ff", slope, intercept)
    (tmp_path / "b.nii").write_bytes(data)
    found = read_image(tmp_path / "b.nii")
    assert np.array_equal(sitk.GetArrayFromImage(found).T, np.asarray(nibabel.load(tmp_path / "b.nii").dataobj))
    assert found.GetPixelID() == sitk.sitkInt16 and found.GetSpacing() == (2.0, 2.0, 2.5)


def without_place(path: Path, values: np.ndarray) -> Path:
    image = nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 2.5, 1.0]))
    image.set_sform(image.affine, 0)
    image.set_qform(image.affine, 0)
    nibabel.save(image, path)
    return path


def test_a_header_that_says_no_place_is_said_and_is_no_reference_for_tools_that_put_it_elsewhere(tmp_path, capsys):
    path = without_place(tmp_path / "a.nii.gz", VALUES)
    assert read_image(path).GetOrigin() == (0, 0, 0) and Grid.of(read_image(path)).direction == tuple(np.eye(3).ravel())
    (told,) = contradictions([str(path)])
    assert told.startswith(f"{path}: its header does not say where it lies") and "\n" not in told
    np.savetxt(tmp_path / "affine.txt", np.eye(4))
    reference = ["--reference", str(path), "--to", "itk", "--output", str(tmp_path / "o.nrrd")]
    assert main(["convert", "--input", str(tmp_path / "affine.txt"), "--from", "niftyreg", *reference]) == 1
    assert "does not say where it lies" in capsys.readouterr().err
    field = without_place(tmp_path / "field.nii.gz", np.zeros((8, 7, 6, 1, 3), np.float32))
    placed = ["--reference", str(written(tmp_path / "b.nii.gz")), *reference[2:]]
    assert main(["convert", "--input", str(field), "--from", "freesurfer", *placed]) == 1
    assert "does not say where it lies" in capsys.readouterr().err and not (tmp_path / "o.nrrd").exists()


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.AnalyzeImage], ids=["nifti", "analyze"])
def test_voxels_beside_their_header_are_read_whole_or_refused(tmp_path, kind):
    values = np.random.default_rng(0).integers(0, 99, (6, 7, 8)).astype(np.int16)
    nibabel.save(kind(values, np.diag([2.0, 2.0, 2.5, 1.0])), tmp_path / "a.img")
    voxels = tmp_path / "a.img"
    whole = voxels.read_bytes()
    for name in ("a.hdr", "a.img"):
        assert np.array_equal(sitk.GetArrayFromImage(read_image(tmp_path / name)), values.T)
    voxels.write_bytes(whole[:-2])
    for name in ("a.hdr", "a.img"):
        with pytest.raises(InputError, match=rf"{name}: its voxels \(a.img\) are cut short"):
            read_image(tmp_path / name)
    voxels.unlink()
    with pytest.raises(InputError, match="are not beside it"):
        read_image(tmp_path / "a.hdr")
    packed = gzip.compress(whole)
    (tmp_path / "a.img.gz").write_bytes(packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:])
    with pytest.raises(InputError, match="damaged"):
        read_image(tmp_path / "a.hdr")


@pytest.mark.parametrize("rows", [np.zeros((3, 4)), [[2, 2, 0, 1], [2, 2, 0, 1], [0, 0, 2.5, 1]]])
def test_axes_that_span_no_volume_are_refused_as_such(tmp_path, rows, recwarn):
    path = written(tmp_path / "a.nii")
    raw = bytearray(path.read_bytes())
    raw[252:256] = np.array([0, 1], "<i2").tobytes()  # qform and sform code
    raw[280:328] = np.asarray(rows, "<f4").tobytes()
    path.write_bytes(raw)
    with pytest.raises(InputError, match="a.nii: the axes in its header span no volume"):
        read_image(path)
    assert not recwarn.list


@pytest.mark.parametrize("name", ["a.hdr", "a.img"])
def test_sheared_axes_of_a_pair_are_told_as_such(tmp_path, name):
    axes = np.array([[2.0, 0.4, 0, 0], [0, 2.0, 0, 0], [0, 0, 2.5, 0], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Pair(VALUES, axes)
    image.set_sform(axes, 1)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "a.hdr")
    with pytest.raises(InputError, match=f"{name}: its axes are sheared by 11 degrees"):
        read_image(tmp_path / name)
