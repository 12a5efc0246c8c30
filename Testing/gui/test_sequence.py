"""A segmentation carried through a sequence in the panel, and its frames reviewed."""

from __future__ import annotations

import os
import signal

import pytest
import slicer
import slicer.util

from Testing.gui.scenes import (
    FRAMES,
    browser,
    choose_sequence,
    correct_by_hand,
    finish,
    longest_gap,
    smallest_gap,
    states,
)


@pytest.fixture
def ready(sequence_panel):
    return sequence_panel


def test_frames_come_live_without_the_window_standing_still(host, ready, tmp_path):
    ready.ui.tryButton.click()
    assert "Frame 0 was drawn on. Show another frame" in ready.ui.statusLabel.text and not ready.panel.running
    browser(ready).SetSelectedItemNumber(3)
    ready.ui.tryButton.click()
    finish(host, ready)
    assert "all 6 take about" in ready.ui.statusLabel.text
    assert ready.ui.acceptButton.enabled and "Frame 3" in ready.ui.frameLabel.text and ready.ui.show3DButton.enabled

    def run(number):
        ready.panel.parameters.outputSequence, ready.panel.parameters.runFolder = None, tmp_path / f"run-{number}"
        ready.ui.applyButton.click()
        host.wait_until(lambda: ready.panel._review.output is not None, 30, "the first frame")
        finish(host, ready)

    assert smallest_gap(host, run) < longest_gap()
    assert [state.status for state in states(ready)] == ["reference", *["done"] * (FRAMES - 1)]
    assert "frames" in ready.ui.resultLabel.text and ready.ui.plotButton.enabled
    assert not ready.panel.parameters.segmentation.GetDisplayNode().GetVisibility()


def test_a_run_is_cancelled_and_goes_on_where_it_was(host, panel, weights, warm_worker, tmp_path):
    # So many that none but a window that stands still has them all before it asks for an end.
    count = 30
    panel.panel._worker = warm_worker
    choose_sequence(panel, weights, tmp_path / "run", count)
    panel.ui.applyButton.click()
    host.wait_until(lambda: panel.panel._review.output is not None, 60, "the first frame")
    assert "frames so far" in panel.ui.resultLabel.text
    panel.ui.applyButton.click()
    assert panel.ui.applyButton.text == "Cancelling ..."
    finish(host, panel, 10)
    kept = len(states(panel))
    assert 1 <= kept < count and "Cancelled. Finished frames stay" in panel.ui.statusLabel.text
    files = {path: os.stat(path).st_mtime_ns for path in (tmp_path / "run" / "segmentation").glob("*.nrrd")}
    panel.ui.applyButton.click()
    finish(host, panel)
    assert len(states(panel)) == count
    assert all(os.stat(path).st_mtime_ns == time for path, time in files.items())


