"""Compressed and interleaved sequences: one pass over the file, said before it is done, into a file that goes away."""

from __future__ import annotations

import errno
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections import namedtuple

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.unit.test_frames import assert_same, image_of, nrrd_bytes
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files import random_access, temporary
from VoxelMorphRegistrationLib.propagation.frames import open_frames

KINDS = ["a.nii.gz", "a.nrrd", "a.mha", "a.mhd", "first.seq.nrrd", "last.seq.nrrd"]
Usage = namedtuple("Usage", "total used free")
needs_locks = pytest.mark.skipif(temporary.fcntl is None, reason="this system has no locks that end with a process")


@pytest.fixture
def series() -> list[sitk.Image]:
    return [image_of(index) for index in range(12)]


def written(folder, series, name):
    if name.endswith(".seq.nrrd"):
        (folder / name).write_bytes(nrrd_bytes(series, 0 if name.startswith("first") else 3, "gzip"))
    else:
        sitk.WriteImage(sitk.JoinSeries(series), str(folder / name), True)
    return folder / name


def unpacked(path, scratch):
    """The frames of a file that this process has unpacked for others too, and the file they are in."""
    frames = open_frames(path, shared=True)
    frames.prepare()
    (file,) = scratch.rglob("*.voxels")
    return frames, file


@pytest.mark.parametrize("name", KINDS)
def test_what_a_compressed_sequence_is_unpacked_into_is_told_before_anything_is(tmp_path, series, scratch, name):
    frames = open_frames(written(tmp_path, [image_of(index) for index in range(12)], name))
    assert f"a temporary file of 0 MB in {scratch}, where " in frames.preparation
    assert frames._series._data._temporary is None
    told = []
    frames.prepare(told.append)
    assert told[-1] == 1 and sorted(told) == told
    assert_same(frames[7], series[7])


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.mhd"])
def test_however_many_frames_are_read_a_file_is_decompressed_once(tmp_path, series, passes, name):
    frames = open_frames(written(tmp_path, series, name))
    for index in (11, 0, 5, 5, 3, 11):
        assert_same(frames[index], series[index])
    assert len(passes) == 1


@pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha"])
def test_of_an_uncompressed_sequence_nothing_is_prepared(tmp_path, series, monkeypatch, name):
    sitk.WriteImage(sitk.JoinSeries(series), str(tmp_path / name), False)
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    frames = open_frames(tmp_path / name)
    frames.prepare()
    assert frames.preparation == ""
    assert_same(frames[3], series[3])


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["False", "True"])
def test_frames_of_a_metaimage_are_those_of_simpleitk_whatever_its_numbers(tmp_path, kind, order):
    whole = sitk.JoinSeries([image_of(index % 3, kind) for index in range(5)])
    sitk.WriteImage(whole, str(tmp_path / "a.mha"), False)
    header, _, voxels = (tmp_path / "a.mha").read_bytes().partition(b"ElementDataFile = LOCAL\n")
    if order == "True":
        header = header.replace(b"OrderMSB = False", b"OrderMSB = True")
        voxels = np.frombuffer(voxels, kind).byteswap().tobytes()
    (tmp_path / "b.mha").write_bytes(header + b"ElementDataFile = LOCAL\n" + voxels)
    theirs = sitk.ReadImage(str(tmp_path / "b.mha"))
    assert np.array_equal(sitk.GetArrayFromImage(theirs), sitk.GetArrayFromImage(whole))
    frames = open_frames(tmp_path / "b.mha")
    for index in range(5):
        assert_same(frames[index], theirs[:, :, :, index])


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "first.seq.nrrd"])
def test_without_room_nothing_is_unpacked_and_what_is_needed_is_said(
    tmp_path, series, scratch, passes, name, monkeypatch
):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(10, 10, 1000))
    frames = open_frames(written(tmp_path, series, name))
    for _ in range(2):
        with pytest.raises(InputError, match=rf"{name}: no room .* in {scratch}.*needed.*free.*TMPDIR"):
            frames[0]
    assert passes == [] and not list(scratch.iterdir())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve room")
def test_room_that_is_gone_when_frames_are_put_in_order_is_an_error_and_not_the_end_of_the_process(
    tmp_path, series, scratch, monkeypatch
):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=rf"first.seq.nrrd: no room .* in {scratch} \(No space left"):
        open_frames(written(tmp_path, series, "first.seq.nrrd")).prepare()
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("name", ["a.nii.gz", "first.seq.nrrd"])
def test_a_drive_that_fails_while_a_file_is_unpacked_is_not_called_a_lack_of_room(
    tmp_path, series, scratch, name, monkeypatch
):
    def failing(*given):
        raise OSError(5, "Input/output error")

    frames = open_frames(written(tmp_path, series, name))
    monkeypatch.setattr(random_access, "unpack", failing)
    with pytest.raises(InputError, match=rf"{name}: cannot be read \(Input/output error\)"):
        frames.prepare()
    assert not list(scratch.iterdir())


