"""Each row of the tables in Docs/formats.md, tried."""

from __future__ import annotations

import io
import json
import pickle
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.soak.fuzz_seeds import Seed, make_seeds
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.images import check_output, read_image
from VoxelMorphRegistrationLib.files.markups import read_points, write_points
from VoxelMorphRegistrationLib.files.meshes import read_surface, write_surface
from VoxelMorphRegistrationLib.files.segmentations import read_segmentation, write_segmentation
from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.models.weights import read_weights
from VoxelMorphRegistrationLib.propagation.frames import open_frames

PAGE = Path(__file__).resolve().parents[2] / "Docs" / "formats.md"


def tables() -> dict[str, dict[str, list[str]]]:
    """Of each table the rows, by their first cells."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("| "):
            continue
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if cells[1] == "read":
            table = found.setdefault(cells[0], {})
        else:
            table[cells[0].strip("`")] = cells
    return found


TABLES = tables()
FILES = [name for name in TABLES["image"] if name.startswith(".")]


SLICES = (".png", ".tif")


def image(name: str = ""):
    shape, kind = ((7, 6), np.uint8) if name in SLICES else ((8, 7, 6), np.int16)
    return sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, shape).astype(kind))


def test_every_table_is_tried_here():
    assert {*FILES, "a folder of DICOM"} == set(TABLES["image"])
    assert set(TABLES) == {"image", *CASES}
    for table, cases in CASES.items():
        assert set(TABLES[table]) == {*cases, *ALSO.get(table, ())}, table


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("compress", [False, True])
def test_what_the_table_says_is_read_is_read(tmp_path, name, compress):
    path = tmp_path / f"a{name}"
    sitk.WriteImage(image(name), str(path), compress)
    assert np.array_equal(*map(sitk.GetArrayFromImage, (read_image(path), image(name))))


@pytest.mark.parametrize("name", FILES)
def test_what_the_table_says_is_written_is_written(tmp_path, name):
    if TABLES["image"][name][2] == "yes":
        check_output(tmp_path / f"a{name}")
    else:
        with pytest.raises(InputError, match=re.escape(name)):
            check_output(tmp_path / f"a{name}")


@pytest.mark.parametrize("name", FILES)
def test_what_the_table_says_is_refused_is_refused(tmp_path, name):
    path = tmp_path / f"a{name}"
    sitk.WriteImage(image(name), str(path), name in (".nrrd", ".nii.gz"))
    whole = path.read_bytes()
    if name in (".nrrd", ".nii.gz"):
        path.write_bytes(wrong_checksum(whole))
    elif name == ".nii":
        path.write_bytes(whole[:-2])
    elif name == ".hdr":
        path.with_suffix(".img").write_bytes(path.with_suffix(".img").read_bytes()[:-2])
    elif name in SLICES:
        sitk.WriteImage(sitk.Compose([image(name)] * 3), str(path))
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


@dataclass(frozen=True)
class Case:
    """What a row says: `seeds` are good files, `spoilt` makes a bad one of the first (None: voxels that are no whole
    numbers), `write` makes one.
    """

    seeds: tuple[str, ...]
    spoilt: Callable[[bytes], bytes] | None
    write: Callable[[Path, dict[str, Seed]], object] | None = None
    read: Callable[[Path], object] | None = None


def wrong_checksum(whole: bytes) -> bytes:
    return whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:]


def half(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def pickled(whole: bytes) -> bytes:
    return pickle.dumps(print)


def objects(whole: bytes) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([print]), allow_pickle=True)
    return stream.getvalue()


def archived(whole: bytes) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, displacement=np.array([print], dtype=object))
    return stream.getvalue()


def field(seeds: dict[str, Seed], constant: bool = False) -> sitk.Image:
    vectors = np.random.default_rng(1).normal(0, 1, (8, 10, 12, 3)).astype(np.float32)
    made = sitk.GetImageFromArray(np.full_like(vectors, 2.0) if constant else vectors, isVector=True)
    made.CopyInformation(sitk.ReadImage(str(seeds["image.nrrd"].path)))
    return made


def writes_field(convention: str, constant: bool = False, **options: object):
    def write(path: Path, seeds: dict[str, Seed]) -> None:
        moving = seeds["image.nrrd"].path
        exchange.write(field(seeds, constant), path, convention, moving=moving, **options)

    return write


def writes_labels(path: Path, seeds: dict[str, Seed]) -> None:
    write_segmentation(Segmentation.of(sitk.ReadImage(str(seeds["image.nrrd"].path)) > 100), path)


def text(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(old, new)


def vertexless(whole: bytes) -> bytes:
    return b"# nothing\n"


CASES: dict[str, dict[str, Case]] = {
    "sequence": {
        ".seq.nrrd": Case(("packed.seq.nrrd", "first.seq.nrrd"), wrong_checksum),
        ".nrrd": Case(("series.nrrd",), lambda whole: re.sub(rb"sizes: [^\n]*", b"sizes: 1 2 3", whole)),
        ".nii.gz": Case(("series.nii.gz",), wrong_checksum),
        ".mha": Case(("series.mha",), text(b"NDims = 4", b"NDims = 3")),
    },
    "segmentation": {
        ".seg.nrrd": Case(("drawn.seg.nrrd",), wrong_checksum, writes_labels),
        ".nrrd": Case(("image.nrrd",), None, writes_labels, read_segmentation),
        ".nii.gz": Case(("image.nii.gz",), None, writes_labels, read_segmentation),
        ".mha": Case(("image.mha",), None, writes_labels, read_segmentation),
    },
    "transform": {
        ".nrrd": Case(("field.nrrd",), text(b"sizes: 3 ", b"sizes: 4 "), writes_field("slicer")),
        ".mha": Case(("field.mha",), half, writes_field("itk")),
        ".nii.gz": Case(("field.nii.gz",), wrong_checksum, writes_field("ants")),
        ".h5": Case(("field.h5", "affine.h5", "spline.h5"), half, writes_field("itk")),
        ".tfm": Case(("affine.tfm", "spline.tfm"), text(b"FixedParameters", b"# "), writes_field("itk", True)),
        ".mat": Case(("affine.mat",), lambda whole: b"MATLAB 5.0 MAT-file" + bytes(200), writes_field("itk", True)),
        ".txt": Case(("elastix.txt", "matrix.txt"), lambda whole: b"nothing of the kind\n", writes_field("elastix")),
        ".lta": Case(("shift.lta",), half, writes_field("freesurfer", True)),
        ".mgz": Case(("warp.mgz",), half, writes_field("freesurfer")),
        ".npy": Case(("field.npy",), objects, writes_field("voxelmorph")),
        ".npz": Case(("stored.npz", "packed.npz"), archived, writes_field("voxelmorph")),
        ".pt": Case(("field.pt", "legacy.pt"), pickled, writes_field("voxelmorph")),
    },
    "points": {
        ".mrk.json": Case(
            ("points.mrk.json",),
            text(b'"Fiducial"', b'"Plane"'),
            lambda path, seeds: write_points(read_points(seeds["points.mrk.json"].path), path),
        ),
        ".fcsv": Case(("points.fcsv",), text(b"1.5,", b"one,")),
        ".csv": Case(("points.csv",), text(b"label,l,p,s\n", b"")),
    },
    "surface": {
        ".vtp": Case(
            ("mesh.vtp",), half, lambda path, seeds: write_surface(read_surface(seeds["mesh.vtp"].path), path)
        ),
        ".stl": Case(("mesh.stl",), half),
        ".obj": Case(("mesh.obj",), vertexless),
        ".ply": Case(("mesh.ply",), half),
        ".vtk": Case(("mesh.vtk",), half),
    },
    "network": {
        ".pt": Case(("weights.pt",), pickled, read=read_weights),
        ".h5": Case(("weights.h5",), half, read=read_weights),
        ".json": Case(("card.json",), text(b'"ndim": 3', b'"ndim": 7'), read=Card.read),
    },
}
ROWS = [(table, name) for table, cases in CASES.items() for name in cases]
ALSO = {"sequence": {".txt", ".json", "a folder"}}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> dict[str, Seed]:
    return {seed.path.name: seed for seed in make_seeds(tmp_path_factory.mktemp("seeds"))}


@pytest.mark.parametrize(("table", "name"), ROWS)
def test_a_row_is_right_of_what_is_read_and_refused(table, name, seeds, tmp_path):
    case = CASES[table][name]
    for seed in (seeds[one] for one in case.seeds):
        (case.read or seed.read)(seed.path)
    first = seeds[case.seeds[0]]
    bad = tmp_path / first.path.name
    if case.spoilt is None:
        sitk.WriteImage(sitk.Cast(sitk.ReadImage(str(first.path)), sitk.sitkFloat32) * 0.37, str(bad))
    else:
        whole = first.path.read_bytes()
        bad.write_bytes(case.spoilt(whole))
        assert bad.read_bytes() != whole
    with pytest.raises(InputError) as caught:
        (case.read or first.read)(bad)
    assert bad.name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("table", "name"), [row for row in ROWS if CASES[row[0]][row[1]].write is not None])
def test_what_a_row_says_is_written_can_be_read_again(table, name, seeds, tmp_path):
    case = CASES[table][name]
    assert not TABLES[table][name][2].startswith("no")
    path = tmp_path / f"made{name}"
    case.write(path, seeds)
    (case.read or seeds[case.seeds[0]].read)(path)


def test_points_and_surfaces_are_written_in_one_kind_of_file(seeds, tmp_path):
    points, surface = read_points(seeds["points.fcsv"].path), read_surface(seeds["mesh.vtp"].path)
    for table, write in (("points", lambda path: write_points(points, path)),
                         ("surface", lambda path: write_surface(surface, path))):  # fmt: skip
        for name, cells in TABLES[table].items():
            if cells[2] == "no":
                with pytest.raises(InputError):
                    write(tmp_path / f"a{name}")


def test_lists_and_folders_of_frames_are_sequences(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    with pytest.raises(InputError, match="frames"):
        open_frames(folder)
    for n in (10, 2, 1):
        sitk.WriteImage(image(), str(folder / f"frame{n}.nrrd"))
    frames = open_frames(folder)
    assert [frames.file(n).name for n in range(3)] == ["frame1.nrrd", "frame2.nrrd", "frame10.nrrd"]
    listed = tmp_path / "list.txt"
    listed.write_text("frames/frame2.nrrd\nframes/frame1.nrrd\n")
    assert len(open_frames(listed)) == 2
    listed.write_text("# none\n")
    with pytest.raises(InputError, match="lists no file"):
        open_frames(listed)
    listed = tmp_path / "list.json"
    first, second = ({"file": f"frames/frame{n}.nrrd", "value": value} for n, value in ((10, "0.5"), (1, "2")))
    listed.write_text(json.dumps({"index": {"name": "time", "unit": "s"}, "frames": [first, second]}))
    frames = open_frames(listed)
    assert [frames.value(0), frames.file(1).name, frames.index_name, frames.index_unit] == [
        "0.5", "frame1.nrrd", "time", "s",
    ]  # fmt: skip
    for wrong in ([first, first], [], [{"file": "frames/frame1.nrrd"}], [{"file": 1, "value": "1"}], 7):
        listed.write_text(json.dumps({"frames": wrong}))
        with pytest.raises(InputError, match="list.json: is no list of frames"):
            open_frames(listed)
    sitk.WriteImage(sitk.Cast(image(), sitk.sitkUInt8), str(folder / "other.nii.gz"))
    with pytest.raises(InputError, match="other.nii.gz"):
        open_frames(folder)
