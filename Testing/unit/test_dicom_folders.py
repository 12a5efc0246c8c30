"""DICOM that is no single volume, or not whole, is refused; GDCM and ITK would make a volume of it without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.images import read_image
from VoxelMorphRegistrationLib.propagation.frames import open_frames

SLICES = 6


def series(folder: Path) -> Path:
    """One series of six slices, a file each."""
    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 900, (SLICES, 7, 8)).astype(np.int16)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(SLICES):
        plane = sitk.GetImageFromArray(values[k : k + 1])
        plane.SetMetaData("0020|000e", "1.2.3.4")
        plane.SetMetaData("0020|0032", f"0\\0\\{3 * k}")
        plane.SetMetaData("0020|0037", "1\\0\\0\\0\\1\\0")
        writer.SetFileName(str(folder / f"{k}.dcm"))
        writer.Execute(plane)
    return folder


def rescale(path: Path, slope: str) -> None:
    """Put Rescale Intercept and Slope into a file of implicit VR, instead of those that are there."""
    whole = path.read_bytes()
    for tag, text in ((b"\x28\x00\x52\x10", "0"), (b"\x28\x00\x53\x10", slope)):
        start = whole.find(tag)
        if start < 0:
            start = end = whole.rindex(b"\xe0\x7f\x10\x00")
        else:
            end = start + 8 + int.from_bytes(whole[start + 4 : start + 8], "little")
        value = text.encode() + b" " * (len(text) % 2)
        whole = whole[:start] + tag + len(value).to_bytes(4, "little") + value + whole[end:]
    path.write_bytes(whole)


def refused(path: Path, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        read_image(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_whole_series_is_read_whatever_else_lies_in_its_folder(tmp_path):
    folder = series(tmp_path / "a")
    (folder / "README.txt").write_text("scanned on a Thursday")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(600))
    assert read_image(folder).GetSize() == (8, 7, SLICES)


@pytest.mark.parametrize("slope", ["0.5", "100.0"])
def test_slices_that_are_scaled_otherwise_than_the_first_keep_their_values(tmp_path, slope):
    """ITK's series reader takes the first one's type for all, in which others are rounded or wrap round."""
    folder = series(tmp_path / "a")
    for k in range(1, SLICES):
        rescale(folder / f"{k}.dcm", slope)
    one_by_one = [sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{k}.dcm")))[0] for k in range(SLICES)]
    assert len({values.dtype for values in one_by_one}) > 1
    np.testing.assert_allclose(sitk.GetArrayFromImage(read_image(folder)), one_by_one, rtol=1e-6)
    assert np.max(one_by_one) > (32767 if slope == "100.0" else 400)


@pytest.mark.parametrize("bytes_missing", [2, 60, 150])
@pytest.mark.parametrize("number", [0, 3, SLICES - 1])
def test_a_slice_that_is_cut_short_is_neither_filled_up_nor_left_out(tmp_path, number, bytes_missing):
    path = series(tmp_path / "a") / f"{number}.dcm"
    path.write_bytes(path.read_bytes()[:-bytes_missing])
    refused(tmp_path / "a", f"{number}.dcm.*cut short")


def test_a_slice_whose_pixels_are_fewer_than_its_rows_and_columns_is_refused(tmp_path):
    path = series(tmp_path / "a") / "2.dcm"
    whole = path.read_bytes()
    place = whole.rindex(b"\xe0\x7f\x10\x00") + 4
    path.write_bytes(whole[:place] + (100).to_bytes(4, "little") + whole[place + 4 : place + 104])
    refused(tmp_path / "a", "2.dcm: its pixels are cut short")


def test_slices_that_do_not_say_where_they_lie_are_no_volume(tmp_path):
    for path in series(tmp_path / "a").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\x20\0\x32\0", b"\x20\0\x31\0"))
    refused(tmp_path / "a", "does not say where its slice lies")


def test_one_slice_of_a_series_is_not_taken_for_the_volume(tmp_path):
    folder = series(tmp_path / "a")
    refused(folder / "3.dcm", f"one of the {SLICES} slices of a DICOM series; give its folder")


def test_several_frames_in_one_file_are_refused_because_they_may_be_slices_or_times(tmp_path):
    (tmp_path / "a").mkdir()
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 900, (12, 7, 8)).astype(np.uint16))
    sitk.WriteImage(image, str(tmp_path / "a" / "all.dcm"))
    refused(tmp_path / "a" / "all.dcm", "12 frames.*dcm2niix")
    with pytest.raises(InputError, match="all.dcm: a DICOM file of 12 frames"):
        read_image(tmp_path / "a")
    with pytest.raises(InputError, match="12 frames"):
        open_frames(tmp_path / "a" / "all.dcm")