def test_slicer_is_quit_in_the_middle_and_started_again(host, panel, weights, warm_worker, tmp_path):
    from Testing.gui.conftest import MODULE_FILE

    count = 12
    choose_sequence(panel, weights, tmp_path / "run", count)
    panel.ui.applyButton.click()
    host.wait_until(lambda: panel.panel._review.output is not None, 60, "the first frame")
    process = panel.panel._worker._process.processId()
    # The worker may be quicker than the window that saves: held here, it is in the middle when Slicer is quit.
    os.kill(process, signal.SIGSTOP)
    host.save_scene(tmp_path / "scene.mrb")
    host.quit()
    host.process(0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    finished = len((tmp_path / "run" / "frames.csv").read_text().splitlines()) - 1
    panel = host.open_module(MODULE_FILE)
    panel.panel._worker = warm_worker
    host.load_scene(tmp_path / "scene.mrb")
    parameters = panel.panel.parameters
    assert parameters.runFolder == tmp_path / "run" and parameters.sequence.GetNumberOfDataNodes() == count
    panel.ui.applyButton.click()
    finish(host, panel)
    assert panel.ui.statusLabel.text == "Done."
    assert len(states(panel)) == count and 1 <= finished < count


def test_a_worker_that_is_killed_in_the_middle_is_said_and_the_next_apply_goes_on(host, ready, tmp_path):
    ready.ui.applyButton.click()
    host.wait_until(lambda: ready.panel._review.output is not None, 60, "the first frame")
    os.kill(ready.panel._worker._process.processId(), signal.SIGKILL)
    finish(host, ready, 10)
    shown = host.dialogs.shown[-1]
    assert "its process ended; finished frames stay, Apply starts it again" in shown.text
    finished = len((tmp_path / "run" / "frames.csv").read_text().splitlines()) - 1
    assert 1 <= finished and len(states(ready)) == finished
    files = {path: os.stat(path).st_mtime_ns for path in (tmp_path / "run" / "segmentation").glob("*.nrrd")}
    ready.ui.applyButton.click()
    finish(host, ready)
    assert ready.ui.statusLabel.text == "Done." and len(states(ready)) == FRAMES
    kept = [path for path in files if int(path.stem) < finished]
    assert all(os.stat(path).st_mtime_ns == files[path] for path in kept) and kept


def test_a_corrected_frame_serves_its_neighbours_and_accepted_frames_stay(host, ready):
    ready.ui.applyButton.click()
    finish(host, ready)
    output = ready.panel.parameters.outputSequence
    browser(ready).SetSelectedItemNumber(5)
    ready.ui.acceptButton.click()
    assert ready.ui.acceptButton.text == "Accepted: take back"
    correct_by_hand(ready, 4)
    assert [state.edited for state in states(ready)] == [False] * 4 + [True, False]
    assert "edited by hand" in ready.ui.frameLabel.text or ready.panel._review.update() is None
    kept = output.GetNthDataNode(5)
    ready.ui.referenceButton.click()
    finish(host, ready)
    references = [output.GetNthDataNode(number).GetAttribute("VoxelMorph.ReferenceFrame") for number in range(6)]
    assert references == ["0", "0", "0", "4", "0", "0"] and output.GetNthDataNode(5) is kept
    assert ready.panel.parameters.references() == [0, 4]


def test_flagged_frames_are_walked_through(host, ready):
    ready.ui.applyButton.click()
    finish(host, ready)
    output = ready.panel.parameters.outputSequence
    table = output.GetNodeReference("VoxelMorph.Table").GetTable().GetColumnByName("flag")
    for number in range(6):
        table.SetValue(number, "jumps" if number in (2, 4) else "")
    ready.panel.update()
    assert "2 of 6 frames need a look: 2, 4" in ready.ui.resultLabel.text
    for expected in (2, 4, 2):
        ready.ui.nextFlaggedButton.click()
        assert browser(ready).GetSelectedItemNumber() == expected
    ready.ui.previousFlaggedButton.click()
    assert browser(ready).GetSelectedItemNumber() == 4 and "jumps" in ready.ui.frameLabel.text
    ready.ui.acceptButton.click()
    assert "1 of 6 frames need a look: 2" in ready.ui.resultLabel.text


def test_other_settings_are_asked_for_and_a_second_run_adds_no_nodes(host, ready):
    ready.ui.applyButton.click()
    finish(host, ready)
    count = slicer.mrmlScene.GetNumberOfNodes()
    ready.panel.parameters.networkSpacing = 3.0
    host.dialogs.answers.append(("made with other settings", True))
    ready.ui.applyButton.click()
    finish(host, ready)
    assert ready.ui.statusLabel.text == "Done." and slicer.mrmlScene.GetNumberOfNodes() == count


def test_frames_that_have_no_result_yet_are_walked_over_without_an_error_in_the_log(host, ready, capfd):
    """Slicer's sequences log an error for a frame that is asked for and not there."""
    browser(ready).SetSelectedItemNumber(1)
    ready.ui.tryButton.click()
    finish(host, ready)
    capfd.readouterr()
    for number in range(FRAMES):
        browser(ready).SetSelectedItemNumber(number)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser(ready))
        host.process(0.05)
    assert len(states(ready)) == 1 and ready.panel._review.output.GetNumberOfDataNodes() == 1
    said = capfd.readouterr().err
    assert "GetNthDataNode" not in said and "ERR|" not in said


def test_a_scene_that_is_closed_meanwhile_stays_empty(host, ready):
    ready.ui.applyButton.click()
    host.wait_until(lambda: ready.panel._review.output is not None, 60, "the first frame")
    slicer.mrmlScene.Clear(0)
    host.process(1.0)
    assert not ready.panel.running and slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0


def test_images_of_the_patient_are_deleted_on_request_and_results_stay(host, ready, tmp_path):
    browser(ready).SetSelectedItemNumber(1)
    ready.ui.tryButton.click()
    finish(host, ready)
    host.dialogs.answers.append(("of images", True))
    ready.ui.deleteImagesButton.click()
    assert not (tmp_path / "run" / "scratch").exists() and (tmp_path / "run" / "frames.csv").is_file()
    assert not ready.ui.deleteImagesButton.enabled


def test_a_segmentation_without_segments_is_named(host, ready):
    ready.panel.parameters.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing")
    ready.ui.applyButton.click()
    assert "nothing" in host.dialogs.shown[-1].text and not ready.panel.running


def test_a_click_on_the_volume_curve_shows_the_frame(host, ready):
    ready.ui.applyButton.click()
    finish(host, ready)
    ready.ui.plotButton.click()
    chart = ready.panel.parameters.outputSequence.GetNodeReference("VoxelMorph.Plot")
    assert slicer.app.layoutManager().plotWidget(0).mrmlPlotViewNode().GetPlotChartNodeID() == chart.GetID()
    host.click_plot(chart.GetNthPlotSeriesNode(0), 3)
    assert browser(ready).GetSelectedItemNumber() == 3 and "Frame 3" in ready.ui.frameLabel.text


def test_results_are_exported_from_the_panel(host, ready, tmp_path):
    assert not ready.ui.exportButton.enabled
    ready.panel.parameters.saveTransforms = True
    ready.ui.applyButton.click()
    finish(host, ready)
    choices = [ready.ui.exportSelector.itemText(number) for number in range(ready.ui.exportSelector.count)]
    for number, choice in enumerate(choices):
        ready.ui.exportSelector.currentIndex = number
        host.dialogs.answers.append(("exported files", str(tmp_path / "out")))
        ready.ui.exportButton.click()
        host.wait_until(lambda: "Exported to" in ready.ui.statusLabel.text, 30, choice)
        ready.panel._runs.say("")
    written = sorted(path.suffix for path in (tmp_path / "out").iterdir())
    assert written == [".csv", *[".h5"] * FRAMES, *[".nrrd"] * (FRAMES + 1)]
