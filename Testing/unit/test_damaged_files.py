"""Files that are not what they seem: damaged, padded, misnamed, or claiming more than they hold."""

from __future__ import annotations

import gzip
import io
import os
import re
import shlex
import subprocess
import sys
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files import compressed
from VoxelMorphRegistrationLib.files.displacements import read_displacement
from VoxelMorphRegistrationLib.files.images import read_image, read_labels
from VoxelMorphRegistrationLib.files.segmentations import read_segmentation
from VoxelMorphRegistrationLib.propagation.frames import open_frames

SIZE = (20, 18, 16)


def noise(size=SIZE, seed=0):
    image = sitk.GetImageFromArray(np.random.default_rng(seed).integers(0, 900, size[::-1]).astype(np.int16))
    image.SetSpacing([1.5] * len(size))
    return image


def written(path, image=None):
    sitk.WriteImage(noise() if image is None else image, str(path), True)
    return path.read_bytes()


def refused(call, *parts):
    with pytest.raises(InputError) as caught:
        call()
    for part in parts:
        assert str(part) in str(caught.value)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_compressed_image_with_one_bit_flipped_is_refused(tmp_path, suffix, place):
    path = tmp_path / f"a{suffix}"
    whole = bytearray(written(path))
    whole[int(len(whole) * place)] ^= 4
    path.write_bytes(whole)
    refused(lambda: read_image(path), path, "damaged")


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_compressed_image_whose_tail_was_never_written_is_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    whole = written(path)
    kept = int(len(whole) * 0.6)
    path.write_bytes(whole[:kept] + bytes(len(whole) - kept))
    refused(lambda: read_image(path), path, "copy or download it again")


def test_a_flipped_bit_in_a_segmentation_or_displacement_is_refused_as_in_an_image(tmp_path):
    labels = noise() > 450
    whole = bytearray(written(tmp_path / "a.seg.nrrd", labels))
    whole[-60] ^= 1
    (tmp_path / "a.seg.nrrd").write_bytes(whole)
    refused(lambda: read_segmentation(tmp_path / "a.seg.nrrd"), "a.seg.nrrd")
    field = sitk.Compose([sitk.Cast(noise(seed=n), sitk.sitkFloat32) for n in range(3)])
    whole = bytearray(written(tmp_path / "field.nrrd", field))
    whole[-60] ^= 1
    (tmp_path / "field.nrrd").write_bytes(whole)
    refused(lambda: read_displacement(tmp_path / "field.nrrd"), "field.nrrd", "damaged")


