"""Each row of the table in Docs/formats.md, tried."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.images import check_output, read_image

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "formats.md"
ROWS = {
    cells[0].strip("`"): cells
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and (cells := [cell.strip() for cell in line.strip("| ").split(" | ")])[0] != "image"
}
FILES = [name for name in ROWS if name.startswith(".")]


def image():
    return sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (8, 7, 6)).astype(np.int16))


def test_every_row_of_the_table_is_tried_here():
    assert {*FILES, "a folder of DICOM"} == set(ROWS)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("compress", [False, True])
def test_what_the_table_says_is_read_is_read(tmp_path, name, compress):
    path = tmp_path / f"a{name}"
    sitk.WriteImage(image(), str(path), compress)
    assert np.array_equal(*map(sitk.GetArrayFromImage, (read_image(path), image())))


@pytest.mark.parametrize("name", FILES)
def test_what_the_table_says_is_written_is_written(tmp_path, name):
    if ROWS[name][2] == "yes":
        check_output(tmp_path / f"a{name}")
    else:
        with pytest.raises(InputError, match=re.escape(name)):
            check_output(tmp_path / f"a{name}")


@pytest.mark.parametrize("name", FILES)
def test_what_the_table_says_is_refused_is_refused(tmp_path, name):
    path = tmp_path / f"a{name}"
    sitk.WriteImage(image(), str(path), name in (".nrrd", ".nii.gz"))
    whole = path.read_bytes()
    if name in (".nrrd", ".nii.gz"):
        path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    elif name == ".nii":
        path.write_bytes(whole[:-2])
    elif name == ".mha":
        path.write_bytes(whole.replace(b"BinaryData = True", b"BinaryData = False"))
    else:
        path.write_bytes(re.sub(rb"a\.z?raw(\.gz)?", b"../a.raw", whole))
    with pytest.raises(InputError, match=re.escape(path.name)):
        read_image(path)


def test_zlib_is_what_a_compressed_mha_is(tmp_path):
    sitk.WriteImage(image(), str(tmp_path / "a.mha"), True)
    voxels = (tmp_path / "a.mha").read_bytes().partition(b"LOCAL\n")[2]
    assert zlib.decompress(voxels) == sitk.GetArrayFromImage(image()).tobytes()
