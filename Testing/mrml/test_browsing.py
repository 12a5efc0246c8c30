"""Results in the sequence browser of their input: what is shown, edited there, and left alone."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

from Testing.mrml.test_sequences import run
from Testing.support.moving_body import SHIFTS, centring, centroid, draw, moved
from VoxelMorphRegistrationLib.mrml.browsing import browser_of


@pytest.fixture(scope="module")
def model():
    return centring()


def test_results_browse_with_the_volumes_and_the_browser_stays_where_it_was(scene, sequence, logic, model):
    browser = browser_of(sequence)
    shown = []
    browser.AddObserver(
        vtk.vtkCommand.ModifiedEvent, lambda caller, event: shown.append(caller.GetSelectedItemNumber())
    )
    output = run(sequence, draw(scene), model)
    assert browser.GetSelectedItemNumber() == 2 and set(shown) <= {2}
    assert browser.IsSynchronizedSequenceNode(output, False) and browser_of(output) is browser
    for number in (1, 3):
        browser.SetSelectedItemNumber(number)
        logic.UpdateProxyNodesFromSequences(browser)
        proxy = browser.GetProxyNode(output)
        assert proxy.IsA("vtkMRMLSegmentationNode")
        np.testing.assert_allclose(centroid(proxy, "liver"), moved(SHIFTS[number]), atol=0.6)


def test_an_edit_of_the_shown_frame_stays_in_that_frame_alone(scene, sequence, logic, model):
    output = run(sequence, draw(scene), model)
    browser = browser_of(sequence)
    before = [
        slicer.util.arrayFromSegmentInternalBinaryLabelmap(output.GetNthDataNode(n), "liver").sum() for n in range(4)
    ]
    browser.SetSelectedItemNumber(1)
    logic.UpdateProxyNodesFromSequences(browser)
    proxy = browser.GetProxyNode(output)
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(proxy, "liver")[:2] = 1
    proxy.GetSegmentation().GetSegment("liver").Modified()
    proxy.Modified()
    browser.SetSelectedItemNumber(3)
    logic.UpdateProxyNodesFromSequences(browser)
    after = [
        slicer.util.arrayFromSegmentInternalBinaryLabelmap(output.GetNthDataNode(n), "liver").sum() for n in range(4)
    ]
    assert after[1] > before[1]
    assert [after[n] for n in (0, 2, 3)] == [before[n] for n in (0, 2, 3)]


def test_the_node_that_shows_the_output_can_be_the_segmentation_of_the_next_run(scene, sequence, logic, model):
    output = run(sequence, draw(scene), model)
    browser = browser_of(sequence)
    browser.SetSelectedItemNumber(1)
    logic.UpdateProxyNodesFromSequences(browser)
    shown = browser.GetProxyNode(output)
    run(sequence, shown, model, reference=1, output=output)
    assert output.GetNumberOfDataNodes() == 4
    for number, shift in enumerate(SHIFTS):
        np.testing.assert_allclose(
            centroid(output.GetNthDataNode(number), "lesion"), moved(shift) + (5, 0, 0), atol=0.6
        )
    assert output.GetNthDataNode(1).GetAttribute("VoxelMorph.Status") == "reference"


def test_the_displacement_that_is_shown_is_the_frames_own_and_no_copy(scene, sequence, logic, model):
    output = run(sequence, draw(scene), model, transforms=True)
    transforms, browser = output.GetNodeReference("VoxelMorph.Transforms"), browser_of(sequence)
    for number in (1, 3):
        browser.SetSelectedItemNumber(number)
        logic.UpdateProxyNodesFromSequences(browser)
        shown = browser.GetProxyNode(transforms).GetTransformFromParent()
        assert shown is transforms.GetNthDataNode(number).GetTransformFromParent()
    kept = [transforms.GetNthDataNode(number).GetTransformFromParent() for number in range(4)]
    run(sequence, draw(scene), model, transforms=True, output=output, select=[2])
    assert [transforms.GetNthDataNode(number).GetTransformFromParent() is kept[number] for number in range(4)] == [
        True,
        True,
        False,
        True,
    ]


def test_a_frame_that_has_no_displacement_gets_none_by_being_shown(scene, sequence, logic, model):
    output = run(sequence, draw(scene), model, transforms=True, select=[0, 2])
    transforms, browser = output.GetNodeReference("VoxelMorph.Transforms"), browser_of(sequence)
    for number in (1, 2, 3, 0, 1):
        browser.SetSelectedItemNumber(number)
        logic.UpdateProxyNodesFromSequences(browser)
        shown = browser.GetProxyNode(transforms).GetTransformFromParent()
        assert (shown is not None) == (number in (0, 2)) and transforms.GetNumberOfDataNodes() == 2
    held = [transforms.GetNthDataNode(number).GetTransformFromParent() for number in range(2)]
    assert all(one.IsA("vtkOrientedGridTransform") for one in held)