@pytest.mark.parametrize(
    "pack",
    [
        lambda raw: gzip.compress(raw) + bytes(500),
        lambda raw: b"".join(gzip.compress(raw[start : start + 3000]) for start in range(0, len(raw), 3000)),
        lambda raw: b"".join(gzip.compress(raw[start : start + 3000]) for start in range(0, len(raw), 3000)) + bytes(9),
        lambda raw: gzip.compress(raw) + b"something else",
        lambda raw: raw,
    ],
    ids=["zeros behind", "several members", "both", "other bytes behind", "not compressed at all"],
)
def test_gzip_in_every_form_that_gzip_itself_takes_is_read(tmp_path, pack):
    image = noise()
    sitk.WriteImage(image, str(tmp_path / "raw.nii"))
    (tmp_path / "a.nii.gz").write_bytes(pack((tmp_path / "raw.nii").read_bytes()))
    read = read_image(tmp_path / "a.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))
    frames = [noise(seed=number) for number in range(3)]
    sitk.WriteImage(sitk.JoinSeries(frames), str(tmp_path / "raw.nii"))
    (tmp_path / "series.nii.gz").write_bytes(pack((tmp_path / "raw.nii").read_bytes()))
    series = open_frames(tmp_path / "series.nii.gz")
    assert [np.array_equal(*map(sitk.GetArrayFromImage, (series[n], frames[n]))) for n in range(3)] == [True] * 3


@pytest.mark.parametrize("suffix", [".nii.gz", ".seq.nrrd"])
def test_no_frame_of_a_damaged_stream_is_believed(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    whole = bytearray(written(path, sitk.JoinSeries([noise(seed=n) for n in range(4)])))
    whole[int(len(whole) * 0.7)] ^= 4
    path.write_bytes(whole)
    for index in (0, 3, 1):
        refused(lambda index=index: open_frames(path)[index], path, "damaged")


def test_a_stream_that_found_no_room_once_is_never_gone_on_with(tmp_path, monkeypatch):
    path = tmp_path / "a.nii.gz"
    written(path, sitk.JoinSeries([noise(seed=n) for n in range(4)]))
    frames = open_frames(path)

    class Full(io.BytesIO):
        def write(self, block):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda prefix: Full())
    for index in (0, 1, 3):
        refused(lambda index=index: frames[index], "no room")


@pytest.mark.parametrize("kind", ["nrrd", "nii", "nii.gz", "mha"])
def test_a_small_file_that_claims_gigabytes_is_refused_without_taking_them(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    raw = np.zeros(8, np.int16).tobytes()
    if kind == "nrrd":
        head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 3000 3000 1200\nencoding: gzip\nendian: little\n\n"
        path.write_bytes(head.encode() + gzip.compress(raw))
    elif kind == "mha":
        head = "ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\nDimSize = 3000 3000 1200\n"
        path.write_bytes(head.encode() + b"ElementType = MET_SHORT\nElementDataFile = LOCAL\n" + zlib.compress(raw))
    else:
        header = nibabel.Nifti1Header()
        header.set_data_shape((3000, 3000, 1200))
        header.set_data_dtype(np.int16)
        header["vox_offset"], header["magic"] = 352, b"n+1"
        whole = header.binaryblock + bytes(4) + raw
        path.write_bytes(gzip.compress(whole) if kind == "nii.gz" else whole)
    refused(lambda: read_image(path), path)


def test_a_bomb_names_the_setting_that_lets_it_in(tmp_path, monkeypatch):
    path = tmp_path / "a.nrrd"
    head = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 200 200 200\nencoding: gzip\nendian: little\n\n"
    path.write_bytes(head.encode() + gzip.compress(bytes(200**3)))
    assert read_image(path).GetSize() == (200, 200, 200)
    monkeypatch.setenv(compressed.LARGEST_VARIABLE, "0.001")
    refused(lambda: read_image(path), path, "VOXELMORPH_LARGEST_GB")
    monkeypatch.setenv(compressed.LARGEST_VARIABLE, "a lot")
    refused(lambda: read_image(path), "VOXELMORPH_LARGEST_GB", "a lot")


def test_a_sequence_that_claims_a_billion_frames_is_refused(tmp_path):
    head = "NRRD0004\ntype: uchar\ndimension: 4\nsizes: 4 4 4 1000000000\nkinds: domain domain domain list\n"
    (tmp_path / "a.seq.nrrd").write_bytes(head.encode() + b"encoding: raw\n\n" + bytes(1000))
    refused(lambda: open_frames(tmp_path / "a.seq.nrrd"), "claims")


@pytest.mark.parametrize("place", ["../outside.raw", "/dev/zero", "pipe", "gone.raw"])
@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
def test_a_header_has_its_voxels_beside_it_or_is_refused(tmp_path, place, kind):
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "outside.raw").write_bytes(bytes(64))
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
    path = folder / f"a.{kind}"
    if kind == "nhdr":
        path.write_text(
            f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\nendian: little\ndata file: {place}\n"
        )
    else:
        path.write_text(
            f"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = {place}\n"
        )
    refused(lambda: read_image(path), path, place)


def test_detached_headers_with_their_voxels_beside_them_are_read(tmp_path):
    for name in ("a.nhdr", "a.mhd"):
        sitk.WriteImage(noise(), str(tmp_path / name), name.endswith("nhdr"))
        assert np.array_equal(*map(sitk.GetArrayFromImage, (read_image(tmp_path / name), noise())))


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_a_file_of_voxels_with_more_bytes_than_its_header_accounts_for_is_refused(tmp_path, name):
    sitk.WriteImage(noise(), str(tmp_path / name))
    voxels = tmp_path / "a.raw"
    whole = voxels.read_bytes()
    voxels.write_bytes(bytes(100) + whole)
    refused(lambda: read_image(tmp_path / name), tmp_path / name, f"are {len(whole)} bytes and a.raw has")
    if name == "a.mhd":
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text.replace("ElementDataFile", "HeaderSize = 100\nElementDataFile"))
        assert np.array_equal(*map(sitk.GetArrayFromImage, (read_image(tmp_path / name), noise())))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.nrrd")
    refused(lambda: read_image(tmp_path / "a.nrrd"), "no file")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such names")
def test_a_name_that_is_not_utf_8_is_refused_before_itk_ends_the_process(tmp_path):
    written(tmp_path / "a.nrrd")
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.nrrd")
    os.rename(tmp_path / "a.nrrd", path)
    with pytest.raises(InputError, match="rename it") as caught:
        read_image(path)
    str(caught.value).encode()


