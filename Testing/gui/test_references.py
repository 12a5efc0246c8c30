"""Several frames that were drawn on, and which segments are carried."""

from __future__ import annotations

import pytest
import slicer

from Testing.gui.scenes import browser, drawn_segmentation, finish, states


def ids(node):
    return list(node.GetSegmentation().GetSegmentIDs())


def test_a_further_reference_has_a_segmentation_of_its_own_and_serves_the_frames_near_it(
    host, sequence_panel, tmp_path
):
    ui, panel = sequence_panel.ui, sequence_panel.panel
    second = drawn_segmentation()
    second.SetName("drawn again")
    assert not ui.addReferenceButton.enabled and not ui.referencesList.visible
    browser(sequence_panel).SetSelectedItemNumber(5)
    ui.furtherSegmentationSelector.setCurrentNode(second)
    ui.addReferenceButton.click()
    assert ui.referencesList.item(0).text() == "Frame 5: drawn again"
    ui.applyButton.click()
    finish(host, sequence_panel)
    output = panel.parameters.outputSequence
    assert [state.status for state in states(sequence_panel)] == ["reference", *["done"] * 4, "reference"]
    nearest = [output.GetNthDataNode(number).GetAttribute("VoxelMorph.ReferenceFrame") for number in range(6)]
    assert nearest == ["0", "0", "0", "5", "5", "5"]
    host.save_scene(tmp_path / "scene.mrb")
    host.load_scene(tmp_path / "scene.mrb")
    assert [node.GetName() for node in panel.parameters.further_references().values()] == ["drawn again"]
    ui.referencesList.currentRow = 0
    ui.removeReferenceButton.click()
    assert panel.parameters.references() == [0] and ui.referencesList.count == 0


def test_a_reference_whose_segmentation_was_deleted_is_named(host, sequence_panel):
    second = drawn_segmentation()
    sequence_panel.panel.parameters.set_further_references({5: second})
    slicer.mrmlScene.RemoveNode(second)
    sequence_panel.ui.applyButton.click()
    finish(host, sequence_panel)
    assert "frame 5: its segmentation is gone" in host.dialogs.shown[-1].text and not sequence_panel.panel.running


def test_only_segments_with_a_mark_are_carried(host, sequence_panel, tmp_path):
    import qt

    ui, panel = sequence_panel.ui, sequence_panel.panel
    drawn = panel.parameters.segmentation
    names = [ui.segmentsList.item(row).text() for row in range(ui.segmentsList.count)]
    assert len(names) == 2 and len(names) == len(ids(drawn))
    ui.segmentsList.item(0).setCheckState(qt.Qt.Unchecked)
    assert list(panel.parameters.leftOutSegments) == ids(drawn)[:1]
    ui.applyButton.click()
    finish(host, sequence_panel)
    output = panel.parameters.outputSequence
    assert [ids(output.GetNthDataNode(number)) for number in range(6)] == [ids(drawn)[1:]] * 6
    host.save_scene(tmp_path / "scene.mrb")
    host.load_scene(tmp_path / "scene.mrb")
    marks = [ui.segmentsList.item(row).checkState() == qt.Qt.Checked for row in range(2)]
    assert marks == [False, True]


@pytest.mark.parametrize("chosen", ["SMOOTH", "NEAREST"])
def test_borders_are_carried_as_the_command_line_names_it(panel, chosen):
    from VoxelMorphRegistrationLib.widgets.parameters import Labels

    panel.panel.parameters.labels = Labels[chosen]
    options = panel.panel.parameters.propagation_options()
    assert ("--label-interpolation" in options) == (chosen == "SMOOTH")
