"""What a run of `slicer-voxelmorph propagate` keeps of an earlier one in the same folder, and what it makes anew."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.propagate_command import command, same, table, voxels
from Testing.support.propagation_cases import frame, write_sequence
from VoxelMorphRegistrationLib.propagation.record import RunRecord


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


@pytest.mark.parametrize("changed", ["network_grid", "model_card"])
def test_frames_that_another_grid_or_card_made_are_not_mixed_with_new_ones(case, tmp_path, capsys, changed):
    output = tmp_path / "out"
    assert command(case, output, "--frames", "0:2") == 0
    told = edit_settings(output, {changed: "8 x 8 x 8 voxels of 9 x 9 x 9 mm"})[changed]
    assert command(case, output) == 1
    line = capsys.readouterr().err.strip()
    assert "\n" not in line and f"{changed}: 8 x 8 x 8 voxels of 9 x 9 x 9 mm there, {told} here" in line
    assert command(case, output, "--overwrite") == 0 and len(table(output)) == 6


def test_the_network_grid_is_written_as_the_network_has_it(case, plain):
    from VoxelMorphRegistrationLib import Registrar

    first = sitk.ReadImage(str(sorted(case["sequence"].iterdir())[0]))
    seen = Registrar(case["model"]).register(first, first, None).network_grid
    size, spacing = (" x ".join(f"{value:g}" for value in each) for each in (seen.size, seen.spacing))
    content = json.loads((plain / "run.json").read_text(encoding="utf-8"))
    assert content["settings"]["network_grid"] == f"{size} voxels of {spacing} mm"


def test_a_folder_of_an_earlier_version_goes_on_and_says_that_grids_may_differ(case, plain, tmp_path, capsys):
    output = tmp_path / "out"
    assert command(case, output, "--frames", "0:2") == 0
    edit_settings(output, {"network_grid": None, "model_card": None})
    capsys.readouterr()
    for frames in ("0:3", "0:4"):
        assert command(case, output, "--frames", frames) == 0
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith(f"note: {output}: was begun by an earlier version") and "--overwrite" in line
    assert command(case, output, "--frames", "0:4") == 0 and capsys.readouterr().err == ""
    assert command(case, output, "--align", "centers") == 1
    assert "(align: none there, centers here)" in capsys.readouterr().err
    assert command(case, output) == 0 and same(voxels(output), voxels(plain))


def edit_settings(output, changes):
    """Change settings in run.json, None for one that is not there; returns them as they were."""
    record = RunRecord.read(output / "run.json")
    before = dict(record.runs[0].settings)
    edited = {name: value for name, value in {**before, **changes}.items() if name not in changes or value}
    record.runs[0].settings = edited
    record.write()
    return before


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


def test_an_adapted_network_is_trained_once_and_kept_for_the_runs_that_continue(case, tmp_path, monkeypatch):
    output = tmp_path / "out"
    assert command(case, output, "--adapt", "2steps", "--frames", "0:3") == 0
    assert (output / "adapted" / "network.pt").is_file()
    assert json.loads((output / "run.json").read_text(encoding="utf-8"))["settings"]["adapt"] == "2steps"
    from VoxelMorphRegistrationLib.training import adaptation

    monkeypatch.setattr(adaptation, "adapt", lambda *_, **__: pytest.fail("the network was adapted again"))
    assert command(case, output, "--adapt", "2steps") == 0
    assert command(case, output) == 1


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_a_run_killed_while_it_begins_goes_on_by_the_same_command(case, plain, tmp_path, monkeypatch, more):
    from VoxelMorphRegistrationLib.propagation.frame_files import FrameFiles
    from VoxelMorphRegistrationLib.propagation.table import FrameTable

    output = tmp_path / "out"
    if more:
        assert command(case, output, "--label-interpolation", "smooth") == 0
    for step in ((FrameFiles, "clear"), (FrameFiles, "make_folders"), (FrameTable, "start")):
        with monkeypatch.context() as patch:
            patch.setattr(*step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            assert command(case, output, *more) == (130 if more or step[1] != "clear" else 0)
    assert command(case, output) == 0
    assert same(voxels(output), voxels(plain))


def test_an_empty_folder_of_a_run_that_wrote_nothing_is_no_result(case, tmp_path):
    (tmp_path / "out" / "segmentation").mkdir(parents=True)
    assert command(case, tmp_path / "out", "--frames", "0:1") == 0


def test_a_second_run_in_the_folder_is_refused_and_the_first_ends_well(case, tmp_path, monkeypatch, capsys):
    from VoxelMorphRegistrationLib.registration.registrar import Registrar

    register, statuses = Registrar.register, []

    def meanwhile(self, *arguments):
        if not statuses:
            statuses.append(command(case, tmp_path / "out"))
        return register(self, *arguments)

    monkeypatch.setattr(Registrar, "register", meanwhile)
    assert command(case, tmp_path / "out", "--frames", "0:2") == 0
    assert statuses == [1] and f"process {os.getpid()} on" in capsys.readouterr().err
    assert len(table(tmp_path / "out")) == 2 and not (tmp_path / "out" / ".lock").exists()


@pytest.fixture(scope="module")
def chain(case, tmp_path_factory):
    """A whole sequential run from frame 0."""
    output = tmp_path_factory.mktemp("chain") / "out"
    assert command(case, output, "--strategy", "sequential") == 0
    return output


@pytest.mark.parametrize("damage", ["missing", "cut short", "of another size", "not finite", "no archive"])
def test_kept_displacements_that_are_missing_or_damaged_are_made_again(case, chain, tmp_path, damage):
    output = tmp_path / "out"
    assert command(case, output, "--strategy", "sequential", "--frames", "0:4") == 0
    (kept,) = (output / ".resume").iterdir()
    if damage == "missing":
        kept.unlink()
    elif damage == "cut short":
        kept.write_bytes(kept.read_bytes()[:-2000])
    elif damage == "no archive":
        kept.write_bytes(b"")
    else:
        with np.load(kept) as content:
            parts = dict(content)
        vectors = parts["vectors"][1:] if damage == "of another size" else np.full_like(parts["vectors"], np.nan)
        np.savez(kept, **{**parts, "vectors": vectors})
    assert command(case, output, "--strategy", "sequential") == 0
    assert same(voxels(output), voxels(chain))
    told = [row["message"] for row in table(output)]
    assert [number for number, text in enumerate(told) if "registered again" in text] == [4]
    assert "frames 1 to 3 were registered again on the way" in told[4]


def test_frames_of_a_finished_chain_are_redone_from_the_frames_before_them(case, chain, tmp_path):
    import shutil

    output = tmp_path / "out"
    shutil.copytree(chain, output)
    times = {path.name: path.stat().st_mtime_ns for path in (output / "segmentation").iterdir()}
    assert command(case, output, "--strategy", "sequential", "--frames", "3:5", "--overwrite") == 0
    assert same(voxels(output), voxels(chain))
    changed = {p.name for p in (output / "segmentation").iterdir() if p.stat().st_mtime_ns != times[p.name]}
    assert changed == {"0003.nrrd", "0004.nrrd"}
    assert "frames 1 to 2 were registered again" in table(output)[3]["message"]
    assert "registered again" not in table(output)[4]["message"]


def test_a_chain_that_leaves_frames_out_says_so(case, tmp_path):
    assert command(case, tmp_path / "a", "--strategy", "sequential", "--frames", "3:5") == 0
    told = [row["message"] for row in table(tmp_path / "a")]
    assert "registered with frame 0" in told[0] and told[1] == ""
    assert command(case, tmp_path / "b", "--strategy", "sequential", "--frames", "::2") == 0
    assert [row["message"] for row in table(tmp_path / "b")] == ["", "", ""]
