"""What strategy motion-model keeps in a run's folder: looks and key frames to go on from, model and curve."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.motion_walk import GRID, LOOKS, Walk, breath, moved
from VoxelMorphRegistrationLib.propagation.motion_model_store import MotionStore


def test_a_run_stopped_while_it_looks_goes_on_with_the_looks_it_has(tmp_path):
    (tmp_path / ".resume").mkdir()
    first = Walk(breath(), tmp_path)
    first.stop_after_looks = 25
    with pytest.raises(KeyboardInterrupt):
        first.outcomes()
    second = Walk(breath(), tmp_path)
    outcomes = second.outcomes()
    assert second.looked == list(range(26, 40))
    for one, other in zip(outcomes, Walk(breath()).outcomes()):
        assert one.index == other.index and (
            one.displacement is None or (moved(one.displacement) == moved(other.displacement)).all()
        )


@pytest.mark.parametrize("stop", [1, 3, 9, 25, 39])
def test_a_run_that_goes_on_ends_as_one_that_was_left_alone(tmp_path, stop):
    (tmp_path / ".resume").mkdir()
    whole = Walk(breath(), tmp_path).outcomes()
    done = whole[:stop]
    kept = {one.index: one.displacement for one in done if one.keep}
    again = Walk(breath(), tmp_path, finished=[one.index for one in done], kept=kept)
    rest = again.outcomes()
    assert [one.index for one in rest] == [one.index for one in whole[stop:]] and not again.looked
    for one, other in zip(rest, whole[stop:]):
        assert (moved(one.displacement) == moved(other.displacement)).all()


def test_a_run_that_goes_on_reads_the_looks_of_key_frames_and_of_what_is_left_alone(tmp_path):
    (tmp_path / ".resume").mkdir()
    first = Walk(breath(), tmp_path)
    whole = first.outcomes()
    keys = {one.index for one in whole if one.keep}
    for path in (tmp_path / ".resume").glob("*.look.npz"):
        if int(path.name[:4]) not in keys | {39}:
            path.unlink()
    left = [one for one in whole if one.index == 39]
    kept = {one.index: one.displacement for one in whole if one.keep}
    again = Walk(breath(), tmp_path, finished=range(39), kept=kept)
    assert [moved(one.displacement).tolist() for one in again.outcomes()] == [
        moved(one.displacement).tolist() for one in left
    ]
    assert not again.looked


@pytest.mark.parametrize("lost", ["motion.csv", "motion-model.npz"])
def test_a_run_that_goes_on_writes_curve_and_model_again_where_one_of_them_is_gone(tmp_path, lost):
    (tmp_path / ".resume").mkdir()
    whole = Walk(breath(), tmp_path).outcomes()
    before = (tmp_path / lost).read_bytes()
    (tmp_path / lost).unlink()
    kept = {one.index: one.displacement for one in whole if one.keep}
    Walk(breath(), tmp_path, finished=range(30), kept=kept).outcomes()
    assert len((tmp_path / lost).read_bytes()) == len(before)


def test_a_changed_frame_is_looked_at_again_and_a_damaged_look_too(tmp_path):
    (tmp_path / ".resume").mkdir()
    paths = [tmp_path / f"f{n}.nrrd" for n in range(2)]
    for path in paths:
        sitk.WriteImage(GRID.image(np.zeros(GRID.shape, np.float32)), str(path))
    from VoxelMorphRegistrationLib.propagation.frames import FileFrames

    store = MotionStore(tmp_path, FileFrames(paths), 0, "a network")
    look = np.ones((*LOOKS.shape, 3), np.float16)
    store.keep_look(1, look)
    assert (store.look(1) == look).all() and store.look(0) is None
    assert MotionStore(tmp_path, FileFrames(paths), 0, "another network").look(1) is None
    kept = next((tmp_path / ".resume").glob("0001*"))
    kept.write_bytes(kept.read_bytes()[:60])
    assert store.look(1) is None
    store.keep_look(1, look)
    sitk.WriteImage(GRID.image(np.ones((9, 9, 9), np.float32)[:3, :4, :5].copy()), str(paths[1]))
    assert store.look(1) is None


def test_the_curve_and_the_model_are_written(tmp_path):
    (tmp_path / ".resume").mkdir()
    places = breath()
    places[17] = (-9, 14)
    walk = Walk(places, tmp_path)
    walk.outcomes()
    with open(tmp_path / "motion.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["index", "mode_1_mm", *list(rows[0])[2:-2], "unexplained_mm", "frame"]
    assert [int(row["index"]) for row in rows] == list(range(40))
    assert {row["frame"] for row in rows} == {"reference", "key", "unlike", ""} and rows[17]["frame"] == "unlike"
    along = np.array([float(row["mode_1_mm"]) for row in rows])
    alike = np.arange(40) != 17
    assert np.abs(along - np.linalg.norm(places, axis=1))[alike].max() < 0.3
    with np.load(tmp_path / "motion-model.npz") as model:
        assert model["mean"].shape == (*LOOKS.shape, 3) and model["modes"].shape[1:] == model["mean"].shape
        assert model["explained"][0] > 0.98 and sorted(model["key_frames"]) == sorted({p[0] for p in walk.pairs} - {17})
        direction = model["modes"][0, 0, 0, 0]
        assert abs(direction @ (3, 1, 0)) / np.linalg.norm(direction) / np.sqrt(10) == pytest.approx(1, abs=1e-3)
