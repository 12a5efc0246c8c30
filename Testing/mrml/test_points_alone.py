"""Points and models that are carried through a sequence without a segmentation."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

from Testing.support.moving_body import CENTRE, SHIFTS, centring, draw, moved
from Testing.support.propagation_cases import weights_file
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml.beside import at_once
from VoxelMorphRegistrationLib.mrml.browsing import browser_of
from VoxelMorphRegistrationLib.mrml.export_run import export_run, kinds_of
from VoxelMorphRegistrationLib.mrml.job_files import SequenceFiles
from VoxelMorphRegistrationLib.mrml.live_run import LiveRun
from VoxelMorphRegistrationLib.mrml.prepared_sequence import PreparedSequence
from VoxelMorphRegistrationLib.mrml.propagation import propagate_segmentation
from VoxelMorphRegistrationLib.mrml.propagation_nodes import SequenceInput, SequenceOutput
from VoxelMorphRegistrationLib.mrml.review import accept, frame_states
from VoxelMorphRegistrationLib.mrml.runs import load_run
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings


@pytest.fixture(scope="module")
def model():
    return centring()


@pytest.fixture
def points(scene):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmarks")
    node.CreateDefaultDisplayNodes()
    for offset in (0, 5):
        node.AddControlPoint(vtk.vtkVector3d((CENTRE + (offset, 0, 0)) * (-1, -1, 1)), f"p{offset}")
    return node


@pytest.fixture
def surface(scene):
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(CENTRE * (-1, -1, 1))
    sphere.SetRadius(6)
    sphere.Update()
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", "wall")
    node.SetAndObservePolyData(sphere.GetOutput())
    node.CreateDefaultDisplayNodes()
    return node


def run(sequence, model, points=None, surface=None, output=None, **settings):
    inputs = SequenceInput(sequence, points=points, surface=surface)
    outputs = SequenceOutput(
        output, points=settings.pop("points_output", None), transforms=settings.pop("transforms", False)
    )
    return propagate_segmentation(inputs, outputs, PropagationSettings.of(**settings), model)


def position(markups, number=0):
    return np.array(markups.GetNthControlPointPosition(number)) * (-1, -1, 1)


def test_points_are_carried_to_every_frame_and_hide_those_that_were_drawn(scene, sequence, model, points):
    output = run(sequence, model, points, transforms=True)
    assert [output.GetNthDataNode(number).GetClassName() for number in range(4)] == [points.GetClassName()] * 4
    for number, shift in enumerate(SHIFTS):
        np.testing.assert_allclose(position(output.GetNthDataNode(number)), moved(shift), atol=0.6)
    assert [state.status for state in frame_states(output)] == ["reference", "done", "done", "done"]
    proxy = browser_of(sequence).GetProxyNode(output)
    assert proxy.GetDisplayNode().GetVisibility() and not points.GetDisplayNode().GetVisibility()
    assert output.GetNodeReference("VoxelMorph.Transforms").GetNumberOfDataNodes() == 4
    assert output.GetNodeReference("VoxelMorph.Table").GetNumberOfRows() == 4


def test_a_result_stays_visible_when_it_is_made_again(scene, sequence, model, points):
    output = run(sequence, model, points)
    assert run(sequence, model, points, output=output) is output
    assert browser_of(sequence).GetProxyNode(output).GetDisplayNode().GetVisibility()
    assert scene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 2


def test_a_segmentation_stays_visible_when_it_is_made_again(scene, sequence, model):
    organs = draw(scene)
    organs.CreateDefaultDisplayNodes()
    first = propagate_segmentation(SequenceInput(sequence, organs), None, PropagationSettings.of(), model)
    propagate_segmentation(SequenceInput(sequence, organs), SequenceOutput(first), PropagationSettings.of(), model)
    assert browser_of(sequence).GetProxyNode(first).GetDisplayNode().GetVisibility()


def test_a_model_is_carried_and_points_with_it_are_another_sequence(scene, sequence, model, points, surface):
    output = run(sequence, model, surface=surface)
    assert output.GetNthDataNode(2).IsA("vtkMRMLModelNode")
    centre = np.mean(slicer.util.arrayFromModelPoints(output.GetNthDataNode(2)), axis=0) * (-1, -1, 1)
    np.testing.assert_allclose(centre, moved(SHIFTS[2]), atol=0.6)
    both = run(sequence, model, points, surface)
    assert both.GetNthDataNode(0).IsA("vtkMRMLMarkupsNode")
    assert both.GetNodeReference("VoxelMorph.Surface").GetNthDataNode(0).IsA("vtkMRMLModelNode")


def test_a_frame_that_fails_holds_its_points_as_missing(scene, sequence, model, points):
    slicer.util.arrayFromVolume(sequence.GetNthDataNode(1))[:] = 5
    output = run(sequence, model, points)
    assert frame_states(output)[1].status == "failed" and frame_states(output)[1].needs_look
    failed, done = output.GetNthDataNode(1), output.GetNthDataNode(2)
    assert (failed.GetNumberOfControlPoints(), failed.GetNumberOfDefinedControlPoints()) == (2, 0)
    assert done.GetNumberOfDefinedControlPoints() == 2


def test_points_that_were_corrected_or_accepted_stay_when_the_others_are_made_again(scene, sequence, model, points):
    output = run(sequence, model, points)
    assert not any(state.edited for state in frame_states(output, by_time=True))
    output.GetNthDataNode(1).SetNthControlPointPosition(0, 1.0, 2.0, 3.0)
    accept(output, output.GetNthIndexValue(2))
    assert [state.edited for state in frame_states(output, by_time=True)] == [False, True, False, False]
    run(sequence, model, points, output=output)
    assert output.GetNthDataNode(1).GetNthControlPointPosition(0) == (1.0, 2.0, 3.0)
    assert [state.accepted for state in frame_states(output)] == [False, False, True, False]


def test_points_alone_are_exported_and_no_segmentation_is_offered(scene, sequence, model, points, tmp_path):
    output = run(sequence, model, points)
    assert kinds_of(output) == ["table", "points"]
    assert list(export_run(output, tmp_path, "points"))[-1] == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"point-{number:04d}.mrk.json" for number in range(4)]


def test_a_run_by_files_shows_points_as_they_come(scene, sequence, points, tmp_path):
    weights, run_folder = weights_file(tmp_path), tmp_path / "run"
    prepared = PreparedSequence.of(SequenceInput(sequence, points=points), SequenceOutput())
    files = SequenceFiles(prepared, run_folder)
    list(at_once(files.write()))
    options = ["--sequence", files.sequence, *files.options(), "--model", weights, "--output", run_folder]
    assert main(["propagate", *[str(option) for option in options], "--progress", "none"]) == 0
    live = LiveRun(prepared, run_folder)
    assert list(at_once(live.catch_up())) == [0, 1, 2, 3]
    live.finish()
    assert [state.status for state in frame_states(live.output)] == ["reference", "done", "done", "done"]
    assert list(at_once(live.catch_up())) == []
    loaded = load_run(run_folder)
    np.testing.assert_allclose(
        position(loaded.points.GetNthDataNode(3)), position(live.output.GetNthDataNode(3)), atol=1e-3
    )


def test_what_cannot_be_carried_is_said_before_anything_is_changed(scene, sequence, model, points):
    empty = scene.AddNewNodeByClass("vtkMRMLModelNode", "empty")
    count = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="empty.*has no surface mesh"):
        run(sequence, model, surface=empty)
    with pytest.raises(InputError, match="nothing is chosen that could be carried"):
        run(sequence, model)
    with pytest.raises(InputError, match="belong to one frame"):
        propagate_segmentation(SequenceInput(sequence, None, (0, 2), points), None, None, model)
    with pytest.raises(InputError, match="no segmentation to measure it from"):
        run(sequence, model, points, mask_margin=10)
    assert scene.GetNumberOfNodes() == count
    segmentations = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "organs sequence")
    segmentations.SetDataNodeAtValue(slicer.vtkMRMLSegmentationNode(), "0")
    with pytest.raises(InputError, match="choose or create another output sequence"):
        run(sequence, model, points, output=segmentations)
    assert segmentations.GetNumberOfDataNodes() == 1
