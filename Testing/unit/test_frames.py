"""Frames from every place they come from, held against SimpleITK, nibabel and Slicer's own writer."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.propagation.frames import ReadableFrames, open_frames

SHAPE = (4, 5, 6)  # k, j, i
OBLIQUE = (0.0, -0.8, 0.6, 1.0, 0.0, 0.0, 0.0, 0.6, 0.8)


def image_of(index: int, dtype=np.int16) -> sitk.Image:
    array = (np.arange(np.prod(SHAPE)).reshape(SHAPE) + 1000 * index).astype(dtype)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.5, 2.0, 3.0))
    image.SetOrigin((-10.0, 20.0, 30.0))
    image.SetDirection(OBLIQUE)
    return image


def assert_same(image: sitk.Image, expected: sitk.Image) -> None:
    assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(image, name)(), getattr(expected, name)(), atol=1e-4)


@pytest.fixture
def series() -> list[sitk.Image]:
    return [image_of(index) for index in range(12)]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("compress", [True, False])
def test_each_frame_of_a_4d_file_is_the_volume_that_simpleitk_joined_into_it(tmp_path, series, name, compress):
    sitk.WriteImage(sitk.JoinSeries(series), str(tmp_path / name), compress)
    frames = open_frames(tmp_path / name)
    assert len(frames) == 12
    for index in (11, 3, 0, 7):
        assert_same(frames[index], series[index])


def test_frames_of_a_scaled_nifti_have_their_real_values(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    stored = np.arange(6 * 5 * 4 * 3).reshape(6, 5, 4, 3).astype(np.int16)
    image = nibabel.Nifti1Image(stored, np.diag([2.0, 2.0, 2.0, 1.0]))
    image.header.set_slope_inter(0.5, -3.0)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.5
    nibabel.save(image, tmp_path / "a.nii.gz")
    frames = open_frames(tmp_path / "a.nii.gz")
    expected = nibabel.load(tmp_path / "a.nii.gz").get_fdata()[..., 2]
    assert np.allclose(sitk.GetArrayFromImage(frames[2]).transpose(2, 1, 0), expected)
    assert (frames.index_name, frames.index_unit, frames.value(2)) == ("time", "s", "5")


def nrrd_bytes(series, list_axis: int, encoding: str) -> bytes:
    """As Slicer writes sequences: the list axis is the fastest up to 5.8, the slowest from 5.10."""
    stack = np.stack([sitk.GetArrayFromImage(image) for image in series], axis=0 if list_axis == 3 else -1)
    grid = series[0]
    steps = np.reshape(grid.GetDirection(), (3, 3)) * np.asarray(grid.GetSpacing())
    vectors = ["(" + ",".join(repr(float(v)) for v in steps[:, a]) + ")" for a in range(3)]
    axes = [str(n) for n in grid.GetSize()]
    kinds = ["domain"] * 3
    for parts, extra in ((vectors, "none"), (axes, str(len(series))), (kinds, "list")):
        parts.insert(list_axis, extra)
    labels = ['""'] * 3
    labels.insert(list_axis, '"time"')
    units = ['""'] * 3
    units.insert(list_axis, '"ms"')
    header = f"""NRRD0004
# comment
type: short
dimension: 4
space: left-posterior-superior
sizes: {" ".join(axes)}
space directions: {" ".join(vectors)}
kinds: {" ".join(kinds)}
labels: {" ".join(labels)}
units: {" ".join(units)}
endian: little
encoding: {encoding}
space origin: ({",".join(repr(float(v)) for v in grid.GetOrigin())})
DataNodeClassName:=vtkMRMLScalarVolumeNode
axis {list_axis} index type:=numeric
axis {list_axis} index values:={" ".join(f"{i * 0.5}" for i in range(len(series)))}

