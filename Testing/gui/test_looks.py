"""What the panel offers and makes looks right: names, reference volumes, window and level, no choice twice."""

from __future__ import annotations

import slicer
import slicer.util

from Testing.gui.scenes import drawn_segmentation, sequence_of, two_volumes
from Testing.support.propagation_cases import weights_file


def test_new_outputs_get_names_and_every_list_offers_one_way_to_make_one(host, panel):
    for selector, base in (
        (panel.ui.outputTransformSelector, "Registration"),
        (panel.ui.outputVolumeSelector, "Registered"),
        (panel.ui.outputSequenceSelector, "Propagated"),
    ):
        assert selector.baseName == base and selector.noneEnabled and "Create" not in selector.baseName
        assert selector.addNode().GetName() == base


def test_a_warped_volume_is_shown_as_the_moving_volume_is(host, panel, warm_worker, tmp_path):
    panel.panel._worker = warm_worker
    parameters = panel.panel.parameters
    parameters.fixedVolume, parameters.movingVolume = two_volumes()
    parameters.movingVolume.CreateDefaultDisplayNodes()
    shown = parameters.movingVolume.GetDisplayNode()
    shown.SetAutoWindowLevel(False)
    shown.SetWindowLevel(345.0, 67.0)
    parameters.network = str(weights_file(tmp_path))
    parameters.outputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "warped")
    panel.ui.applyButton.click()
    host.wait_until(lambda: not panel.panel.running, 60, "the registration")
    display = parameters.outputVolume.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (345.0, 67.0)


def test_the_segmentation_shown_has_its_volume_as_reference_for_the_segment_editor(host, panel, warm_worker, tmp_path):
    from VoxelMorphRegistrationLib.mrml.browsing import browser_of
    from VoxelMorphRegistrationLib.widgets.parameters import Mode

    panel.panel._worker = warm_worker
    parameters = panel.panel.parameters
    sequence, browser = sequence_of(3)
    parameters.mode, parameters.sequence, parameters.segmentation = Mode.SEQUENCE, sequence, drawn_segmentation()
    parameters.runFolder, parameters.network = tmp_path / "run", str(weights_file(tmp_path))
    panel.ui.applyButton.click()
    host.wait_until(lambda: not panel.panel.running, 60, "the run")
    proxy = browser_of(parameters.outputSequence).GetProxyNode(parameters.outputSequence)
    role = proxy.GetReferenceImageGeometryReferenceRole()
    assert proxy.GetNodeReference(role) is browser.GetProxyNode(sequence)
    panel.ui.editButton.click()
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    assert editor.segmentationNode() is proxy and editor.sourceVolumeNode() is browser.GetProxyNode(sequence)
