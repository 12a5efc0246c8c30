"""A pair, as a person registers it in the panel."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from Testing.gui.scenes import longest_gap, smallest_gap, two_volumes, where
from Testing.support.propagation_cases import weights_file
from Testing.support.scenery import slicer_resampled


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return weights_file(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def ready(host, panel, weights, warm_worker):
    """The panel with two volumes chosen and a small network."""
    panel.panel._worker = warm_worker
    fixed, moving = two_volumes()
    parameters = panel.panel.parameters
    parameters.fixedVolume, parameters.movingVolume = fixed, moving
    parameters.network = str(weights)
    return panel


def apply(host, panel, seconds=60):
    panel.ui.applyButton.click()
    host.wait_until(lambda: not panel.panel.running, seconds, "the registration")


def test_a_pair_is_registered_without_the_window_standing_still(host, ready):
    parameters = ready.panel.parameters
    fixed, moving = parameters.fixedVolume, parameters.movingVolume
    host.process(0.1)
    assert smallest_gap(host, lambda number: apply(host, ready)) < longest_gap()
    transform = parameters.outputTransform
    assert moving.GetParentTransformNode() is transform and fixed.GetParentTransformNode() is None
    assert "alike" in ready.ui.resultLabel.text or "Look" in ready.ui.resultLabel.text
    assert "Correlation" in ready.ui.numbersLabel.text
    assert ready.ui.statusLabel.text == "Done."


def test_a_hardened_volume_holds_the_transform_and_says_so(host, panel):
    fixed, moving = two_volumes()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    moving.SetAndObserveTransformNodeID(transform.GetID())
    similarity = {"metric": "ncc", "untouched": 0.5, "before": 0.6, "after": 0.9}
    report = {"similarity": similarity, "folded_percent": 0.0, "seconds": {"total": 1.0}, "doubts": [], "notes": []}
    panel.panel._result.show(transform, fixed, moving, report, [])
    panel.ui.hardenButton.click()
    assert moving.GetParentTransformNode() is None and not panel.ui.hardenButton.enabled
    assert "moving holds the transform now" in panel.ui.resultLabel.text


def test_what_is_said_of_a_pair_is_there_again_after_a_look_at_the_other_mode(host, panel):
    from VoxelMorphRegistrationLib.widgets.parameters import Mode

    ui, parameters = panel.ui, panel.panel.parameters
    assert not ui.resultLabel.visible and not ui.numbersLabel.visible
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    report = {
        "similarity": {"metric": "ncc", "untouched": 0.5, "before": 0.6, "after": 0.9},
        "folded_percent": 0.0,
        "seconds": {"total": 1.0},
        "doubts": ["the scale is implausible"],
        "notes": ["kept on fewer points"],
    }
    panel.panel._result.show(transform, *two_volumes(), report, [])
    said = ui.resultLabel.text
    assert "The scale is implausible." in said and "Kept on fewer points." in ui.numbersLabel.text
    parameters.mode = Mode.SEQUENCE
    assert ui.resultLabel.text == "" and not ui.resultLabel.visible
    parameters.mode = Mode.PAIR
    assert ui.resultLabel.text == said and ui.resultLabel.visible and ui.numbersLabel.visible


def test_an_output_volume_is_filled_and_the_moving_volume_stays(host, ready):
    parameters = ready.panel.parameters
    before = where(parameters.movingVolume)
    parameters.outputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "warped")
    apply(host, ready)
    assert parameters.movingVolume.GetParentTransformNode() is None and where(parameters.movingVolume) == before
    assert (
        slicer.util.arrayFromVolume(parameters.outputVolume).shape
        == slicer.util.arrayFromVolume(parameters.fixedVolume).shape
    )
    view = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    ready.ui.checkerboardButton.click()
    host.wait_until(lambda: slicer.mrmlScene.GetFirstNodeByName("Checkerboard") is not None, 10)
    board = slicer.mrmlScene.GetFirstNodeByName("Checkerboard")
    assert view.GetBackgroundVolumeID() == board.GetID() and view.GetForegroundVolumeID() is None
    ready.ui.checkerboardButton.click()
    assert view.GetBackgroundVolumeID() == parameters.fixedVolume.GetID()


def test_a_fixed_volume_under_the_same_parent_does_not_move(host, ready):
    parameters = ready.panel.parameters
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "table")
    for node in (parameters.fixedVolume, parameters.movingVolume):
        node.SetAndObserveTransformNodeID(table.GetID())
    places = where(parameters.fixedVolume), where(parameters.movingVolume)
    apply(host, ready)
    assert (where(parameters.fixedVolume), where(parameters.movingVolume)) == places
    assert table.GetParentTransformNode() is None
    assert "not applied" in ready.ui.resultLabel.text
    apply(host, ready)
    assert ready.ui.statusLabel.text == "Done."


def test_another_moving_volume_gets_a_transform_of_its_own(host, ready):
    parameters = ready.panel.parameters
    first = parameters.movingVolume
    apply(host, ready)
    kept, place = parameters.outputTransform, where(first)
    second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "second")
    second.CopyContent(first)
    second.SetAndObserveTransformNodeID(None)
    parameters.movingVolume = second
    apply(host, ready)
    assert parameters.outputTransform is not kept
    assert first.GetParentTransformNode() is kept and where(first) == place
    assert second.GetParentTransformNode() is parameters.outputTransform


def test_cancel_is_answered_at_once_and_changes_nothing(host, ready):
    from VoxelMorphRegistrationLib.widgets.parameters import Mode

    count = slicer.mrmlScene.GetNumberOfNodes()
    ready.ui.applyButton.click()
    host.process(0.05)
    assert ready.ui.applyButton.text == "Cancel"
    ready.ui.applyButton.click()
    assert ready.ui.applyButton.text.startswith("Cancelling") or not ready.panel.running
    host.wait_until(lambda: not ready.panel.running, 10)
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert ready.ui.applyButton.text == "Apply" and ready.ui.statusLabel.text == "Cancelled. Nothing was changed."
    ready.panel.parameters.mode = Mode.SEQUENCE
    assert ready.ui.statusLabel.text == ""


def test_bad_input_is_named_and_nothing_is_left_running(host, ready):
    slicer.util.arrayFromVolume(ready.panel.parameters.movingVolume)[:] = 3.0
    slicer.util.arrayFromVolumeModified(ready.panel.parameters.movingVolume)
    apply(host, ready)
    shown = host.dialogs.shown[-1]
    assert shown.kind == "Critical" and "moving" in shown.text
    assert ready.ui.applyButton.enabled


def test_a_worker_that_dies_is_said_and_the_next_apply_works(host, ready):
    apply(host, ready)
    worker = ready.panel._worker
    ready.ui.applyButton.click()
    host.process(0.02)
    worker._process.kill()
    host.wait_until(lambda: not ready.panel.running, 10)
    assert "its process ended" in host.dialogs.shown[-1].text
    apply(host, ready)
    assert ready.ui.statusLabel.text == "Done."


def test_a_scene_that_is_closed_meanwhile_stays_empty(host, ready):
    ready.ui.applyButton.click()
    host.process(0.02)
    slicer.mrmlScene.Clear(0)
    host.process(1.0)
    assert not ready.panel.running
    assert slicer.mrmlScene.GetFirstNodeByName("moving to fixed") is None
    assert ready.panel.parameters is not None and ready.panel.parameters.fixedVolume is None


def test_the_choices_are_back_when_the_scene_is_loaded_again(host, ready, tmp_path):
    parameters = ready.panel.parameters
    parameters.networkSpacing = 2.5
    host.save_scene(tmp_path / "scene.mrb")
    host.load_scene(tmp_path / "scene.mrb")
    parameters = ready.panel.parameters
    assert parameters.fixedVolume.GetName() == "fixed" and parameters.networkSpacing == 2.5
    assert ready.ui.fixedVolumeSelector.currentNode() is parameters.fixedVolume
    assert parameters.mode.name == "PAIR"


def test_labels_and_vectors_are_not_offered(host, panel):
    scene = slicer.mrmlScene
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "vectors")
    assert panel.ui.fixedVolumeSelector.nodeCount() == 0 and panel.ui.movingVolumeSelector.nodeCount() == 0


def test_declining_the_installation_is_no_error(host, ready, monkeypatch):
    from VoxelMorphRegistrationLib import installation

    monkeypatch.setattr(installation, "missing", lambda: ["torch>=2.2", "voxelmorph>=0.3.4"])
    host.dialogs.answers.append(("needs these Python packages", False))
    ready.ui.applyButton.click()
    assert not ready.panel.running and "Nothing was installed" in ready.ui.statusLabel.text
    assert [shown.kind for shown in host.dialogs.shown] == ["Question"]
    assert "200 MB" in host.dialogs.shown[0].text


def test_the_result_fades_in_the_slice_views(host, ready):
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    apply(host, ready)
    ready.ui.fadeSlider.value = 0.25
    assert view.GetBackgroundVolumeID() == ready.panel.parameters.fixedVolume.GetID()
    np.testing.assert_allclose(view.GetForegroundOpacity(), 0.25)


def test_a_checkerboard_shows_the_moving_volume_where_it_follows_the_transform(host, ready):
    parameters = ready.panel.parameters
    apply(host, ready)
    ready.ui.checkerboardButton.click()
    host.wait_until(lambda: slicer.mrmlScene.GetFirstNodeByName("Checkerboard") is not None, 10)
    board = slicer.mrmlScene.GetFirstNodeByName("Checkerboard")
    assert board.GetParentTransformNode() is None and ready.ui.hardenButton.enabled
    shown, fixed = slicer.util.arrayFromVolume(board), slicer.util.arrayFromVolume(parameters.fixedVolume)
    warped = slicer_resampled(parameters.movingVolume, parameters.outputTransform, parameters.fixedVolume)
    its_turn = (np.indices(shown.shape) * 8 // np.reshape(shown.shape, (3, 1, 1, 1))).sum(0) % 2 == 1
    np.testing.assert_allclose(shown[~its_turn], fixed[~its_turn], atol=0.01)
    # The warped volume is shown at the fixed one's range of values.
    inside = its_turn & (warped > 0.1 * np.ptp(warped))
    assert np.corrcoef(shown[inside], warped[inside])[0, 1] > 0.999


def test_outlines_of_the_moving_volume_lie_over_the_fixed_one_and_go_again(host, ready):
    view = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    apply(host, ready)
    ready.ui.outlinesButton.click()
    host.wait_until(lambda: slicer.mrmlScene.GetFirstNodeByName("Outlines") is not None, 10)
    outlines = slicer.mrmlScene.GetFirstNodeByName("Outlines")
    assert view.GetLabelVolumeID() == outlines.GetID() and view.GetForegroundVolumeID() is None
    assert outlines.GetParentTransformNode() is ready.panel.parameters.outputTransform
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceNode").GetUseLabelOutline()
    ready.ui.fadeSlider.value = 0.3
    assert view.GetLabelVolumeID() is None and not ready.ui.outlinesButton.checked
    assert view.GetForegroundVolumeID() == ready.panel.parameters.movingVolume.GetID()


def test_an_unmodified_file_is_registered_by_its_path_and_a_modified_or_moved_volume_is_written(host, ready, tmp_path):
    assert slicer.util.saveNode(ready.panel.parameters.fixedVolume, str(tmp_path / "fixed.nrrd"))
    fixed = ready.panel.parameters.fixedVolume = slicer.util.loadVolume(str(tmp_path / "fixed.nrrd"))
    seen, worker = [], ready.panel._worker
    submit = worker.submit

    def noting(command, arguments, on_event):
        seen.append(dict(zip(arguments[::2], arguments[1::2])))
        return submit(command, arguments, on_event)

    worker.submit = noting
    try:
        apply(host, ready)
        slicer.util.arrayFromVolume(fixed)[0, 0, 0] = 7
        slicer.util.arrayFromVolumeModified(fixed)
        apply(host, ready)
    finally:
        del worker.submit
    paths = [arguments["--fixed"] for arguments in seen if "--fixed" in arguments]
    assert paths[0] == str(tmp_path / "fixed.nrrd") and paths[1] != paths[0]
    assert ready.ui.statusLabel.text == "Done."
