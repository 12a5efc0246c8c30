"""run.json: which frames of a folder a later run may keep, and what a person is told when it may not."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.propagation.frames import FileFrames, ImageFrames
from VoxelMorphRegistrationLib.propagation.record import (
    Run,
    RunRecord,
    describe_file,
    describe_frames,
    installed_versions,
)

RUN = Run(
    {"align": "none", "strategy": "direct"},
    {"name": "any-anatomy", "sha256": "ab" * 32},
    {"segmentation of frame 0": "liver.nrrd | 10 | 5"},
    ["f0.nrrd | 1 | 2", "f1.nrrd | 1 | 2"],
    {"device": "cpu"},
    {"torch": "2"},
)


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = RunRecord(tmp_path / "run.json", [RUN, replace(RUN, settings={"align": "rigid"})], {3: 1, 4: 0})
    record.write()
    again = RunRecord.read(tmp_path / "run.json")
    assert again.runs == record.runs and again.frame_runs == {3: 1}
    assert RunRecord.read(tmp_path / "none.json") is None


def test_the_file_on_disk_has_the_form_that_earlier_versions_wrote_and_read(tmp_path):
    RunRecord(tmp_path / "run.json", [RUN]).write()
    content = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert set(content) == {
        *("format", "settings", "model", "inputs", "frames", "circumstances", "versions", "fingerprint"),
        *("reruns", "frame_runs"),
    }
    assert content["format"] == 1 and content["reruns"] == [] and content["frame_runs"] == {}
    # sha256 of '[{"align": "none", "strategy": "direct"}, "abab...", {"segmentation of frame 0": "liver..."}]'
    assert content["fingerprint"] == "589cd753f2d9c65542bf2a2fd0c0032cc06541cb8a39ec397fb0d98ae718f5fd"


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {}},
        {"inputs": {}},
        {"model": {"name": "any-anatomy", "sha256": ""}},
        {"model": {"name": "any-anatomy-fast", "sha256": "ab" * 32}},
    ],
)
def test_what_changes_results_makes_another_run(change, tmp_path):
    assert RunRecord(tmp_path / "run.json", [RUN]).matching(replace(RUN, **change)) is None


@pytest.mark.parametrize(
    "change", [{"circumstances": {"device": "cuda:0"}}, {"versions": {}}, {"frames": ["f0.nrrd | 9 | 9"]}]
)
def test_where_and_how_fast_it_ran_and_more_frames_do_not(change, tmp_path):
    assert RunRecord(tmp_path / "run.json", [RUN]).matching(replace(RUN, **change)) == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"settings": {"align": "none", "strategy": "sequential"}}, "strategy: direct there, sequential here"),
        ({"model": {"name": "mine", "sha256": "cd" * 32}}, "model: any-anatomy there, mine here"),
        (
            {"model": {"name": "any-anatomy-fast", "sha256": "ab" * 32}},
            "model: any-anatomy there, any-anatomy-fast here",
        ),
        ({"inputs": {"segmentation of frame 0": "liver.nrrd | 11 | 6"}}, "frame 0: liver.nrrd has changed since"),
        ({"inputs": {"segmentation of frame 0": "spleen.nrrd | 10 | 5"}}, "frame 0: another one"),
        ({"inputs": {**RUN.inputs, "mask": "m.nrrd | 1 | 1"}}, "mask: another one"),
    ],
)
def test_the_first_difference_is_told(change, told):
    assert told in replace(RUN, **change).difference(RUN)


def test_a_frame_is_known_by_its_own_file_or_by_the_one_that_holds_them_all():
    assert RUN.frame(1) == "f1.nrrd | 1 | 2" and RUN.frame(2) is None
    assert replace(RUN, frames=["cine.seq.nrrd | 1 | 2"]).frame(1500) == "cine.seq.nrrd | 1 | 2"


def test_files_are_described_by_name_size_and_time_of_last_change(tmp_path):
    file = tmp_path / "f0.nrrd"
    file.write_bytes(b"12345")
    os.utime(file, ns=(7, 7))
    assert describe_file(file) == "f0.nrrd | 5 | 7"
    assert describe_file(None) == describe_file(tmp_path / "none") == ""
    assert describe_frames(FileFrames([file, tmp_path / "none"])) == ["f0.nrrd | 5 | 7", ""]
    assert describe_frames(ImageFrames([])) == []


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 9, "reruns": [], "frame_runs": {}}'])
def test_a_record_that_cannot_be_understood_is_named_with_the_remedy(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match="run.json: not a record of a run .*--overwrite"):
        RunRecord.read(tmp_path / "run.json")


def test_a_record_whose_frames_are_no_table_is_not_understood(tmp_path):
    RunRecord(tmp_path / "run.json", [RUN]).write()
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    (tmp_path / "run.json").write_text(text.replace('"frame_runs": {}', '"frame_runs": []'))
    with pytest.raises(InputError, match="not a record of a run"):
        RunRecord.read(tmp_path / "run.json")


def test_versions_of_what_computes_are_recorded():
    assert {"slicer-voxelmorph", "python", "platform", "torch", "SimpleITK", "numpy"} <= set(installed_versions())
