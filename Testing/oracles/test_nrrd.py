"""Headers of NRRD files against pynrrd, the reference reader of the format in Python."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.oracle_tools import tool
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.label_sequences import SequenceFrame, write_label_sequence
from VoxelMorphRegistrationLib.files.nrrd import read_nrrd_header
from VoxelMorphRegistrationLib.files.segmentations import write_segmentation
from VoxelMorphRegistrationLib.propagation.frames import open_frames
from VoxelMorphRegistrationLib.space.grid import Grid

nrrd = tool("nrrd", "pynrrd")

OBLIQUE = Grid((5, 6, 4), (1.5, 2.0, 3.0), (-10.0, 20.0, 30.0), (0.0, -0.8, 0.6, 1.0, 0.0, 0.0, 0.0, 0.6, 0.8))
WHOLE_NUMBERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "LPS": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "RAS": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
}


def random_voxels(shape, dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


def written_sequence(folder, dtype=np.uint8) -> tuple[list[np.ndarray], object]:
    arrays = [random_voxels(OBLIQUE.shape, dtype) + np.array(n, dtype) for n in range(3)]
    frames = []
    for number, array in enumerate(arrays):
        sitk.WriteImage(OBLIQUE.image(array), str(folder / f"{number}.nrrd"))
        frames.append(SequenceFrame(folder / f"{number}.nrrd", f"{number} 5", {"Note": "two\nlines"}))
    write_label_sequence(folder / "a.seq.nrrd", frames, OBLIQUE, "trigger time", "ms")
    return arrays, folder / "a.seq.nrrd"


@pytest.mark.parametrize("dtype", WHOLE_NUMBERS)
def test_pynrrd_reads_every_voxel_of_a_label_sequence_in_its_type(tmp_path, dtype):
    arrays, path = written_sequence(tmp_path, dtype)
    voxels, header = nrrd.read(str(path), index_order="C")
    assert voxels.dtype == np.dtype(dtype)
    assert np.array_equal(voxels, arrays)
    assert header["sizes"].tolist() == [5, 6, 4, 3]


def test_pynrrd_reads_where_a_label_sequence_lies_and_what_its_frames_are(tmp_path):
    _, path = written_sequence(tmp_path)
    header = nrrd.read_header(str(path))
    assert header["space"] == "left-posterior-superior"
    assert np.allclose(header["space origin"], OBLIQUE.origin)
    steps = np.reshape(OBLIQUE.direction, (3, 3)) * OBLIQUE.spacing
    assert np.allclose(header["space directions"][:3], steps.T)
    assert header["kinds"] == ["domain", "domain", "domain", "list"]
    assert header["labels"][3] == "trigger time" and header["units"][3] == "ms"
    assert header["axis 3 index values"] == "0%205 1%205 2%205"


def test_pynrrd_reads_the_segments_of_a_segmentation_file(tmp_path):
    labels = OBLIQUE.image((random_voxels(OBLIQUE.shape) % 3).astype(np.uint8))
    write_segmentation(Segmentation.of(labels), tmp_path / "a.seg.nrrd")
    voxels, header = nrrd.read(str(tmp_path / "a.seg.nrrd"), index_order="C")
    assert np.array_equal(voxels, sitk.GetArrayFromImage(labels))
    assert [header[f"Segment{n}_LabelValue"] for n in range(2)] == ["1", "2"]
    assert np.allclose(header["space origin"], OBLIQUE.origin)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_a_header_that_pynrrd_wrote_says_the_same_here(tmp_path, space, encoding):
    directions = np.array([[0.0, 1.5, 0.0], [-1.6, 0.0, 1.2], [1.8, 0.0, 2.4], [np.nan] * 3])
    voxels = random_voxels((5, 6, 4, 3))
    given = {
        "space": space,
        "space directions": directions,
        "space origin": np.array([1.0, -2.5, 3.0]),
        "kinds": ["domain", "domain", "domain", "list"],
        "labels": ["", "", "", "phase"],
        "units": ["mm", "mm", "mm", "percent"],
        "encoding": encoding,
        "axis 3 index values": "0 10 20",
    }
    nrrd.write(str(tmp_path / "a.nrrd"), voxels, given, custom_field_map={"axis 3 index values": "string"})
    header = read_nrrd_header(tmp_path / "a.nrrd")
    assert (header.sizes, header.dtype, header.encoding) == ((5, 6, 4, 3), np.dtype("<i2"), encoding)
    assert (header.labels()[3], header.labels("units")[3]) == ("phase", "percent")
    assert header.kinds[3] == "list" and header.metadata["axis 3 index values"] == "0 10 20"
    steps = header.directions()
    assert np.allclose(steps[:3], directions[:3] * SPACES[space]) and steps[3] is None
    assert np.allclose(header.origin(), np.array([1.0, -2.5, 3.0]) * SPACES[space])
    stored = (tmp_path / "a.nrrd").read_bytes()[header.offset :]
    assert (gzip.decompress(stored) if encoding == "gzip" else stored) == voxels.tobytes("F")


@pytest.mark.parametrize("dtype", [*WHOLE_NUMBERS, np.float32, np.float64])
@pytest.mark.parametrize("order", "<>")
def test_voxels_of_every_type_and_byte_order_that_pynrrd_writes_are_read_frame_by_frame(tmp_path, dtype, order):
    voxels = random_voxels((5, 6, 4, 3)).astype(np.dtype(dtype).newbyteorder(order))
    given = {"kinds": ["domain", "domain", "domain", "list"], "encoding": "raw"}
    nrrd.write(str(tmp_path / "a.nrrd"), voxels, given)
    frames = open_frames(tmp_path / "a.nrrd")
    for number in range(3):
        found = sitk.GetArrayFromImage(frames[number])
        assert found.dtype == np.dtype(dtype)
        assert np.array_equal(found.T, voxels[..., number])


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_a_detached_header_of_pynrrd_leads_to_its_voxels(tmp_path, encoding):
    voxels = random_voxels((5, 6, 4, 3))
    given = {"kinds": ["domain", "domain", "domain", "list"], "encoding": encoding}
    nrrd.write(str(tmp_path / "a.nhdr"), voxels, given, detached_header=True)
    header = read_nrrd_header(tmp_path / "a.nhdr")
    assert header.data.is_file() and header.data != tmp_path / "a.nhdr"
    assert np.array_equal(sitk.GetArrayFromImage(open_frames(tmp_path / "a.nhdr")[2]).T, voxels[..., 2])


@pytest.mark.parametrize("encoding", ["ascii", "bzip2"])
def test_an_encoding_that_has_no_frames_to_enter_is_refused_with_its_name(tmp_path, encoding):
    nrrd.write(str(tmp_path / "a.nrrd"), random_voxels((5, 6, 4, 3)), {"encoding": encoding})
    with pytest.raises(InputError, match=r"a\.nrrd: the encoding .* is not supported"):
        read_nrrd_header(tmp_path / "a.nrrd")
