"""Cohorts whose patients are made in stages: the network adapted first, or key frames before all others."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from Testing.support.cohort_cases import LETHAL, InlineClient, run_cohort, write_cohort_case
from Testing.support.propagate_command import same, table, voxels
from Testing.unit.test_cohort import single
from VoxelMorphRegistrationLib.errors import InputError

pytest.importorskip("distributed", reason="dask distributed is not installed")
FRAMES = 18  # as many as strategy motion-model needs to choose key frames


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A patient whose motion is modelled, and what propagate alone makes of it."""
    folder = tmp_path_factory.mktemp("moving")
    given = write_cohort_case(folder, ["motion-model"], FRAMES)
    assert single(given, folder / "alone", 0, "motion-model") == 0
    return given, folder / "alone"


def kinds(client):
    return [unit.kind for unit in client.units]


def rows_without_seconds(output):
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in table(output)]


def check_equal(output, alone):
    assert same(voxels(output), voxels(alone))
    assert rows_without_seconds(output) == rows_without_seconds(alone)
    assert (output / "motion.csv").read_text() == (alone / "motion.csv").read_text()
    with np.load(output / "motion-model.npz") as one, np.load(alone / "motion-model.npz") as other:
        assert same(dict(one), dict(other))


def test_a_motion_model_of_many_workers_is_that_of_one_process(moving, tmp_path):
    given, alone = moving
    client = InlineClient()
    run_cohort(given, tmp_path / "out", client)
    stages = list(dict.fromkeys(kinds(client)))
    assert stages == ["look", "keys", "frames"] and kinds(client).count("look") > 2 and kinds(client).count("keys") == 1
    strategies = [row["strategy"] for row in table(alone)]
    assert "motion-model" in strategies, strategies
    check_equal(tmp_path / "out" / "p0", alone)


@pytest.mark.parametrize("stage", ["look", "keys", "frames"])
def test_a_motion_model_goes_on_from_the_stage_it_was_stopped_in(moving, tmp_path, stage):
    from VoxelMorphRegistrationLib.cohort.work import work

    given, alone = moving
    made = []

    def stopping(unit):
        work(unit)
        made.append(unit.kind)
        if made.count(stage) == (1 if stage == "keys" else 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cohort(given, tmp_path / "out", work=stopping)
    before = {row["index"] for row in table(tmp_path / "out" / "p0")}
    client = InlineClient()
    run_cohort(given, tmp_path / "out", client)
    again = {str(index) for unit in client.units if unit.kind == "frames" for index in unit.frames}
    assert not again & before
    check_equal(tmp_path / "out" / "p0", alone)


def with_adaptation(folder, budget, frames=5):
    given = write_cohort_case(folder, ("direct", "sequential"), frames)
    head, *rows = given.read_text().splitlines()
    given.write_text("\n".join([f"{head},adapt", *(f"{row},{budget}" for row in rows)]) + "\n")
    return given


def test_each_patient_s_network_is_adapted_once_and_its_frames_are_those_of_propagate(tmp_path):
    given = with_adaptation(tmp_path, "2steps")
    client = InlineClient()
    results = run_cohort(given, tmp_path / "out", client)
    assert [result.message for result in results] == ["", ""] and kinds(client).count("adapt") == 2
    for number, strategy in enumerate(("direct", "sequential")):
        assert single(given, tmp_path / f"alone{number}", number, strategy, "--adapt", "2steps") == 0
        assert same(voxels(tmp_path / "out" / f"p{number}"), voxels(tmp_path / f"alone{number}"))
    networks = {unit.request.model for unit in client.units if unit.kind == "frames"}
    assert networks == {str(tmp_path / "out" / name / "adapted" / "network.pt") for name in ("p0", "p1")}
    # A frame that is wanted again uses the network that was adapted then.
    (tmp_path / "out" / "p0" / "segmentation" / "0004.nrrd").unlink()
    client = InlineClient()
    run_cohort(given, tmp_path / "out", client)
    assert [(unit.kind, unit.frames) for unit in client.units] == [("frames", (4,))]
    assert same(voxels(tmp_path / "out" / "p0"), voxels(tmp_path / "alone0"))


def test_a_time_of_adapting_that_is_none_is_a_fault_of_the_table(tmp_path):
    given = with_adaptation(tmp_path, "soon")
    with pytest.raises(InputError, match="2 things are not right(.|\n)*line 2 .p0.: adapt: (.|\n)*5min"):
        run_cohort(given, tmp_path / "out")


def test_adapting_whose_worker_ends_again_and_again_ends_that_patient_alone(tmp_path):
    from VoxelMorphRegistrationLib.cohort.work import BegunElsewhere, work

    given = with_adaptation(tmp_path, "2steps", 3)

    def ending(unit):
        if unit.kind == "adapt" and unit.part.folder.name == "p0":
            raise BegunElsewhere("its worker ended")
        work(unit)

    results = run_cohort(given, tmp_path / "out", work=ending)
    assert "ended 6 times" in results[0].message and results[1].message == ""
    with open(tmp_path / "out" / "cohort.csv", newline="") as stream:
        assert [row["done"] for row in csv.DictReader(stream)] == ["0", "3"]


def test_a_frame_that_ends_processes_while_it_is_looked_at_is_left_out_of_the_motion_model(tmp_path):
    lethal = 7
    given = write_cohort_case(tmp_path, ["motion-model"], FRAMES)
    frames = tmp_path / "p0" / "frames"
    path = frames / f"frame{lethal}.nrrd"
    path.rename(frames / f"frame{lethal}{LETHAL}.nrrd")
    (result,) = run_cohort(given, tmp_path / "out")
    failed = {index for index, row in result.rows.items() if row["status"] == "failed"}
    assert failed == {lethal} and len(result.rows) == FRAMES and result.message == ""
    (frames / f"frame{lethal}{LETHAL}.nrrd").write_bytes(b"NRRD0004\n")
    assert single(given, tmp_path / "alone", 0, "motion-model") == 4
    assert same(voxels(tmp_path / "alone"), voxels(tmp_path / "out" / "p0"))
