"""What can be chosen as input: a frame's whole sequence, a folder that is never loaded, a box."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from Testing.gui.scenes import FRAMES, drawn_segmentation, finish, sequence_of, states, two_volumes
from Testing.support.propagation_cases import CENTRE, frame, weights_file, write_sequence


def test_choosing_a_frame_of_a_sequence_offers_the_sequence(host, panel):
    _, other = two_volumes()
    sequence, browser = sequence_of(3)
    parameters = panel.panel.parameters
    parameters.fixedVolume, parameters.movingVolume = other, None
    assert not panel.ui.useSequenceButton.visible
    parameters.movingVolume = browser.GetProxyNode(sequence)
    assert panel.ui.useSequenceButton.visible and "cine" in panel.ui.useSequenceButton.text
    panel.ui.useSequenceButton.click()
    assert parameters.mode.name == "SEQUENCE" and parameters.sequence is sequence
    assert panel.ui.sequenceSelector.currentNode() is sequence


def test_a_chosen_sequence_that_gets_its_frames_later_can_be_applied(host, panel):
    from VoxelMorphRegistrationLib.widgets.parameters import Mode

    sequence, browser = sequence_of(1)
    parameters = panel.panel.parameters
    parameters.mode, parameters.sequence, parameters.segmentation = Mode.SEQUENCE, sequence, drawn_segmentation()
    assert not panel.ui.applyButton.enabled and "second frame" in panel.ui.applyButton.toolTip
    sequence.SetDataNodeAtValue(sequence.GetNthDataNode(0), "0.5")
    host.process()
    assert panel.ui.applyButton.enabled and panel.ui.tryButton.enabled
    sequence.RemoveDataNodeAtValue("0.5")
    host.process()
    assert not panel.ui.applyButton.enabled


def test_segments_that_are_drawn_after_the_segmentation_was_chosen_are_offered(host, panel):
    from VoxelMorphRegistrationLib.widgets.parameters import Mode

    parameters = panel.panel.parameters
    drawn = drawn_segmentation()
    parameters.mode, parameters.segmentation = Mode.SEQUENCE, drawn
    drawn.GetSegmentation().AddEmptySegment("later", "drawn later")
    host.process()
    rows = panel.ui.segmentsList
    assert [rows.item(row).text() for row in range(rows.count)][-1] == "drawn later"
    drawn.GetSegmentation().GetSegment("later").SetName("renamed")
    host.process()
    assert rows.item(rows.count - 1).text() == "renamed"


def test_a_thousand_frames_that_come_at_once_are_shown_once(host, panel):
    from VoxelMorphRegistrationLib.widgets.node_contents import NodeContents

    sequence, browser = sequence_of(1)
    told = []
    contents = NodeContents(lambda: told.append(sequence.GetNumberOfDataNodes()))
    contents.follow(sequence, None)
    volume = sequence.GetNthDataNode(0)
    for number in range(1, 1001):
        sequence.SetDataNodeAtValue(volume, str(number))
    host.process()
    assert told == [1001]
    sequence.RemoveDataNodeAtValue("7")
    contents.follow()
    host.process()
    assert told == [1001]


def test_a_folder_on_disk_is_propagated_without_being_loaded(host, panel, warm_worker, tmp_path):
    from VoxelMorphRegistrationLib.mrml.browsing import browser_of
    from VoxelMorphRegistrationLib.widgets.parameters import Mode

    panel.panel._worker = warm_worker
    folder, _ = write_sequence(tmp_path, 4)
    parameters = panel.panel.parameters
    parameters.mode, parameters.segmentation = Mode.SEQUENCE, drawn_segmentation()
    parameters.runFolder, parameters.network = tmp_path / "run", str(weights_file(tmp_path))
    host.dialogs.answers.append(("Folder of frames", str(folder)))
    panel.ui.openFolderButton.click()
    sequence = parameters.sequence
    volume = browser_of(sequence).GetProxyNode(sequence)
    panel.ui.applyButton.click()
    host.wait_until(lambda: not panel.panel.running, 90, "the run")
    assert panel.ui.statusLabel.text == "Done."
    assert parameters.outputSequence.GetNumberOfDataNodes() == 4
    assert not (tmp_path / "run" / "scratch" / "frames").is_dir() or not list(tmp_path.glob("run/scratch/frames/*"))
    browser_of(sequence).SetSelectedItemNumber(2)
    host.wait_until(lambda: slicer.util.arrayFromVolume(volume).shape == (24, 26, 28), 5, "the frame from disk")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), sitk.GetArrayFromImage(frame(2)))
    host.save_scene(tmp_path / "scene.mrb")
    host.load_scene(tmp_path / "scene.mrb")
    sequence = panel.panel.parameters.sequence
    volume = browser_of(sequence).GetProxyNode(sequence)
    host.wait_until(lambda: slicer.util.arrayFromVolume(volume).shape == (24, 26, 28), 5, "the frame after loading")


def test_a_folder_without_frames_is_named_and_nothing_is_chosen(host, panel, tmp_path):
    (tmp_path / "empty").mkdir()
    host.dialogs.answers.append(("Folder of frames", str(tmp_path / "empty")))
    panel.ui.openFolderButton.click()
    assert "empty" in host.dialogs.shown[-1].text and panel.panel.parameters.sequence is None


def test_while_a_compressed_file_is_unpacked_the_panel_says_how_far_it_is(host, panel, tmp_path, monkeypatch):
    from VoxelMorphRegistrationLib.widgets.parameters import Mode

    path = tmp_path / "cine.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([frame(index) for index in range(3)]), str(path), True)
    panel.panel.parameters.mode = Mode.SEQUENCE
    seen = []
    monkeypatch.setattr(
        type(slicer.app), "processEvents", lambda *given: seen.append(panel.ui.statusLabel.text), raising=False
    )
    host.dialogs.answers.append(("4D file", str(path)))
    panel.ui.openFileButton.click()
    monkeypatch.undo()
    assert seen and all(text.startswith("Unpacking ") for text in seen)
    assert panel.panel.parameters.sequence.GetNumberOfDataNodes() == 3
    assert panel.ui.statusLabel.text == "" and not panel.ui.progressBar.visible


def test_a_box_is_the_region_of_a_pair_and_a_box_elsewhere_is_named(host, panel, warm_worker, tmp_path):
    panel.panel._worker = warm_worker
    parameters = panel.panel.parameters
    parameters.fixedVolume, parameters.movingVolume = two_volumes()
    parameters.network = str(weights_file(tmp_path))
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "around the ball")
    roi.SetSize(20.0, 20.0, 20.0)
    roi.SetCenter(500.0, 0.0, 0.0)
    panel.ui.regionSelector.setCurrentNode(roi)
    panel.ui.applyButton.click()
    host.wait_until(lambda: not panel.panel.running, 60, "the refusal")
    assert "around the ball" in host.dialogs.shown[-1].text
    roi.SetCenter(4.0, -34.0, 32.0)
    panel.ui.applyButton.click()
    host.wait_until(lambda: not panel.panel.running, 60, "the registration")
    assert panel.ui.statusLabel.text == "Done."


def test_points_or_a_model_are_carried_without_a_segmentation(host, sequence_panel, tmp_path):
    parameters, ui = sequence_panel.panel.parameters, sequence_panel.ui
    segmentation, parameters.segmentation = parameters.segmentation, None
    assert not ui.applyButton.enabled and "points or a model" in ui.applyButton.toolTip
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(CENTRE * (-1, -1, 1))
    sphere.Update()
    wall = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "wall")
    wall.SetAndObservePolyData(sphere.GetOutput())
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmarks")
    points.AddControlPoint(vtk.vtkVector3d(CENTRE * (-1, -1, 1)), "tip")
    parameters.points, parameters.surface = points, wall
    assert ui.applyButton.enabled and not ui.maskMarginSpinBox.enabled and not ui.referencesBox.enabled
    ui.applyButton.click()
    finish(host, sequence_panel)
    output = parameters.outputSequence
    assert [state.status for state in states(sequence_panel)] == ["reference", *["done"] * (FRAMES - 1)]
    assert output.GetNthDataNode(1).GetNthControlPointLabel(0) == "tip"
    assert output.GetNodeReference("VoxelMorph.Surface").GetNumberOfDataNodes() == FRAMES
    assert ui.editButton.text == "Edit in Markups" and not ui.referenceButton.enabled and not ui.show3DButton.enabled
    ui.editButton.click()
    assert slicer.util.selectedModule() == "Markups"
    parameters.segmentation, parameters.runFolder = segmentation, tmp_path / "other run"
    ui.applyButton.click()
    finish(host, sequence_panel)
    assert parameters.outputSequence is not output and output.GetNthDataNode(2).IsA("vtkMRMLMarkupsNode")
    assert ui.editButton.text == "Edit in Segment Editor" and ui.referenceButton.enabled
