"""A propagation by another process: its input as files in the run folder, its frames as nodes while they appear."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from Testing.support.moving_body import TIMES, draw
from Testing.support.propagation_cases import weights_file
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml.beside import at_once
from VoxelMorphRegistrationLib.mrml.browsing import browser_of
from VoxelMorphRegistrationLib.mrml.job_files import SequenceFiles, own_file
from VoxelMorphRegistrationLib.mrml.live_run import LiveRun
from VoxelMorphRegistrationLib.mrml.prepared_sequence import PreparedSequence
from VoxelMorphRegistrationLib.mrml.propagation_nodes import SequenceInput, SequenceOutput
from VoxelMorphRegistrationLib.mrml.review import accept, frame_states
from VoxelMorphRegistrationLib.mrml.runs import load_run
from VoxelMorphRegistrationLib.propagation.frames import open_frames
from VoxelMorphRegistrationLib.propagation.motion_model_store import MotionStore


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return weights_file(tmp_path_factory.mktemp("weights"))


def prepared(sequence, organs, output=None):
    return PreparedSequence.of(SequenceInput(sequence, organs), SequenceOutput(output))


def compute(files, folder, weights, *more):
    options = ["--sequence", files.sequence, *files.options(), "--model", weights, "--output", folder, *more]
    return main(["propagate", *[str(option) for option in options], "--progress", "none"])


def test_frames_are_written_once_and_a_continued_run_finds_them_unchanged(scene, sequence, weights, tmp_path):
    organs = draw(scene)
    files = SequenceFiles(prepared(sequence, organs), tmp_path)
    assert list(at_once(files.write())) == [0.25, 0.5, 0.75, 1.0]
    written = open_frames(str(files.sequence))
    assert len(written) == 4
    for number in range(4):
        values = slicer.util.arrayFromVolume(sequence.GetNthDataNode(number))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(written[number]), values)
    assert compute(files, tmp_path, weights, "--frames", "0:2") == 0
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "scratch").rglob("*") if path.is_file()}
    again = SequenceFiles(prepared(sequence, organs), tmp_path)
    list(at_once(again.write()))
    assert compute(again, tmp_path, weights) == 0
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert [row.split(",")[0] for row in (tmp_path / "frames.csv").read_text().splitlines()[1:]] == list("0123")


def test_a_frame_that_changed_is_written_anew(scene, sequence, tmp_path):
    files = SequenceFiles(prepared(sequence, draw(scene)), tmp_path)
    list(at_once(files.write()))
    slicer.util.arrayFromVolume(sequence.GetNthDataNode(2))[:] = 7
    list(at_once(files.write()))
    assert sitk.GetArrayViewFromImage(open_frames(str(files.sequence))[2]).max() == 7


def computed(sequence, organs, tmp_path, weights, *options):
    """The sequence prepared and written, and a run of it ended."""
    ready = prepared(sequence, organs)
    files = SequenceFiles(ready, tmp_path)
    list(at_once(files.write()))
    assert compute(files, tmp_path, weights, *options) == 0
    return ready, files


def test_frames_appear_in_the_browser_one_by_one_with_table_and_plot_at_the_end(scene, sequence, weights, tmp_path):
    organs = draw(scene)
    ready, files = computed(sequence, organs, tmp_path, weights)
    live = LiveRun(ready, tmp_path)
    assert live.output is None
    for number in range(4):
        list(at_once(live.frame(number)))
        assert live.output.GetNumberOfDataNodes() == number + 1
        assert browser_of(live.output) is browser_of(sequence)
    live.finish()
    assert [state.status for state in frame_states(live.output)] == ["reference", "done", "done", "done"]
    assert live.output.GetNthDataNode(2).GetSegmentation().GetSegment("liver").GetName() == "liver"
    assert live.output.GetNodeReference("VoxelMorph.Table").GetNumberOfRows() == 4
    assert live.output.GetNodeReference("VoxelMorph.Plot") is not None
    assert not any(state.edited for state in frame_states(live.output))
    assert browser_of(sequence).GetSelectedItemNumber() == 2


def test_a_folder_is_caught_up_with_and_what_a_person_accepted_stays(scene, sequence, weights, tmp_path):
    organs = draw(scene)
    ready, files = computed(sequence, organs, tmp_path, weights)
    live = LiveRun(ready, tmp_path)
    assert list(at_once(live.catch_up())) == [0, 1, 2, 3]
    accept(live.output, live.output.GetNthIndexValue(1))
    kept = live.output.GetNthDataNode(1)
    assert compute(files, tmp_path, weights, "--overwrite", "--refine", "1") == 0
    again = LiveRun(prepared(sequence, organs, live.output), tmp_path)
    assert list(at_once(again.catch_up())) == [0, 2, 3]
    assert again.output is live.output and live.output.GetNthDataNode(1) is kept
    asked = LiveRun(prepared(sequence, organs, live.output), tmp_path, asked=[1])
    assert list(at_once(asked.catch_up())) == [1]


def test_a_loaded_file_goes_by_its_path_until_it_is_changed(scene, tmp_path):
    path = tmp_path / "volume.nrrd"
    sitk.WriteImage(sitk.Image(5, 6, 7, sitk.sitkFloat32), str(path))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "volume")
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(path))
    assert node.GetStorageNode().ReadData(node)
    assert own_file(node, (".nrrd",)) == path and own_file(node, (".nii",)) is None
    slicer.util.arrayFromVolume(node)[:] = 1
    slicer.util.arrayFromVolumeModified(node)
    assert own_file(node, (".nrrd",)) is None


def test_a_frame_whose_showing_was_stopped_is_linked_when_it_is_caught_up_with(scene, sequence, weights, tmp_path):
    ready, _ = computed(sequence, draw(scene), tmp_path, weights, "--frames", "2")
    for pieces in range(1, 4):
        live = LiveRun(ready, tmp_path)
        stopped, sent = live.frame(2), None
        for _ in range(pieces):
            sent = stopped.send(sent).work()
        stopped.close()
        list(at_once(live.catch_up()))
        live.finish()
        browser = browser_of(live.output)
        assert browser is browser_of(sequence) and browser.GetProxyNode(live.output) is not None
        scene.RemoveNode(live.output)


def test_a_run_that_finds_nothing_new_leaves_frames_to_be_edited(scene, sequence, weights, tmp_path):
    organs = draw(scene)
    ready, files = computed(sequence, organs, tmp_path, weights)
    live = LiveRun(ready, tmp_path)
    list(at_once(live.catch_up()))
    live.finish()
    again = LiveRun(prepared(sequence, organs, live.output), tmp_path)
    assert list(at_once(again.catch_up())) == []
    again.finish()
    assert browser_of(sequence).GetSaveChanges(live.output)


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_run_of_the_panel_knows_the_sequence_s_name_and_the_index_value_of_each_frame(
    scene, sequence, weights, tmp_path
):
    ready, files = computed(sequence, draw(scene), tmp_path, weights, "--strategy", "motion-model")
    assert [row["index_value"] for row in rows_of(tmp_path / "frames.csv")] == list(TIMES)
    written = open_frames(str(files.sequence))
    assert (written.name(2), written.index_name, written.index_unit) == ("frame 2 of cine", "trigger time", "ms")
    record = json.loads((tmp_path / "run.json").read_text())["circumstances"]
    assert record["sequence_name"] == "cine" and record["index"] == {"name": "trigger time", "unit": "ms"}
    pages = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(f'"{time}"' in pages for time in TIMES) and '{"title": "trigger time", "unit": "ms"}' in pages
    run = load_run(tmp_path, scene=scene)
    assert run.segmentation.GetName() == "cine segmentation"
    assert (run.segmentation.GetIndexName(), run.segmentation.GetIndexUnit()) == ("trigger time", "ms")
    assert [run.segmentation.GetNthIndexValue(number) for number in range(4)] == list(TIMES)
    beside = load_run(tmp_path, sequence)
    assert beside.browser is browser_of(sequence)


def test_the_breathing_curve_of_a_run_of_the_panel_is_over_the_sequence_s_times(scene, sequence, tmp_path):
    store = MotionStore(tmp_path, prepared(sequence, draw(scene)).frames, 0)
    store.write_curve([{"index": str(index), "mode_1_mm": "0.5", "frame": ""} for index in range(4)])
    assert [(row["index"], row["index_value"]) for row in rows_of(tmp_path / "motion.csv")] == list(zip("0123", TIMES))


@pytest.mark.parametrize("as_segmentations", [False, True])
def test_a_run_that_an_earlier_version_of_the_panel_numbered_is_loaded_by_its_numbers(
    scene, sequence, weights, tmp_path, as_segmentations
):
    files = SequenceFiles(prepared(sequence, draw(scene)), tmp_path)
    list(at_once(files.write()))
    scratch = tmp_path / "scratch"
    (scratch / "sequence.json").unlink()
    (scratch / "frames.txt").write_text("".join(f"frames/{number:05d}.nrrd\n" for number in range(4)))
    options = ["--sequence", scratch / "frames.txt", *files.options(), "--model", weights, "--output", tmp_path]
    assert main(["propagate", *map(str, options), "--progress", "none", "--no-report"]) == 0
    assert [row["index_value"] for row in rows_of(tmp_path / "frames.csv")] == list("0123")
    run = load_run(tmp_path, sequence, as_segmentations)
    assert [run.segmentation.GetNthIndexValue(number) for number in range(4)] == list(TIMES)
    held = [run.segmentation.GetDataNodeAtValue(time).GetAttribute("VoxelMorph.Frame") for time in TIMES]
    assert as_segmentations or held == list("0123")
    # The same run, continued now: its frames stay, and get their times.
    assert compute(files, tmp_path, weights) == 1  # its list is not written yet
    list(at_once(files.write()))
    made = (tmp_path / "segmentation" / "0002.nrrd").stat().st_mtime_ns
    assert compute(files, tmp_path, weights) == 0
    assert [row["index_value"] for row in rows_of(tmp_path / "frames.csv")] == list(TIMES)
    assert (tmp_path / "segmentation" / "0002.nrrd").stat().st_mtime_ns == made


def test_a_numbered_run_of_another_number_of_frames_is_not_of_this_sequence(scene, sequence, weights, tmp_path):
    files = SequenceFiles(prepared(sequence, draw(scene)), tmp_path)
    list(at_once(files.write()))
    paths = sorted(str(path) for path in (tmp_path / "scratch" / "frames").glob("*"))
    (tmp_path / "three.txt").write_text("\n".join(paths[:3]))
    options = ["--sequence", tmp_path / "three.txt", *files.options(), "--model", weights, "--output", tmp_path]
    assert main(["propagate", *map(str, options), "--progress", "none", "--no-report"]) == 0
    with pytest.raises(InputError, match="is not in .*cine"):
        load_run(tmp_path, sequence)