@needs_locks
@pytest.mark.parametrize("name", ["a.mha", "first.seq.nrrd"])
def test_readers_that_share_a_sequence_unpack_it_once_and_the_last_one_removes_it(
    tmp_path, series, scratch, passes, name
):
    path = written(tmp_path, series, name)
    first, second = open_frames(path, shared=True), open_frames(path, shared=True)
    assert_same(first[4], series[4])
    (file,) = scratch.rglob("*.voxels")
    made = file.stat()
    assert_same(second[7], series[7])
    assert passes.count(name) <= 1
    assert list(scratch.rglob("*.voxels")) == [file] and file.stat().st_mtime_ns == made.st_mtime_ns
    del first
    gc.collect()
    assert_same(second[1], series[1])
    assert file.is_file()
    del second
    gc.collect()
    assert not file.exists()


@needs_locks
def test_another_process_finds_what_this_one_unpacked_and_takes_nothing_away(tmp_path, series, scratch):
    path = written(tmp_path, series, "a.nii.gz")
    mine, file = unpacked(path, scratch)
    code = (
        "import sys; from VoxelMorphRegistrationLib.files import random_access, series;"
        "random_access.unpack = None;"
        "from pathlib import Path;"
        "print(series.open_series(Path(sys.argv[1]), True).read(3).GetPixel(1, 2, 3))"
    )
    theirs = subprocess.run(
        [sys.executable, "-c", code, str(path)], env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True
    )
    assert theirs.stdout.decode().strip() == str(series[3].GetPixel(1, 2, 3)), theirs.stderr.decode()
    assert file.is_file()


@needs_locks
def test_what_a_killed_process_left_is_removed_and_what_was_not_finished_is_made_anew(tmp_path, series, scratch):
    path = written(tmp_path, series, "a.nii.gz")
    frames, file = unpacked(path, scratch)
    del frames
    gc.collect()
    # As a killed process leaves its own: this one half filled, and that of another sequence.
    file.write_bytes(bytes(100))
    file.with_name("other.voxels").write_bytes(bytes(100))
    assert_same(open_frames(path, shared=True)[3], series[3])
    gc.collect()
    assert not list(scratch.rglob("*.voxels"))


@needs_locks
def test_a_pass_that_is_interrupted_leaves_nothing_and_can_be_done_again(tmp_path, series, scratch):
    for shared in (False, True):
        frames = open_frames(written(tmp_path, series, "a.mha"), shared=shared)

        def stop(share):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            frames.prepare(stop)
        assert not list(scratch.rglob("*.voxels"))
        assert_same(frames[3], series[3])


@needs_locks
def test_where_another_user_took_the_name_of_the_folder_nothing_is_shared(tmp_path, series, scratch):
    (scratch / f"slicer-voxelmorph-{os.getuid()}").mkdir(mode=0o777)
    (scratch / f"slicer-voxelmorph-{os.getuid()}").chmod(0o777)
    frames = open_frames(written(tmp_path, series, "a.mha"), shared=True)
    assert_same(frames[3], series[3])
    assert not list(scratch.rglob("*.voxels"))


@pytest.fixture
def case(tmp_path):
    """A compressed sequence, what was drawn on its first frame, and the options of a run."""
    from Testing.support.propagation_cases import frame, labels, weights_file

    sitk.WriteImage(sitk.JoinSeries([frame(index) for index in range(3)]), str(tmp_path / "cine.nii.gz"), True)
    sitk.WriteImage(labels(0), str(tmp_path / "labels.nrrd"))
    given = ["--sequence", tmp_path / "cine.nii.gz", "--segmentation", tmp_path / "labels.nrrd"]
    given += ["--reference-frame", 0, "--model", weights_file(tmp_path), "--output", tmp_path / "out"]
    return [str(word) for word in given]


def test_a_dry_run_says_first_what_is_unpacked_where_and_a_run_before_it_reads(
    case, tmp_path, scratch, capsys, monkeypatch
):
    assert main(["propagate", *case, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("reading         compressed: unpacked once into a temporary file of ")
    assert str(scratch) in printed.splitlines()[0] and printed.count("reading") == 1
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(10, 10, 1000))
    assert main(["propagate", *case, "--progress", "none"]) == 1
    note, error = capsys.readouterr().err.splitlines()
    assert note.startswith(f"note: {tmp_path / 'cine.nii.gz'}: compressed: unpacked once into") and "no room" in error


def test_a_program_is_told_how_far_the_pass_is_and_who_asks_for_the_page_again_that_there_is_one(
    case, tmp_path, capsys
):
    assert main(["propagate", *case, "--progress", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    shares = [event["share"] for event in events if event["event"] == "stage" and event["name"] == "preparing"]
    assert (
        shares
        and shares[-1] == 1.0
        and events.index({"event": "stage", "name": "preparing", "share": 1.0})
        < next(number for number, event in enumerate(events) if event["event"] == "start")
    )
    assert main(["report", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.startswith("note: the sequence: compressed: unpacked once into a temporary file")
