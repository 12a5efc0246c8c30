"""What `slicer-voxelmorph propagate` refuses, and what is left and said when frames or a run fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import SimpleITK as sitk

from Testing.support.propagate_command import command, same, table, voxels
from Testing.support.propagation_cases import GRID, write_sequence
from VoxelMorphRegistrationLib.cli.main import main


def test_a_folder_that_holds_something_else_is_left_alone(case, tmp_path):
    (tmp_path / "segmentation").mkdir()
    (tmp_path / "segmentation" / "0000.nrrd").write_text("mine")
    assert command(case, tmp_path) == 1
    assert (tmp_path / "segmentation" / "0000.nrrd").read_text(encoding="utf-8") == "mine"
    (tmp_path / "file").write_text("")
    assert command(case, tmp_path / "file") == 1


def test_frames_may_not_lie_where_the_results_go(case, tmp_path, capsys):
    frames, segmentation = write_sequence(tmp_path, 2)
    frames.rename(tmp_path / "segmentation")
    assert command(case, tmp_path, sequence=tmp_path / "segmentation", segmentation=segmentation) == 1
    assert "lies where the results go" in capsys.readouterr().err
    (tmp_path / "segmentation").rename(tmp_path / "frames")
    assert command(case, tmp_path / "frames", sequence=tmp_path / "frames", segmentation=segmentation) == 1
    assert "lies where the results go" in capsys.readouterr().err
    assert command(case, tmp_path, sequence=tmp_path / "frames", segmentation=segmentation) == 0


def test_failed_frames_give_status_4_and_are_named_and_tried_again(case, tmp_path, capsys):
    frames, segmentation = write_sequence(tmp_path, 4)
    whole = (frames / "frame2.nrrd").read_bytes()
    (frames / "frame2.nrrd").write_bytes(whole[:2000])
    assert command(case, tmp_path / "out", sequence=frames, segmentation=segmentation) == 4
    assert "1 frame(s) failed: 2" in capsys.readouterr().err
    row = table(tmp_path / "out")[2]
    assert row["status"] == "failed" and "frame2.nrrd" in row["message"] and row["flag"] == "failed"
    (frames / "frame2.nrrd").write_bytes(whole)
    assert command(case, tmp_path / "out", sequence=frames, segmentation=segmentation) == 0


def test_the_log_holds_the_traceback_of_every_frame_that_failed_and_verbose_shows_it(case, tmp_path, capsys):
    frames, segmentation = write_sequence(tmp_path, 3)
    (frames / "frame1.nrrd").write_bytes(b"broken")
    files = {"sequence": frames, "segmentation": segmentation}
    assert command(case, tmp_path / "out", **files) == 4
    said = capsys.readouterr().err
    assert "Traceback" not in said and "log.txt" in said
    log = (tmp_path / "out" / "log.txt").read_text(encoding="utf-8")
    assert "frame1.nrrd" in log.splitlines()[0] and log.count("Traceback (most recent call last)") >= 1
    assert "InputError: " in log and table(tmp_path / "out")[1]["message"] in log
    assert command(case, tmp_path / "out", "--verbose", **files) == 4
    assert "Traceback" in capsys.readouterr().err
    assert len((tmp_path / "out" / "log.txt").read_text(encoding="utf-8")) == 2 * len(log)


def test_the_log_begins_anew_with_the_results_unless_it_is_what_the_run_prints_into(case, tmp_path, monkeypatch):
    frames, segmentation = write_sequence(tmp_path, 2)
    files = {"sequence": frames, "segmentation": segmentation}
    whole = (frames / "frame1.nrrd").read_bytes()
    (frames / "frame1.nrrd").write_bytes(b"broken")
    log = tmp_path / "out" / "log.txt"
    assert command(case, log.parent, **files) == 4 and log.is_file()
    (frames / "frame1.nrrd").write_bytes(whole)
    kept = os.dup(2)
    try:
        with open(log, "a") as stream:
            os.dup2(stream.fileno(), 2)
        assert command(case, log.parent, "--overwrite", **files) == 0 and "Traceback" in log.read_text()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert command(case, log.parent, "--overwrite", **files) == 0 and not log.exists()


def test_frames_that_fail_alike_one_after_another_stop_the_run_which_goes_on_afterwards(
    case, plain, tmp_path, monkeypatch, capsys
):
    from VoxelMorphRegistrationLib.registration.registrar import Registrar

    register, calls = Registrar.register, []

    def broken(self, *arguments):
        calls.append(1)
        if len(calls) > 1:
            raise AttributeError("a mistake")
        return register(self, *arguments)

    monkeypatch.setattr(Registrar, "register", broken)
    assert command(case, tmp_path / "out") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "frames 2, 3, 4" in line and "a mistake (AttributeError)" in line
    assert len(calls) == 4
    assert [row["status"] for row in table(tmp_path / "out")] == ["reference", "done", *["failed"] * 3]
    assert "in broken" in (tmp_path / "out" / "log.txt").read_text(encoding="utf-8")
    monkeypatch.setattr(Registrar, "register", register)
    assert command(case, tmp_path / "out") == 0
    assert same(voxels(tmp_path / "out"), voxels(plain))


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or not Path("/proc/mounts").exists(), reason="needs a small disk to fill"
)
def test_a_disk_that_fills_is_told_in_one_line_and_keeps_what_is_whole(case, tmp_path, capsys):
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        assert command(case, disk / "out", "--save-transforms", "full") == 1
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert "free" in line
        done = [row["index"] for row in table(disk / "out") if row["status"] in ("done", "reference")]
        for index in done:
            assert sitk.ReadImage(str(disk / "out" / "segmentation" / f"{int(index):04d}.nrrd")).GetSize() == GRID.size
    finally:
        subprocess.run(["umount", str(disk)])


@pytest.mark.parametrize(
    "more, replaced, reason",
    [
        (("--frames", "9:"), {}, "selects none"),
        ((), {"segmentation": "missing.nrrd"}, "missing.nrrd: no such file"),
        ((), {"sequence": "missing.nrrd"}, "missing.nrrd: no such file"),
        ((), {"model": "missing.pt"}, "missing.pt"),
        (("--device", "cuda:99"), {}, "cuda:99"),
        (("--points", "missing.fcsv"), {}, "missing.fcsv"),
    ],
)
def test_bad_input_is_one_line_and_status_1(case, tmp_path, capsys, more, replaced, reason):
    assert command(case, tmp_path / "out", *more, **replaced) == 1
    said = capsys.readouterr().err.strip()
    assert reason in said and "\n" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--segmentation", "a.nrrd", "--reference-frame", "0", "--reference-frame", "1"],
        ["--reference-frame", "0"],
        ["--segmentation", "a.nrrd", "--reference-frame", "0", "--save-transforms", "some"],
    ],
)
def test_a_command_that_makes_no_sense_is_status_2(arguments, tmp_path):
    with pytest.raises(SystemExit) as leaving:
        raise SystemExit(main(["propagate", "--sequence", "x", "--output", str(tmp_path / "o"), *arguments]))
    assert leaving.value.code == 2
