"""What a person did to frames is kept, and a second run leaves no second set of nodes behind."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util

from Testing.mrml.test_registration_of_nodes import pair, still
from Testing.mrml.test_sequences import run
from Testing.support.moving_body import SHIFTS, centring, centroid, draw, moved
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml.browsing import browser_of
from VoxelMorphRegistrationLib.mrml.registration import register_volumes
from VoxelMorphRegistrationLib.mrml.registration_nodes import RegistrationNodes
from VoxelMorphRegistrationLib.mrml.review import accept, frame_states, look_for_edits, state_again
from VoxelMorphRegistrationLib.mrml.transforms import hang_under
from VoxelMorphRegistrationLib.registration.settings import Settings


@pytest.fixture(scope="module")
def model():
    return centring()


def paint(segmentation, value=1):
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentation, "liver")[:] = value


def count(scene):
    return sorted(scene.GetNthNode(number).GetClassName() for number in range(scene.GetNumberOfNodes()))


def test_frames_that_a_person_edited_or_accepted_stay_when_the_run_is_made_again(scene, sequence, model):
    organs = draw(scene)
    output = run(sequence, organs, model)
    paint(output.GetNthDataNode(1))
    accept(output, output.GetNthIndexValue(2))
    edited = slicer.util.arrayFromSegmentInternalBinaryLabelmap(output.GetNthDataNode(1), "liver").sum()
    kept = output.GetNthDataNode(2)
    states = frame_states(output)
    assert [state.edited for state in states] == [False, True, False, False]
    assert [state.accepted for state in states] == [False, False, True, False]
    seen = []
    run(sequence, organs, model, output=output, progress=lambda done, total, result: seen.append(result.index))
    assert seen == [0, 3]
    assert slicer.util.arrayFromSegmentInternalBinaryLabelmap(output.GetNthDataNode(1), "liver").sum() == edited
    assert output.GetNthDataNode(2) is kept
    assert output.GetNodeReference("VoxelMorph.Table").GetNumberOfRows() == 4


def test_a_window_that_asks_by_time_sees_what_vtk_was_told_of(scene, sequence, model):
    output = run(sequence, draw(scene), model)
    assert not any(state.edited for state in frame_states(output, by_time=True))
    assert list(look_for_edits(output)) == []  # a run looked at what it made
    frame = output.GetNthDataNode(1)
    paint(frame)
    assert [state.edited for state in frame_states(output)] == [False, True, False, False]
    frame.GetSegmentation().GetSegment("liver").Modified()
    assert list(look_for_edits(output)) == [1]
    states = frame_states(output, by_time=True)
    assert [state.edited for state in states] == [False, True, False, False]
    accept(output, states[1].value)
    assert state_again(output, states[1]).accepted and not state_again(output, states[2]).accepted


def test_an_edit_of_the_shown_frame_is_known_as_a_persons(scene, sequence, logic, model):
    output = run(sequence, draw(scene), model)
    browser = browser_of(sequence)
    browser.SetSelectedItemNumber(1)
    logic.UpdateProxyNodesFromSequences(browser)
    shown = browser.GetProxyNode(output)
    paint(shown)
    shown.GetSegmentation().GetSegment("liver").Modified()
    browser.SetSelectedItemNumber(3)
    logic.UpdateProxyNodesFromSequences(browser)
    assert [state.edited for state in frame_states(output)] == [False, True, False, False]


def test_a_run_that_ends_early_leaves_the_frames_it_did_not_reach(scene, sequence, model):
    organs = draw(scene)
    output = run(sequence, organs, model)
    run(sequence, organs, model, output=output, progress=lambda done, total, result: False)
    assert output.GetNumberOfDataNodes() == 4
    for number, shift in enumerate(SHIFTS):
        np.testing.assert_allclose(centroid(output.GetNthDataNode(number), "liver"), moved(shift), atol=0.6)


def test_a_second_run_adds_no_node(scene, sequence, model):
    organs = draw(scene)
    output = run(sequence, organs, model, transforms=True)
    before = count(scene)
    run(sequence, organs, model, output=output, transforms=True)
    assert count(scene) == before


def test_the_shown_result_has_a_reference_volume_and_lies_on_no_other_segmentation(scene, sequence, model):
    organs = draw(scene)
    organs.CreateDefaultDisplayNodes()
    output = run(sequence, organs, model)
    browser = browser_of(sequence)
    proxy = browser.GetProxyNode(output)
    role = proxy.GetReferenceImageGeometryReferenceRole()
    assert proxy.GetNodeReference(role) is browser.GetProxyNode(sequence)
    assert not organs.GetDisplayNode().GetVisibility()


def test_a_result_is_never_applied_to_what_other_nodes_share(scene):
    _, _, fixed, moving = pair(scene)
    parent = scene.AddNewNodeByClass("vtkMRMLTransformNode", "table")
    for node in (fixed, moving):
        node.SetAndObserveTransformNodeID(parent.GetID())
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "result")
    with pytest.raises(InputError, match="fixed.*move too"):
        hang_under(moving, transform)
    assert parent.GetParentTransformNode() is None
    fixed.SetAndObserveTransformNodeID(None)
    hang_under(moving, transform)
    assert parent.GetParentTransformNode() is transform


def test_a_transform_that_another_volume_follows_is_not_overwritten(scene):
    _, _, fixed, moving = pair(scene)
    settings = Settings(align="none")
    transform = register_volumes(RegistrationNodes(fixed, moving), still(), settings)
    hang_under(moving, transform)
    other = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "other")
    other.CopyContent(moving)
    other.SetAndObserveTransformNodeID(None)
    with pytest.raises(InputError, match="made for.*would jump"):
        register_volumes(RegistrationNodes(fixed, other, transform=transform), still(), settings)
    assert transform.GetNodeReference(slicer.vtkMRMLTransformNode.GetMovingNodeReferenceRole()) is moving


def test_a_new_output_volume_looks_as_the_moving_volume_does(scene):
    _, _, fixed, moving = pair(scene)
    moving.CreateDefaultDisplayNodes()
    moving.GetDisplayNode().SetAutoWindowLevel(False)
    moving.GetDisplayNode().SetWindowLevel(123.0, 45.0)
    warped = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "warped")
    register_volumes(RegistrationNodes(fixed, moving, warped_volume=warped), still(), Settings(align="none"))
    display = warped.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (123.0, 45.0) and not display.GetAutoWindowLevel()
