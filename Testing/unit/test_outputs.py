"""`slicer-voxelmorph propagate` by file: what it writes, what it keeps, what it refuses."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.propagation_cases import GRID, frame, labels, weights_file, write_sequence
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.files.displacements import read_displacement

FIXED = "index,index_value,status,similarity_before,similarity_after,folded_percent,seconds,message".split(",")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    frames, segmentation = write_sequence(folder, 6)
    return {"sequence": frames, "segmentation": segmentation, "model": weights_file(folder)}


def command(case, output, *more, **replaced):
    given = {**case, **replaced}
    return main(
        [
            "propagate",
            "--sequence",
            str(given["sequence"]),
            "--segmentation",
            str(given["segmentation"]),
            "--reference-frame",
            "0",
            "--model",
            str(given["model"]),
            "--output",
            str(output),
            "--progress",
            "none",
            *map(str, more),
        ]
    )


def table(output) -> list[dict]:
    with open(output / "frames.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def voxels(output) -> dict[str, np.ndarray]:
    return {
        path.name: sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        for path in sorted((output / "segmentation").iterdir())
    }


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def plain(case, tmp_path_factory):
    output = tmp_path_factory.mktemp("plain") / "out"
    assert command(case, output) == 0
    return output


def test_every_frame_gets_a_label_volume_on_its_own_grid_and_a_row(plain):
    assert sorted(p.name for p in (plain / "segmentation").iterdir()) == [f"{i:04d}.nrrd" for i in range(6)]
    rows = table(plain)
    assert list(rows[0])[:8] == FIXED
    assert list(rows[0])[8:16] == [
        f"{n}_{label}" for label in (1, 2) for n in ("volume_ml", "centroid_r", "centroid_a", "centroid_s")
    ]
    assert [row["status"] for row in rows] == ["reference"] + ["done"] * 5
    written = sitk.ReadImage(str(plain / "segmentation" / "0003.nrrd"))
    assert written.GetPixelID() == sitk.sitkUInt8 and written.GetSize() == GRID.size
    assert np.allclose(written.GetOrigin(), GRID.origin) and np.allclose(written.GetSpacing(), GRID.spacing)
    assert np.array_equal(voxels(plain)["0000.nrrd"], sitk.GetArrayFromImage(labels(0)))


def test_the_record_says_what_made_the_files(plain, case):
    record = json.loads((plain / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["strategy"] == "direct" and record["model"]["name"] == "tiny"
    assert len(record["model"]["sha256"]) == 64 and "torch" in record["versions"]
    assert record["inputs"]["segmentation of frame 0"].startswith(case["segmentation"].name)
    assert len(record["frames"]) == 6


def test_transforms_points_and_surface_are_written_when_asked_for(case, tmp_path):
    (tmp_path / "p.fcsv").write_text(
        "# Markups fiducial file version = 5.0\n# CoordinateSystem = LPS\n# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,"
        "lock,label,desc,associatedNodeID\n1,-4,34,32,0,0,0,1,1,1,0,apex,,\n"
    )
    vtk = pytest.importorskip("vtk", reason="vtk is not installed")
    ball = vtk.vtkSphereSource()
    ball.SetCenter(-4, 34, 32)
    ball.SetRadius(10)
    ball.Update()
    writer = vtk.vtkXMLPolyDataWriter()
    writer.SetFileName(str(tmp_path / "s.vtp"))
    writer.SetInputData(ball.GetOutput())
    writer.Write()
    output = tmp_path / "out"
    assert (
        command(
            case,
            output,
            "--points",
            tmp_path / "p.fcsv",
            "--surface",
            tmp_path / "s.vtp",
            "--save-transforms",
            "full",
            "--frames",
            "0:3",
        )
        == 0
    )
    for folder, ending in (("transforms", "nrrd"), ("points", "mrk.json"), ("surface", "vtp")):
        assert sorted(p.name for p in (output / folder).iterdir()) == [f"{i:04d}.{ending}" for i in range(3)]
    # The point found in frame 2 is pulled back onto the point that was given, by SimpleITK.
    point = json.loads((output / "points" / "0002.mrk.json").read_text(encoding="utf-8"))["markups"][0]
    assert point["coordinateSystem"] == "LPS" and point["controlPoints"][0]["label"] == "apex"
    transform = sitk.DisplacementFieldTransform(
        sitk.Cast(sitk.ReadImage(str(output / "transforms" / "0002.nrrd")), sitk.sitkVectorFloat64)
    )
    assert np.allclose(transform.TransformPoint(point["controlPoints"][0]["position"]), (-4, 34, 32), atol=0.01)
    # Labels warped by the transform that was saved, by SimpleITK, are the labels that were saved.
    pulled = sitk.Resample(labels(0), transform, sitk.sitkNearestNeighbor)
    assert np.mean(sitk.GetArrayFromImage(pulled) != voxels(output)["0002.nrrd"]) < 1e-3


def test_a_coarser_transform_keeps_every_nth_voxel_in_its_place(case, tmp_path):
    assert command(case, tmp_path / "a", "--save-transforms", "full", "--frames", "1:2") == 0
    assert command(case, tmp_path / "b", "--save-transforms", "3", "--frames", "1:2") == 0
    whole, coarse = (read_displacement(tmp_path / name / "transforms" / "0001.nrrd") for name in "ab")
    assert coarse.GetSize() == tuple(-(-n // 3) for n in whole.GetSize())
    for index in ((0, 0, 0), (2, 5, 1), (7, 8, 6)):
        position = coarse.TransformIndexToPhysicalPoint(index)
        assert np.allclose(coarse[index], whole[whole.TransformPhysicalPointToIndex(position)], atol=1e-6)


def test_a_finished_run_computes_nothing_again(case, plain, monkeypatch):
    from VoxelMorphRegistrationLib.registration.registrar import Registrar

    before = {p: p.stat().st_mtime_ns for p in (plain / "segmentation").iterdir()}
    monkeypatch.setattr(Registrar, "register", lambda *_: pytest.fail("a finished frame was computed again"))
    assert command(case, plain) == 0
    assert before == {p: p.stat().st_mtime_ns for p in (plain / "segmentation").iterdir()}


@pytest.mark.parametrize("strategy", ["direct", "sequential", "keyframes"])
def test_a_run_cut_between_any_two_frames_goes_on_to_the_same_voxels(case, tmp_path, monkeypatch, strategy):
    from VoxelMorphRegistrationLib.registration.registrar import Registrar

    options = ("--strategy", strategy, "--keyframe-step", "3")
    assert command(case, tmp_path / "whole", *options) == 0
    register, calls = Registrar.register, []
    limit = [0]

    def counted(self, *arguments):
        if len(calls) >= limit[0]:
            raise KeyboardInterrupt
        calls.append(1)
        return register(self, *arguments)

    monkeypatch.setattr(Registrar, "register", counted)
    statuses = []
    for _ in range(12):
        calls.clear()
        limit[0] = 2
        statuses.append(command(case, tmp_path / "cut", *options))
        if statuses[-1] == 0:
            break
    assert statuses[-1] == 0 and set(statuses[:-1]) == {130}
    assert same(voxels(tmp_path / "whole"), voxels(tmp_path / "cut"))
    assert [row["index"] for row in table(tmp_path / "cut")] == [str(i) for i in range(6)]


def test_what_a_killed_run_left_half_written_is_made_anew(case, plain, tmp_path):
    output = tmp_path / "out"
    assert command(case, output, "--frames", "0:4") == 0
    (output / "segmentation" / ".0004-abc.nrrd").write_bytes(b"half")
    with open(output / "frames.csv", "a") as stream:
        stream.write("4,4,done,0.9,0.9")
    (output / "segmentation" / "0002.nrrd").unlink()
    assert command(case, output) == 0
    assert same(voxels(output), voxels(plain))


def test_a_frame_whose_file_changed_is_made_anew_and_only_it(case, tmp_path):
    frames, segmentation = write_sequence(tmp_path, 4)
    output = tmp_path / "out"
    assert command(case, output, sequence=frames, segmentation=segmentation) == 0
    before = {p.name: p.stat().st_mtime_ns for p in (output / "segmentation").iterdir()}
    sitk.WriteImage(frame(9), str(frames / "frame2.nrrd"))
    assert command(case, output, sequence=frames, segmentation=segmentation) == 0
    after = {p.name: p.stat().st_mtime_ns for p in (output / "segmentation").iterdir()}
    assert [name for name in sorted(after) if after[name] != before[name]] == ["0002.nrrd"]


def test_other_settings_are_refused_and_change_nothing(case, plain, capsys):
    before = {p: p.stat().st_mtime_ns for p in plain.rglob("*") if p.is_file()}
    assert command(case, plain, "--strategy", "sequential") == 1
    line = capsys.readouterr().err.strip()
    assert "\n" not in line and "strategy: direct there, sequential here" in line and "--overwrite" in line
    assert before == {p: p.stat().st_mtime_ns for p in plain.rglob("*") if p.is_file()}


def test_chosen_frames_are_redone_with_other_settings_and_kept_so(case, tmp_path):
    output = tmp_path / "out"
    assert command(case, output) == 0
    first = voxels(output)
    assert command(case, output, "--overwrite", "--frames", "3:5", "--label-interpolation", "smooth") == 0
    redone = voxels(output)
    assert [n for n in first if not np.array_equal(first[n], redone[n])] == ["0003.nrrd", "0004.nrrd"]
    record = json.loads((output / "run.json").read_text(encoding="utf-8"))
    assert record["frame_runs"] == {"3": 1, "4": 1}
    assert record["reruns"][0]["settings"]["label_interpolation"] == "smooth"
    assert command(case, output) == 0
    assert same(voxels(output), redone)
    assert command(case, output, "--overwrite") == 0
    assert same(voxels(output), first) and json.loads((output / "run.json").read_text(encoding="utf-8"))["reruns"] == []


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


def test_a_dry_run_writes_nothing_and_tells_what_would_happen(case, tmp_path, capsys):
    assert command(case, tmp_path / "out", "--dry-run", "--frames", "::2") == 0
    said = capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    for word in ("3 of 6", "28 x 26 x 24", "28 x 28 x 24", "s a registration", "memory", "disk"):
        assert word in said


def test_an_adapted_network_is_trained_once_and_kept_for_the_runs_that_continue(case, tmp_path, monkeypatch):
    output = tmp_path / "out"
    assert command(case, output, "--adapt", "2steps", "--frames", "0:3") == 0
    assert (output / "adapted" / "network.pt").is_file()
    assert json.loads((output / "run.json").read_text(encoding="utf-8"))["settings"]["adapt"] == "2steps"
    from VoxelMorphRegistrationLib.training import adaptation

    monkeypatch.setattr(adaptation, "adapt", lambda *_, **__: pytest.fail("the network was adapted again"))
    assert command(case, output, "--adapt", "2steps") == 0
    assert command(case, output) == 1


def test_json_progress_is_one_object_a_line(case, tmp_path, capsys):
    assert command(case, tmp_path / "out", "--progress", "json", "--frames", "0:2") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events][0] == "start" and events[-1]["event"] == "finish" and events[-1]["exit"] == 0
    assert [e["index"] for e in events if e["event"] == "frame"] == [0, 1]


def test_names_and_colours_of_a_segmentation_reach_every_frame(case, tmp_path):
    given = labels(0)
    for key, value in {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segment0_ID": "a",
        "Segment0_Name": "liver",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment0_Color": "1 0 0",
    }.items():
        given.SetMetaData(key, value)
    sitk.WriteImage(given, str(tmp_path / "a.seg.nrrd"))
    assert command(case, tmp_path / "out", "--frames", "0:2", segmentation=tmp_path / "a.seg.nrrd") == 0
    written = sitk.ReadImage(str(tmp_path / "out" / "segmentation" / "0001.nrrd"))
    assert written.GetMetaData("Segment0_Name") == "liver" and written.GetMetaData("Segment0_Color") == "1 0 0"


def test_overlapping_segments_are_kept_beside_the_flat_volume(case, tmp_path):
    one, two = labels(0) > 0, labels(0) == 2
    both = sitk.Compose(sitk.Cast(one, sitk.sitkUInt8), sitk.Cast(two, sitk.sitkUInt8))
    for number, name in enumerate(("whole", "half")):
        for key, value in {"ID": name, "Name": name, "LabelValue": "1", "Layer": str(number)}.items():
            both.SetMetaData(f"Segment{number}_{key}", value)
    both.SetMetaData("Segmentation_MasterRepresentation", "Binary labelmap")
    sitk.WriteImage(both, str(tmp_path / "a.seg.nrrd"))
    assert command(case, tmp_path / "out", "--frames", "0:2", segmentation=tmp_path / "a.seg.nrrd") == 0
    flat = sitk.ReadImage(str(tmp_path / "out" / "segmentation" / "0000.nrrd"))
    layered = sitk.ReadImage(str(tmp_path / "out" / "segmentation" / "0000.seg.nrrd"))
    assert layered.GetNumberOfComponentsPerPixel() == 2
    assert np.array_equal(sitk.GetArrayFromImage(flat) > 0, sitk.GetArrayFromImage(one) > 0)
    assert {row["status"] for row in table(tmp_path / "out")} == {"reference", "done"}


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