def coronal(path, dtype, count=None, units=False):
    """Slices of x and z as Slicer and MRI scanners write them: two axes, or two and time, that lie in 3D."""
    rng = np.random.default_rng(1)
    stack = rng.integers(0, 3, (*([] if count is None else [count]), 10, 12)).astype(dtype)
    sizes, none = "12 10" if count is None else f"12 10 {count}", "" if count is None else " none"
    head = f"NRRD0005\ntype: {'short' if dtype == np.int16 else 'uchar'}\ndimension: {stack.ndim}\n"
    head += "space: left-posterior-superior\n" + f"sizes: {sizes}\n"
    head += f"space directions: (1.5,0,0) (0,0,-2){none}\n" + f"kinds: domain domain{' list' if count else ''}\n"
    head += "endian: little\nencoding: raw\nspace origin: (10,20,30)\n"
    head += 'labels: "" "" "time"\nunits: "mm" "mm" "ms"\n' if units else ""
    path.write_bytes(head.encode() + b"\n" + stack.tobytes())
    return stack


def test_coronal_slices_over_time_are_frames_as_axial_ones_are(tmp_path):
    stack = coronal(tmp_path / "cine.nrrd", np.int16, 4, units=True)
    labels = coronal(tmp_path / "label.nrrd", np.uint8)
    frames = open_frames(tmp_path / "cine.nrrd")
    assert (len(frames), frames.index_name, frames.index_unit) == (4, "time", "ms")
    for index in range(4):
        assert np.array_equal(sitk.GetArrayFromImage(frames[index]), stack[index])
    drawn = read_labels(tmp_path / "label.nrrd")
    assert np.array_equal(sitk.GetArrayFromImage(drawn), labels)
    for image in (frames[0], drawn):
        assert image.GetSize() == (12, 10) and image.GetSpacing() == (1.5, 2.0)
        # Voxel (1, 1) is at (11.5, 20, 28): left and superior are the coordinates of a coronal plane.
        assert np.allclose(image.TransformIndexToPhysicalPoint((1, 1)), (11.5, 28.0))


@pytest.mark.parametrize(
    "unit, step, offset, values",
    [
        ("msec", 33.3, 0, ["0", "33.3", "66.6"]),
        ("sec", 2, 100, ["100", "102", "104"]),
        ("sec", 0.0004, 0, ["0", "0.0004", "0.0008"]),
        ("msec", 1 / 3, 0.1, ["0.1", "0.43333334", "0.76666668"]),
    ],
)
def test_the_times_of_a_nifti_are_what_was_meant_and_begin_at_its_offset(tmp_path, unit, step, offset, values):
    image = nibabel.Nifti1Image(np.random.default_rng(0).integers(0, 9, (4, 4, 4, 3)).astype(np.int16), np.eye(4))
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4], image.header["toffset"] = step, offset
    nibabel.save(image, tmp_path / "a.nii.gz")
    frames = open_frames(tmp_path / "a.nii.gz")
    assert [frames.value(index) for index in range(3)] == values


def test_the_command_that_a_sheared_image_is_refused_with_makes_one_that_is_read(tmp_path):
    affine = np.diag([2.0, 2, 2, 1])
    affine[1, 2] = 0.2
    array = np.random.default_rng(0).random((8, 8, 8), np.float32)
    nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / "gantry.nii.gz")
    with pytest.raises(InputError, match="sheared by 5.7 degrees") as caught:
        read_image(tmp_path / "gantry.nii.gz")
    command = re.search(r'python -c ".*"', str(caught.value)).group().replace("python", sys.executable, 1)
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True)
    assert read_image(tmp_path / "resampled.nii.gz").GetSpacing() == pytest.approx((2, 2, np.hypot(2, 0.2)))


@pytest.mark.parametrize(
    "change",
    [("NDims = 3", "NDims = 1e300"), ("NDims = 3", "NDims = -1"), ("BinaryData = True", "BinaryData = \nx\nTrue"),
     ("ElementType = MET_SHORT\n", ""), ("CompressedData = False", "CompressedData = True"),
     ("ElementDataFile", "HeaderSize = 100\nElementDataFile"),
     ("ElementSpacing = 1.5 1.5 1.5", "ElementSpacing = 1.5")],
)  # fmt: skip
def test_a_metaimage_header_that_would_end_the_process_or_give_wrong_voxels_is_refused(tmp_path, change):
    path = tmp_path / "a.mha"
    sitk.WriteImage(noise(), str(path))
    head, mark, voxels = path.read_bytes().partition(b"LOCAL\n")
    path.write_bytes(head.decode().replace(*change).encode() + mark + voxels)
    refused(lambda: read_image(path), path)
