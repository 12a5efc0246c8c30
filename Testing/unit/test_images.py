"""What comes in from files, good and bad; what goes out, whole or not at all."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files import images
from VoxelMorphRegistrationLib.space import checks


def _image(size=(7, 6, 5), dtype=np.float32):
    array = np.random.default_rng(0).integers(0, 200, size[::-1]).astype(dtype)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([1.5, 2.0, 2.5][: len(size)])
    return image


def _refused(call, *parts):
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    return message


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
def test_an_image_comes_back_as_it_was_written(tmp_path, suffix):
    image = _image(dtype=np.int16)
    images.write_image(image, tmp_path / f"new/folder/a{suffix}")
    read = images.read_image(tmp_path / f"new/folder/a{suffix}")
    assert read.GetPixelID() == image.GetPixelID()
    assert np.array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))
    assert np.allclose(read.GetSpacing(), image.GetSpacing())
    assert os.listdir(tmp_path / "new/folder") == [f"a{suffix}"]


def test_a_missing_file_is_named(tmp_path):
    _refused(lambda: images.read_image(tmp_path / "nowhere.nrrd"), tmp_path / "nowhere.nrrd", "no such file")


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
@pytest.mark.parametrize("content", [b"", b"this is not an image, whatever its name says " * 40])
def test_empty_files_and_files_of_another_kind_are_named(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    _refused(lambda: images.read_image(path), path)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
@pytest.mark.parametrize("share", [0.97, 0.5, 0.1])
def test_a_file_that_is_cut_short_is_never_read_as_zeros(tmp_path, suffix, share, capfd):
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(np.random.default_rng(1).random((20, 30, 40), np.float32)), str(path))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    _refused(lambda: images.read_image(path), path)
    assert capfd.readouterr().err == ""


def test_a_nifti_file_with_bytes_after_its_voxels_is_whole(tmp_path):
    path = tmp_path / "a.nii"
    sitk.WriteImage(_image(), str(path))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(path.read_bytes() + b"\0" * 100))
    assert images.read_image(tmp_path / "b.nii.gz").GetSize() == (7, 6, 5)


def test_a_big_endian_nifti_file_is_read(tmp_path):
    array = np.arange(60, dtype=">f4").reshape(3, 4, 5)
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4), header), tmp_path / "a.nii.gz")
    read = images.read_image(tmp_path / "a.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(read), array.T)


@pytest.mark.parametrize("spacing", [0.0, float("nan"), float("inf")])
def test_zero_and_nan_spacing_are_refused_though_itk_would_make_them_one(tmp_path, spacing):
    path = tmp_path / "a.nii"
    sitk.WriteImage(_image(), str(path))
    content = bytearray(path.read_bytes())
    content[80:84] = struct.pack("<f", spacing)
    path.write_bytes(content)
    _refused(lambda: images.read_image(path), path, "spacing")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("space directions", "(1,0,0) (1,0,0) (0,0,1)"),
        ("space directions", "(0,0,0) (0,1,0) (0,0,1)"),
        ("space directions", "(nan,0,0) (0,1,0) (0,0,1)"),
    ],
)
def test_directions_that_span_no_volume_are_refused(tmp_path, field, value):
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(_image(), str(path))
    head, data = path.read_bytes().split(b"\n\n", 1)
    lines = [f"{field}: {value}" if line.startswith(field) else line for line in head.decode().splitlines()]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + data)
    _refused(lambda: images.read_image(path), path)


def test_dimensions_are_checked_both_ways(tmp_path):
    flat, series = tmp_path / "flat.nrrd", tmp_path / "series.nrrd"
    sitk.WriteImage(_image((7, 6)), str(flat))
    sitk.WriteImage(sitk.JoinSeries([_image(), _image()]), str(series))
    _refused(lambda: images.read_image(series, dimension=3), series, "4 dimensions", "3 are needed")
    _refused(lambda: images.read_image(flat, dimension=3), flat, "2 dimensions")
    _refused(lambda: images.read_image(flat, dimension=4), flat, "4 are needed")
    assert images.read_image(flat).GetDimension() == 2
    assert images.read_image(series, dimension=4).GetDimension() == 4


def test_a_series_of_one_volume_is_a_volume(tmp_path):
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 1), np.float32), np.diag([-2, -2, 3, 1])), path)
    read = images.read_image(path, dimension=3)
    assert read.GetSize() == (4, 5, 6)
    assert np.allclose(read.GetSpacing(), (2, 2, 3))


def test_colour_images_are_refused(tmp_path):
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(sitk.Compose(_image(), _image(), _image()), str(path))
    _refused(lambda: images.read_image(path), path, "3 numbers")


def test_a_folder_with_one_dicom_series_is_an_image_and_any_other_folder_is_not(tmp_path):
    image = _image(dtype=np.int16)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetSize()[2]):
        piece = image[:, :, k]
        plane = sitk.JoinSeries(piece)
        plane.SetMetaData("0020|000e", "1.2.3.4")
        plane.SetMetaData("0020|0032", f"0\\0\\{2.5 * k}")
        plane.SetMetaData("0020|0037", "1\\0\\0\\0\\1\\0")
        writer.SetFileName(str(tmp_path / f"{k}.dcm"))
        writer.Execute(plane)
    assert images.read_image(tmp_path).GetSize() == (7, 6, 5)
    (tmp_path / "empty").mkdir()
    _refused(lambda: images.read_image(tmp_path / "empty"), "no DICOM series")


def test_labels_must_be_whole_numbers_and_keep_their_type(tmp_path):
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(sitk.Cast(_image(), sitk.sitkFloat64), str(path))
    assert images.read_labels(path).GetPixelID() == sitk.sitkFloat64
    sitk.WriteImage(_image() * 0.3, str(path))
    _refused(lambda: images.read_labels(path), path, "whole numbers")


def test_nan_and_infinity_become_the_smallest_finite_value_and_are_counted():
    array = np.full((3, 4, 5), 7, np.float32)
    array[0, 0, 0], array[0, 0, 1], array[1, 1, 1], array[2, 2, 2] = np.nan, np.inf, -np.inf, -3
    cleaned, count = checks.replace_non_finite(sitk.GetImageFromArray(array))
    assert count == 3
    expected = np.nan_to_num(array, nan=-3, posinf=-3, neginf=-3)
    assert np.array_equal(sitk.GetArrayFromImage(cleaned), expected)
    same, none = checks.replace_non_finite(cleaned)
    assert same is cleaned and none == 0
    _refused(lambda: checks.replace_non_finite(cleaned * float("nan"), "a.nrrd"), "a.nrrd")


def test_values_whose_sum_overflows_are_not_taken_for_infinite():
    image = sitk.GetImageFromArray(np.full((4, 4, 4), 1e308))
    assert checks.replace_non_finite(image)[1] == 0


@pytest.mark.parametrize(
    ("values", "dtype", "reason"),
    [
        ((0, 1e300), np.float64, "single precision does not hold"),
        ((-1e38, 1e38), np.float32, "single precision does not hold"),
        ((0, 1e-300), np.float64, "single precision does not hold"),
        ((2**40, 2**40 + 200), np.int64, "subtract 1099511627776"),
        ((3e9, 3e9 + 200), np.uint32, "subtract 3000000000"),
        ((1e12, 1e12 + 1), np.float64, "subtract 1000000000000"),
    ],
)
def test_values_that_single_precision_does_not_hold_are_refused_and_not_computed_with(values, dtype, reason):
    image = sitk.GetImageFromArray(np.linspace(*values, 27).astype(dtype).reshape(3, 3, 3))
    _refused(lambda: checks.cleaned(image, "a.nrrd"), "a.nrrd", reason)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(0, 0, np.float64), (-1024, 3071, np.int32), (10**7, 10**7 + 99, np.int64), (1e7, 1e7 + 90, np.float32)],
)
def test_values_that_single_precision_holds_are_left_as_they_are(low, high, dtype):
    image = sitk.GetImageFromArray(np.linspace(low, high, 27).astype(dtype).reshape(3, 3, 3))
    assert checks.cleaned(image)[0] is image


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.mhd"])
def test_an_unknown_kind_of_file_is_refused_before_it_is_written(tmp_path, name):
    _refused(lambda: images.write_image(_image(), tmp_path / name), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
def test_a_disk_that_fills_leaves_the_old_file_and_nothing_half_written(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    images.write_image(_image(), path)
    before = path.read_bytes()
    script = (
        "import resource, signal, sys, numpy, SimpleITK as sitk\n"
        "from VoxelMorphRegistrationLib import errors\nfrom VoxelMorphRegistrationLib.files import images\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "image = sitk.GetImageFromArray(numpy.random.default_rng(0).random((60, 60, 60)))\n"
        "try:\n    images.write_image(image, sys.argv[1])\n"
        "except errors.InputError as error:\n    print(error)\n"
        "else:\n    print('written')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, env=environment)
    assert done.stdout.startswith(f"{path}: cannot be written"), done.stdout + done.stderr
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_new_files_have_the_permissions_any_new_file_gets(tmp_path):
    images.write_image(_image(), tmp_path / "a.nrrd")
    (tmp_path / "b").touch()
    assert (tmp_path / "a.nrrd").stat().st_mode == (tmp_path / "b").stat().st_mode
