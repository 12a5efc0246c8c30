"""The module in Slicer's window: it opens, and its own test runs."""

import slicer


def test_the_panel_opens_with_an_empty_scene(host, panel):
    host.process(0.05)
    assert panel.ui.applyButton.enabled is False


def test_apply_waits_for_two_volumes(host, panel):
    fixed, moving = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("f", "m"))
    panel.ui.fixedVolumeSelector.setCurrentNode(fixed)
    assert panel.ui.applyButton.enabled is False
    panel.ui.movingVolumeSelector.setCurrentNode(moving)
    assert panel.ui.applyButton.enabled is True


def test_slicers_self_test_of_the_module_passes(host, panel):
    slicer.modules.VoxelMorphRegistrationInstance.runTest()
