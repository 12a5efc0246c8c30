"""Strategy motion-model on a sequence whose motion is known: through the command line, cut short, redone."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.propagation_cases import GRID, centroid_model, frame, labels, shift_of, weights_file
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.frame_lists import FrameList
from VoxelMorphRegistrationLib.propagation.frames import ListedFrames
from VoxelMorphRegistrationLib.propagation.motion_model_store import MotionStore
from VoxelMorphRegistrationLib.propagation.propagate import propagate
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings

PLACES = [0, 3, 6, 8, 6, 3, 1, 2, 4, 7, 5, 2, 0, 1, 4, 8, 7, 4, 2, 1]  # of frame `index` of the support module


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    (folder / "frames").mkdir()
    for index, place in enumerate(PLACES):
        sitk.WriteImage(frame(place), str(folder / "frames" / f"frame{index}.nrrd"))
    sitk.WriteImage(labels(0), str(folder / "labels.nrrd"))
    return folder, weights_file(folder)


def command(case, output, *more):
    folder, model = case
    given = ["--sequence", folder / "frames", "--segmentation", folder / "labels.nrrd", "--reference-frame", 0]
    given += ["--model", model, "--output", output, "--strategy", "motion-model", "--progress", "none", *more]
    return main(["propagate", *map(str, given)])


def table(path) -> list[dict]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def voxels(output) -> dict[str, bytes]:
    paths = sorted((output / "segmentation").glob("*.nrrd"))
    return {path.name: sitk.GetArrayFromImage(sitk.ReadImage(str(path))).tobytes() for path in paths}


def test_labels_come_to_where_the_ball_went_and_few_frames_are_registered():
    model = centroid_model()
    found = {r.index: r for r in propagate([frame(p) for p in PLACES], labels(0), 0, model, strategy="motion-model")}
    assert sorted(found) == list(range(20)) and all(r.status != "failed" for r in found.values())
    errors = []
    for index, result in found.items():
        inside = sitk.GetArrayFromImage(result.segmentation.layers[0]) > 0
        vectors = sitk.GetArrayFromImage(result.displacement)[inside]
        errors.append(np.linalg.norm(vectors + shift_of(PLACES[index]), axis=-1).mean())
    assert np.mean(errors) < 0.5 and np.max(errors) < 1.5
    assert model.network.calls < 15
    assert {r.strategy for r in found.values()} == {"", "direct", "motion-model"}


def test_a_run_cut_anywhere_goes_on_to_the_same_voxels(case, tmp_path, monkeypatch):
    from VoxelMorphRegistrationLib.propagation.motion_model_look import CoarseLook
    from VoxelMorphRegistrationLib.propagation.results import ResultMaker

    assert command(case, tmp_path / "whole") == 0
    work = [0]

    def counted(method):
        def limited(*arguments):
            work[0] += 1
            if work[0] > 9:
                raise KeyboardInterrupt
            return method(*arguments)

        return limited

    monkeypatch.setattr(CoarseLook, "at_all", counted(CoarseLook.at_all))
    monkeypatch.setattr(ResultMaker, "make", counted(ResultMaker.make))
    statuses = []
    while not statuses or (statuses[-1] != 0 and len(statuses) < 12):
        work[0] = 0
        statuses.append(command(case, tmp_path / "cut"))
    assert statuses[-1] == 0 and set(statuses[:-1]) == {130} and len(statuses) > 3
    assert voxels(tmp_path / "whole") == voxels(tmp_path / "cut")
    assert (tmp_path / "whole" / "motion.csv").read_bytes() == (tmp_path / "cut" / "motion.csv").read_bytes()
    rows = table(tmp_path / "cut" / "frames.csv")
    assert [row["strategy"] for row in rows] == [row["strategy"] for row in table(tmp_path / "whole" / "frames.csv")]
    assert not (tmp_path / "cut" / ".resume").exists()


def test_a_dry_run_counts_the_displacements_of_key_frames_beside_what_registering_takes(case, tmp_path, capsys):
    said = []
    for keys in ("5", "10"):
        assert command(case, tmp_path / "out", "--dry-run", "--keyframes", keys) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("memory"))
        said.append([float(number) for number in re.findall(r"([\d.]+) MB", line)])
    megabytes = 3 * 4 * np.prod(GRID.size) / 1e6
    for (whole, peak, held), keys in zip(said, (5, 10)):
        assert held == pytest.approx(keys * megabytes, abs=0.5) and whole == pytest.approx(peak + held, abs=1)
    assert command(case, tmp_path / "out", "--dry-run", "--strategy", "direct") == 0
    assert "key frames" not in capsys.readouterr().out


def test_starting_again_removes_what_the_model_left(case, tmp_path):
    assert command(case, tmp_path / "out") == 0
    assert (tmp_path / "out" / "motion-model.npz").is_file() and table(tmp_path / "out" / "motion.csv")
    arguments = ("--overwrite", "--strategy", "direct")
    assert command(case, tmp_path / "out", *arguments, "--frames", "0:2", "--keyframes", "3") == 0
    assert command(case, tmp_path / "out", *arguments) == 0
    assert not list((tmp_path / "out").glob("motion*"))


def test_another_number_of_key_frames_is_another_run(case, tmp_path, capsys):
    assert command(case, tmp_path / "out", "--frames", "0:3") == 0
    assert command(case, tmp_path / "out", "--keyframes", "4") == 1
    assert "keyframes: None there, 4 here" in capsys.readouterr().err


def test_no_key_frames_and_single_slices_are_refused():
    with pytest.raises(InputError, match="keyframes 0"):
        PropagationSettings("motion-model", keyframes=0)
    flat = [frame(0)[:, :, 11], frame(1)[:, :, 11]]
    with pytest.raises(InputError, match="looks at images of 3 dimensions.*strategy direct"):
        list(propagate(flat, labels(0)[:, :, 11], 0, flat_model(), strategy="motion-model"))
    assert GRID.dimension == 3


def flat_model():
    model = centroid_model()
    model.network.dimension = 2
    return model


def test_a_run_by_auto_goes_on_by_the_strategy_it_stands_for_and_takes_an_earlier_model(case, tmp_path, capsys):
    assert command(case, tmp_path / "first") == 0
    assert command(case, tmp_path / "out", "--strategy", "auto", "--frames", "0:2") == 0
    assert command(case, tmp_path / "out", "--strategy", "direct", "--frames", "0:3") == 0
    model = tmp_path / "first" / "motion-model.npz"
    assert command(case, tmp_path / "second", "--motion-model", model) == 0
    with open(tmp_path / "second" / "motion.csv", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(PLACES)
    assert command(case, tmp_path / "second") == 1
    assert "motion model" in capsys.readouterr().err
    assert command(case, tmp_path / "third", "--motion-model", tmp_path / "none.npz") == 1
    assert "holds no motion model" in capsys.readouterr().err


def test_a_curve_keeps_rows_of_other_references_that_an_earlier_version_wrote_with_other_columns(tmp_path):
    earlier = "index,mode_1_mm,mode_2_mm,mode_3_mm,frame\n0,1.0,2.0,3.0,key\n2,4.0,5.0,6.0,\n"
    (tmp_path / "motion.csv").write_text(earlier, encoding="utf-8")
    listed = FrameList(tuple(tmp_path / f"{index}.nrrd" for index in range(4)), ("0", "1", "5", "7"))
    store = MotionStore(tmp_path, ListedFrames(listed, listed.files), 1, alone=False)
    store.write_curve([{"index": index, "mode_1_mm": "0.5", "mode_2_mm": "0.1", "frame": ""} for index in "01"])
    rows = table(tmp_path / "motion.csv")
    assert [(row["index"], row["index_value"], row["mode_1_mm"], row["mode_3_mm"]) for row in rows] == [
        ("0", "0", "0.5", ""), ("1", "1", "0.5", ""), ("2", "", "4.0", "6.0")
    ]  # fmt: skip