"""
    voxels = stack.astype("<i2").tobytes()
    return header.encode() + (gzip.compress(voxels) if encoding == "gzip" else voxels)


@pytest.mark.parametrize("list_axis", [0, 3])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_a_slicer_sequence_gives_its_frames_and_index_values_wherever_its_list_axis_lies(
    tmp_path, series, list_axis, encoding
):
    (tmp_path / "a.seq.nrrd").write_bytes(nrrd_bytes(series, list_axis, encoding))
    frames = open_frames(tmp_path / "a.seq.nrrd")
    assert (len(frames), frames.index_name, frames.index_unit, frames.index_type) == (12, "time", "ms", "numeric")
    assert [frames.value(i) for i in (0, 1, 11)] == ["0.0", "0.5", "5.5"]
    for index in (5, 0, 11):
        assert_same(frames[index], series[index])
    assert ("in one pass" in frames.preparation) == (list_axis == 0)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_interleaved_frames_are_put_in_order_in_blocks_of_any_size(tmp_path, series, encoding, monkeypatch):
    from VoxelMorphRegistrationLib.files import compressed, interleaved

    monkeypatch.setattr(interleaved, "_BLOCK", 1000)
    # As of a file of gigabytes, whose blocks and what may follow them are little of it.
    monkeypatch.setattr(compressed, "_BLOCK", 500)
    monkeypatch.setattr(interleaved, "_MORE", 0)
    content = nrrd_bytes(series, 0, encoding)
    (tmp_path / "a.seq.nrrd").write_bytes(content + (b"" if encoding == "gzip" else b"more"))
    frames = open_frames(tmp_path / "a.seq.nrrd")
    for index in range(len(series)):
        assert_same(frames[index], series[index])
    (tmp_path / "cut.seq.nrrd").write_bytes(content[: -len(content) // 4])
    with pytest.raises(InputError, match=r"cut\.seq\.nrrd: .*(cut short|damaged)"):
        open_frames(tmp_path / "cut.seq.nrrd")[0]


def test_a_file_that_is_cut_short_loses_only_the_frames_that_are_missing(tmp_path, series):
    whole = nrrd_bytes(series, 3, "raw")
    (tmp_path / "a.seq.nrrd").write_bytes(whole[:-10])
    frames = open_frames(tmp_path / "a.seq.nrrd")
    assert_same(frames[10], series[10])
    with pytest.raises(InputError, match="frame 11 is cut short"):
        frames[11]


def test_the_real_oblique_series_is_read_frame_by_frame_as_simpleitk_reads_it_whole(shared_data):
    path = shared_data / "oblique" / "pcasl.nii.gz"
    whole = sitk.ReadImage(str(path))
    frames = open_frames(path)
    assert len(frames) == whole.GetSize()[3]
    assert_same(frames[9], whole[:, :, :, 9])


def test_a_folder_gives_its_images_in_natural_order_and_leaves_other_files_alone(tmp_path, series):
    for index in (10, 9, 2):
        sitk.WriteImage(series[index], str(tmp_path / f"frame{index}.nrrd"))
    (tmp_path / "notes.csv").write_text("x")
    frames = open_frames(tmp_path)
    assert [frames.file(i).name for i in range(3)] == ["frame2.nrrd", "frame9.nrrd", "frame10.nrrd"]
    assert_same(frames[1], series[9])
    assert [p.name for p in (open_frames(str(tmp_path / "frame*.nrrd")).file(i) for i in range(3))] == [
        "frame2.nrrd",
        "frame9.nrrd",
        "frame10.nrrd",
    ]


def test_a_text_file_lists_paths_relative_to_itself_in_its_own_order(tmp_path, series):
    (tmp_path / "images").mkdir()
    for index in (0, 1):
        sitk.WriteImage(series[index], str(tmp_path / "images" / f"{index}.nrrd"))
    (tmp_path / "list.txt").write_text("# frames\nimages/1.nrrd\n\nimages/0.nrrd\n")
    frames = open_frames(tmp_path / "list.txt")
    assert_same(frames[0], series[1])


def test_images_in_memory_are_frames(series):
    frames = open_frames(series)
    assert len(frames) == 12 and frames.file(0) is None
    assert_same(frames[4], series[4])


def test_a_frame_that_cannot_be_read_is_replaced_by_its_neighbour_where_any_will_do(tmp_path, series):
    for index in (0, 2):
        sitk.WriteImage(series[index], str(tmp_path / f"{index}.nrrd"))
    frames = ReadableFrames(open_frames([tmp_path / f"{index}.nrrd" for index in range(4)]))
    assert_same(frames[3], series[2])
    assert_same(frames[0], series[0])


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda p: p / "missing.nrrd", "no such file"),
        (lambda p: str(p / "x*.nrrd"), "no file has such a name"),
        (lambda p: p, "no image files"),
        (lambda p: [], "empty"),
    ],
)
def test_what_is_no_sequence_is_refused_with_its_name(tmp_path, make, reason):
    with pytest.raises(InputError, match=reason):
        open_frames(make(tmp_path))


def test_a_3d_volume_is_no_sequence(tmp_path):
    for name in ("a.nrrd", "a.nii.gz", "a.mha"):
        sitk.WriteImage(image_of(0), str(tmp_path / name))
        with pytest.raises(InputError, match="4D file"):
            open_frames(tmp_path / name)


def test_an_empty_or_foreign_file_is_refused(tmp_path):
    for name in ("a.nrrd", "a.nii.gz", "a.mha"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputError, match="empty"):
            open_frames(tmp_path / name)
        (tmp_path / name).write_bytes(b"this is not an image at all, whatever its name says" * 20)
        with pytest.raises(InputError, match=name):
            open_frames(tmp_path / name)


def test_reading_a_long_compressed_file_keeps_one_frame_in_memory(tmp_path):
    import resource

    frame = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 9, (64, 128, 128)).astype(np.int16))
    sitk.WriteImage(sitk.JoinSeries([frame] * 40), str(tmp_path / "a.nrrd"), True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    frames = open_frames(tmp_path / "a.nrrd")
    for index in range(40):
        frames[index]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # kB; all frames are 84 MB
