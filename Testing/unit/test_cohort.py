"""Many patients at once: the table, what is given to whom, and what is left when something ends on the way."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
import SimpleITK as sitk

from Testing.support.cohort_cases import InlineClient, run_cohort, write_cohort_case
from Testing.support.html_page import Page
from Testing.support.propagate_command import same, table, voxels
from VoxelMorphRegistrationLib.cli.cohort import RowReader
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.cohort.work import BegunElsewhere, work
from VoxelMorphRegistrationLib.errors import InputError

STRATEGIES = ("direct", "sequential", "keyframes", "motion-model")
pytest.importorskip("distributed", reason="dask distributed is not installed")


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """A patient for each strategy; the table."""
    return write_cohort_case(tmp_path_factory.mktemp("cohort"), STRATEGIES, 9)


def single(given, output, number, strategy, *more):
    """The same patient by propagate alone."""
    folder = given.parent
    options = {"--sequence": folder / f"p{number}/frames", "--segmentation": folder / f"p{number}/segmentation2.nrrd"}
    options |= {"--model": folder / "tiny.pt", "--strategy": strategy, "--keyframe-step": 2, "--output": output}
    words = [str(word) for pair in options.items() for word in pair]
    return main(["propagate", *words, "--reference-frame", "2", "--progress", "none", "--no-report", *more])


@pytest.fixture(scope="module")
def finished(cases, tmp_path_factory):
    output = tmp_path_factory.mktemp("finished") / "out"
    return output, run_cohort(cases, output)


@pytest.mark.parametrize("number, strategy", list(enumerate(STRATEGIES)))
def test_a_patient_s_folder_is_what_propagate_would_have_written(cases, finished, tmp_path, number, strategy):
    output = finished[0] / f"p{number}"
    assert single(cases, tmp_path / "alone", number, strategy) == 0
    assert same(voxels(tmp_path / "alone"), voxels(output))
    alone, shared = table(tmp_path / "alone"), table(output)
    for row in (*alone, *shared):
        row.pop("seconds")
    assert alone == shared
    names = {path.name for path in (tmp_path / "alone").iterdir()}
    assert {path.name for path in output.iterdir()} == names | {"report.html"}
    one, other = (json.loads((folder / "run.json").read_text()) for folder in (tmp_path / "alone", output))
    assert one["fingerprint"] == other["fingerprint"] and one["settings"] == other["settings"]


def test_a_run_of_a_cohort_goes_on_by_propagate_and_the_other_way_round(cases, finished, tmp_path, monkeypatch):
    assert single(cases, tmp_path / "out" / "p0", 0, "direct", "--frames", "0:4") == 0
    client = InlineClient()
    run_cohort(cases, tmp_path / "out", client)
    made = [index for unit in client.units if unit.part.folder.name == "p0" for index in unit.frames]
    assert sorted(made) == [4, 5, 6, 7, 8]
    assert same(voxels(tmp_path / "out" / "p0"), voxels(finished[0] / "p0"))
    from VoxelMorphRegistrationLib.registration.registrar import Registrar

    monkeypatch.setattr(Registrar, "register", lambda *_: pytest.fail("a finished frame was computed again"))
    assert single(cases, finished[0] / "p0", 0, "direct") == 0


def test_a_cohort_that_is_finished_computes_nothing_again(cases, finished):
    client = InlineClient()
    before = {path: path.stat().st_mtime_ns for path in finished[0].rglob("*.nrrd")}
    results = run_cohort(cases, finished[0], client)
    assert client.units == [] and [len(result.rows) for result in results] == [9] * 4
    assert before == {path: path.stat().st_mtime_ns for path in finished[0].rglob("*.nrrd")}


def test_the_table_of_the_cohort_has_a_row_a_patient_with_volumes_and_its_page_links_them(finished):
    with open(finished[0] / "cohort.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case"] for row in rows] == ["p0", "p1", "p2", "p3"]
    assert all(row["frames"] == row["done"] == "9" and row["failed"] == "0" for row in rows)
    volumes = [float(row["volume_ml_1"]) for row in table(finished[0] / "p1")]
    assert float(rows[1]["volume_ml_1_reference"]) == pytest.approx(volumes[2])
    assert float(rows[1]["volume_ml_1_least"]) == pytest.approx(min(volumes))
    assert [link["href"] for link in Page(finished[0] / "report.html").all("a")].count("p2/report.html") == 1


@pytest.mark.parametrize("number, strategy", list(enumerate(STRATEGIES)))
def test_a_frame_that_ends_two_workers_is_marked_failed_and_the_others_are_done(tmp_path, number, strategy):
    given = write_cohort_case(tmp_path, [strategy], 9)
    frames = tmp_path / "p0" / "frames"
    (frames / "frame5.nrrd").rename(frames / "frame5lethal.nrrd")
    events = []
    (result,) = run_cohort(given, tmp_path / "out", events=events)
    failed = {index: row["message"] for index, row in result.rows.items() if row["status"] == "failed"}
    assert set(failed) == {5} and len(result.rows) == 9 and result.message == ""
    assert "ended 2 processes that worked on it" in failed[5] and "frame5lethal.nrrd" in failed[5]
    assert sum(event["event"] == "note" for event in events) >= 2
    # The others are as they are without it: `propagate` fails to read that frame.
    (frames / "frame5lethal.nrrd").write_bytes(b"NRRD0004\n")
    assert single(given, tmp_path / "alone", 0, strategy) == 4
    assert same(voxels(tmp_path / "alone"), voxels(tmp_path / "out" / "p0"))


def test_a_patient_that_cannot_go_on_says_why_and_the_others_are_done(tmp_path):
    given = write_cohort_case(tmp_path, ("direct", "direct"), 4)

    def stumbling(unit):
        if unit.part.folder.name == "p0":
            raise InputError("the drive is full; free space")
        work(unit)

    results = run_cohort(given, tmp_path / "out", work=stumbling)
    assert "the drive is full" in results[0].message and len(results[1].rows) == 4 and results[1].message == ""
    with open(tmp_path / "out" / "cohort.csv", newline="") as stream:
        assert [row["message"] for row in csv.DictReader(stream)] == ["the drive is full; free space", ""]
    assert "the drive is full" in Page(tmp_path / "out" / "p0" / "report.html").words
    assert len(run_cohort(given, tmp_path / "out")[0].rows) == 4


def test_a_patient_whose_folder_is_taken_away_ends_alone_and_is_made_again_by_the_same_command(tmp_path):
    given = write_cohort_case(tmp_path, ("direct", "direct"), 8)
    seen = []

    def removing(unit):
        seen.append(unit)
        if len(seen) == 2:
            shutil.rmtree(tmp_path / "out" / "p0")
        if unit.part.folder.name == "p1" or len(seen) < 2:
            work(unit)

    results = run_cohort(given, tmp_path / "out", work=removing)
    assert "cannot be written" in results[0].message and results[1].message == ""
    assert len(results[1].rows) == 8
    results = run_cohort(given, tmp_path / "out")
    assert [len(result.rows) for result in results] == [8, 8] and results[0].message == ""


def test_a_cohort_that_is_stopped_keeps_what_was_finished_and_goes_on_from_there(cases, finished, tmp_path):
    stopped = []

    def stopping(unit):
        work(unit)
        stopped.append(unit)
        if len(stopped) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cohort(cases, tmp_path / "out", work=stopping)
    kept = {int(row["index"]) for row in table(tmp_path / "out" / "p0")}
    assert kept == {index for unit in stopped for index in unit.frames} and len(kept) == 6
    assert "The run ended early" in Page(tmp_path / "out" / "p0" / "report.html").words
    assert not (tmp_path / "out" / "p0" / ".lock").exists() and not (tmp_path / "out" / ".lock").exists()
    run_cohort(cases, tmp_path / "out")
    assert same(voxels(tmp_path / "out" / "p0"), voxels(finished[0] / "p0"))


def test_two_cohorts_do_not_share_a_folder(cases, tmp_path):
    from VoxelMorphRegistrationLib.files.lock import FolderLock

    (tmp_path / "out").mkdir()
    lock = FolderLock(tmp_path / "out")
    with pytest.raises(InputError, match="another run writes there"):
        run_cohort(cases, tmp_path / "out")
    lock.release()


def test_all_faults_of_the_table_are_told_at_once_and_nothing_is_started(tmp_path, capsys):
    given = write_cohort_case(tmp_path, ("direct",), 3)
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkUInt8), str(tmp_path / "empty.nrrd"))
    head = "case;sequence;segmentation;reference_frame;strategy;colour"
    rows = ["a;p0/frames;p0/segmentation2.nrrd;2;slow;", "b;nowhere;p0/segmentation2.nrrd;2;;"]
    rows += ["../c;p0/frames;p0/segmentation2.nrrd;2;;", "a;p0/frames;p0/segmentation2.nrrd;2;;"]
    rows += [
        "h;p0/frames;lost.nrrd;x;fast;",
        "i;p0/frames;p0/segmentation2.nrrd;8;fast;",
        "d;p0/frames;p0/segmentation2.nrrd;9;;",
        "e;p0/frames;;2;;",
        "f;p0/frames;empty.nrrd;2;;",
        "g;;;;;red",
    ]
    given.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    assert main(["cohort", str(given), "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    told = ["colour: is no option of propagate", "line 2 (a): strategy: invalid choice: 'slow'", "line 3 (b): "]
    told += ["case '../c': cannot be the name", "named in line 2 already", "line 8 (d): reference frame 9"]
    told += ["line 9 (e): --segmentation is needed", "line 10 (f): ", "line 11 (g): lacks: --sequence"]
    told += ["lost.nrrd: no such file", "line 6 (h): reference-frame: ", "line 6 (h): strategy: invalid choice: 'fast'"]
    told += ["line 7 (i): strategy: invalid", "line 7 (i): reference frame 8"]
    assert f"{len(told)} things are not right, and nothing was started" in said, said
    for words in told:
        assert said.count(words) == 1, (words, said)
    assert not (tmp_path / "out").exists()


def test_any_option_of_propagate_is_a_column_and_set_gives_it_to_all_rows(tmp_path):
    reader = RowReader(tmp_path, ["strategy=keyframes", "mask-margin=20"])
    cells = {"sequence": "s/*.nrrd", "segmentation": "a.nrrd | b.nrrd", "reference_frame": "0 | 7"}
    request = reader.request({**cells, "strategy": "direct", "frames": "@list.txt", "Refine": "auto"}, tmp_path)
    assert request.sequence == str(tmp_path / "s/*.nrrd") and request.reference_frames == (0, 7)
    assert request.segmentations == (str(tmp_path / "a.nrrd"), str(tmp_path / "b.nrrd"))
    assert request.strategy == "direct" and request.mask_margin == 20.0 and request.pair["refine"] == "auto"
    assert request.frames == f"@{tmp_path / 'list.txt'}"
    with pytest.raises(InputError, match="--set strategy=slow: strategy: invalid choice"):
        RowReader(tmp_path, ["strategy=slow"])
    with pytest.raises(InputError, match="is given for the whole cohort"):
        reader.request({**cells, "overwrite": "yes"}, tmp_path)


def test_a_patient_that_was_given_up_ends_although_units_of_it_are_lost_afterwards(cases, tmp_path):
    sent = []

    def full_disk(unit):
        sent.append(unit)
        if unit.request.sequence.endswith("p0/frames"):
            raise InputError("0001.nrrd: cannot be written") if len(sent) == 1 else BegunElsewhere("its part is gone")
        work(unit)

    results = run_cohort(cases, tmp_path / "out", InlineClient(), work=full_disk)
    assert [result.message for result in results] == ["0001.nrrd: cannot be written", "", "", ""]
    assert [len(table(tmp_path / "out" / name)) for name in ("p1", "p2", "p3")] == [9, 9, 9]


def test_a_dry_run_tells_frames_memory_disk_and_time_and_writes_nothing(cases, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(["cohort", str(cases), "--output", str(output), "--dry-run", "--workers", "2"]) == 0
    said = capsys.readouterr().out
    for words in ("frames          36 of 4 patients", "(workers 2, threads of each ", "memory", "disk", "MB a worker"):
        assert words in said, said
    assert not output.exists()
