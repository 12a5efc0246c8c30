"""Whole tables that go on: patients that are finished, half made and not begun, here and on another machine."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from Testing.support.cohort_cases import InlineClient, run_cohort, write_cohort_case
from Testing.support.propagate_command import same, table, voxels
from Testing.unit.test_cohort import STRATEGIES
from VoxelMorphRegistrationLib.cohort.work import work

pytest.importorskip("distributed", reason="dask distributed is not installed")
FRAMES = 9


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with data, OUT of a cohort that was stopped in its third patient, and WHOLE of one that was not."""
    folder = tmp_path_factory.mktemp("here")
    given = write_cohort_case(folder, STRATEGIES, FRAMES)
    run_cohort(given, folder / "whole")

    def stopping(unit):
        work(unit)
        if unit.part.folder.name == "p2" and unit.kind == "frames":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cohort(given, folder / "out", InlineClient(workers=1), work=stopping)
    return folder


def finished(folder):
    return {(name, int(row["index"])) for name in ("p0", "p1", "p2", "p3") for row in rows_of(folder / name)}


def rows_of(folder):
    return table(folder) if (folder / "frames.csv").is_file() else []


def check_that_it_goes_on(folder, whole):
    """With what is missing, and with nothing else; returns the patients that were given out."""
    before = finished(folder / "out")
    written = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("segmentation/*.nrrd")}
    client = InlineClient()
    results = run_cohort(folder / "cases.csv", folder / "out", client)
    made = {(unit.part.folder.name, index) for unit in client.units if unit.kind == "frames" for index in unit.frames}
    assert made and not made & before
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert all(len(result.rows) == FRAMES and result.message == "" for result in results)
    for name in ("p0", "p1", "p2", "p3"):
        assert same(voxels(folder / "out" / name), voxels(whole / name))
    return {unit.part.folder.name for unit in client.units}


def copied(folder, to):
    """All files with their names, sizes and times, as `cp -p` and `rsync -a` leave them."""
    shutil.copytree(folder, to)
    return to


def test_the_same_command_goes_on_with_every_patient_where_it_was(stopped, tmp_path):
    folder = copied(stopped, tmp_path / "again")
    assert len(rows_of(folder / "out" / "p0")) == FRAMES and 0 < len(rows_of(folder / "out" / "p2")) < FRAMES
    assert rows_of(folder / "out" / "p3") == []
    check_that_it_goes_on(folder, stopped / "whole")


def test_a_cohort_goes_on_on_another_machine_under_other_paths(stopped, tmp_path, monkeypatch):
    folder = copied(stopped, tmp_path / "there" / "mounted elsewhere")
    # What a process that was killed on the machine before has left.
    lock = {"host": "another-machine", "pid": 1, "process_started": "x 1", "since": "2020-01-01", "key": "0"}
    for place in (folder / "out", folder / "out" / "p2"):
        (place / ".lock").write_text(json.dumps(lock))
        os.utime(place / ".lock", (1e9, 1e9))
    monkeypatch.setattr("socket.gethostname", lambda: "this-machine")
    assert check_that_it_goes_on(folder, stopped / "whole") == {"p2", "p3"}


def test_failed_frames_alone_are_tried_again_by_the_same_command(stopped, tmp_path):
    folder = copied(stopped, tmp_path / "again")
    shutil.rmtree(folder / "out")
    path = folder / "p1" / "frames" / "frame4.nrrd"
    path.rename(path.with_suffix(".away"))
    path.write_bytes(b"NRRD0004\n")
    results = run_cohort(folder / "cases.csv", folder / "out")
    assert [index for index, row in results[1].rows.items() if row["status"] == "failed"] == [4]
    path.with_suffix(".away").replace(path)
    client = InlineClient()
    results = run_cohort(folder / "cases.csv", folder / "out", client)
    assert [(unit.part.folder.name, unit.frames) for unit in client.units] == [("p1", (4,))]
    assert all(row["status"] != "failed" for result in results for row in result.rows.values())
