"""Some frames once more, with other settings; what runs take, in time and on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import slicer.util

from Testing.gui.scenes import FRAMES, browser, choose_sequence, correct_by_hand, finish, states


def runs_of_frames(folder):
    """Of each frame of a run folder, the number of the run that made it, and every run's settings."""
    record = json.loads((folder / "run.json").read_text())
    rows = (folder / "frames.csv").read_text().splitlines()
    columns = rows[0].split(",")
    return [int(row.split(",")[columns.index("run")]) for row in rows[1:]], json.dumps(record)


def test_chosen_frames_are_run_again_with_another_refinement_and_a_persons_own_stay(host, sequence_panel, tmp_path):
    ui, panel = sequence_panel.ui, sequence_panel.panel
    ui.applyButton.click()
    finish(host, sequence_panel)
    assert not ui.againBox.visible and ui.againBoxButton.enabled
    output = panel.parameters.outputSequence
    browser(sequence_panel).SetSelectedItemNumber(2)
    ui.acceptButton.click()
    correct_by_hand(sequence_panel, 3)
    kept = [output.GetNthDataNode(number) for number in (1, 2, 3, 5)]
    ui.againBoxButton.click()
    assert ui.againBox.visible
    ui.againFramesEdit.text = "2, 3"
    browser(sequence_panel).SetSelectedItemNumber(4)
    ui.againShownButton.click()
    assert ui.againFramesEdit.text == "2, 3, 4"
    ui.againRefinementSelector.currentIndex = ui.againRefinementSelector.findText("30 steps: about twice the time")
    before = output.GetNthDataNode(4)
    ui.againButton.click()
    assert "Left as they are" in ui.statusLabel.text and "2, 3" in ui.statusLabel.text
    finish(host, sequence_panel)
    made_by, record = runs_of_frames(tmp_path / "run")
    assert made_by == [0, 0, 0, 0, 1, 0] and '"refine": 30' in record
    assert [output.GetNthDataNode(number) for number in (1, 2, 3, 5)] == kept
    assert output.GetNthDataNode(4) is not before
    # What the panel holds is as it was.
    assert panel.parameters.registration_options()[2:4] == ["--align", "none"]
    assert "--refine" not in panel.parameters.registration_options()


def test_flagged_frames_are_proposed_and_a_frame_that_is_not_there_is_named(host, sequence_panel):
    ui, panel = sequence_panel.ui, sequence_panel.panel
    ui.applyButton.click()
    finish(host, sequence_panel)
    table = panel.parameters.outputSequence.GetNodeReference("VoxelMorph.Table").GetTable().GetColumnByName("flag")
    for number in range(FRAMES):
        table.SetValue(number, "jumps" if number in (2, 4) else "")
    panel.update()
    assert ui.againFramesEdit.text == "2, 4"
    ui.againFramesEdit.text = "2, 40"
    ui.againFlaggedButton.click()
    assert ui.againFramesEdit.text == "2, 4"
    ui.againFramesEdit.text = "40"
    ui.againButton.click()
    assert "there is no such frame among 6" in host.dialogs.shown[-1].text and not panel.running


def test_what_a_run_will_take_is_said_before_it_and_with_what_it_was_timed(host, sequence_panel, tmp_path):
    ui, parameters = sequence_panel.ui, sequence_panel.panel.parameters
    assert not ui.estimateLabel.visible
    browser(sequence_panel).SetSelectedItemNumber(3)
    ui.tryButton.click()
    finish(host, sequence_panel)
    assert "5 of 6 frames are left, about" in ui.estimateLabel.text and "in the last run" in ui.estimateLabel.text
    parameters.networkSpacing = 3.0
    assert "with the last settings" in ui.estimateLabel.text
    parameters.networkSpacing = 0.0
    seconds = parameters.secondsAFrame
    host.save_scene(tmp_path / "scene.mrb")
    host.load_scene(tmp_path / "scene.mrb")
    assert sequence_panel.panel.parameters.secondsAFrame == seconds > 0
    assert "5 of 6 frames are left" in ui.estimateLabel.text
    said = []
    ui.applyButton.click()
    while sequence_panel.panel.running:
        said.append(ui.statusLabel.text)
        host.process(0.005)
    assert any("Timing the first of 6 frames" in line for line in said)
    assert not ui.estimateLabel.visible and len(states(sequence_panel)) == FRAMES


def test_what_a_frame_took_is_remembered_for_the_next_patient_by_the_size_of_the_frames(host, sequence_panel, tmp_path):
    ui, panel = sequence_panel.ui, sequence_panel.panel
    browser(sequence_panel).SetSelectedItemNumber(3)
    ui.tryButton.click()
    finish(host, sequence_panel)
    seconds = panel.parameters.secondsAFrame
    slicer.mrmlScene.Clear(0)
    host.process()
    network = slicer.app.userSettings().value("VoxelMorph/TimedFrames")
    assert network and panel.parameters.secondsAFrame == 0 and not ui.estimateLabel.visible
    weights = next(word for word in json.loads(network).popitem()[0].split() if word.endswith(".pt"))
    sequence, _ = choose_sequence(sequence_panel, weights, tmp_path / "another")
    assert "6 of 6 frames are left, about" in ui.estimateLabel.text and "by an earlier run" in ui.estimateLabel.text
    runs = panel._sequences
    assert runs._seconds_a_frame()[0] == pytest.approx(seconds)
    volume = browser(sequence_panel).GetProxyNode(sequence)
    slicer.util.updateVolumeFromArray(volume, np.tile(slicer.util.arrayFromVolume(volume), (2, 1, 1)))
    assert runs._seconds_a_frame()[0] == pytest.approx(2 * seconds)
    panel.parameters.networkSpacing = 3.0
    assert not ui.estimateLabel.visible


def test_what_the_run_folder_takes_is_said_beside_what_is_free(host, sequence_panel):
    ui = sequence_panel.ui
    assert ui.runFolderInfo.text.endswith("are free there.") and "takes" not in ui.runFolderInfo.text
    browser(sequence_panel).SetSelectedItemNumber(1)
    ui.tryButton.click()
    finish(host, sequence_panel)
    host.wait_until(lambda: ui.runFolderInfo.text.startswith("It takes"), 5, "the size of the run folder")
    before = ui.runFolderInfo.text
    host.dialogs.answers.append(("of images", True))
    ui.deleteImagesButton.click()
    host.wait_until(lambda: "takes" in ui.runFolderInfo.text and ui.runFolderInfo.text != before, 5, "its new size")
