from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from Testing.support.moving_body import CENTRE, SHIFTS, TIMES, ball, centring, centroid, draw, moved
from Testing.support.scenery import node_of, rotation
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml.browsing import browser_of
from VoxelMorphRegistrationLib.mrml.propagation import propagate_segmentation
from VoxelMorphRegistrationLib.mrml.propagation_nodes import SequenceInput, SequenceOutput
from VoxelMorphRegistrationLib.mrml.segmentations import segmentation_from_node, update_segmentation_node
from VoxelMorphRegistrationLib.mrml.sequence_frames import SequenceFrames
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings
from VoxelMorphRegistrationLib.space.grid import Grid


@pytest.fixture(scope="module")
def model():
    return centring()


def run(sequence, organs, model, reference=0, points=None, surface=None, progress=None, memory_limit=None, **more):
    given = {name: more.pop(name) for name in ("transforms", "as_labels") if name in more}
    inputs = SequenceInput(sequence, organs, reference, points, surface)
    outputs = SequenceOutput(more.pop("output", None), **given)
    return propagate_segmentation(inputs, outputs, PropagationSettings.of(**more), model, progress, memory_limit)


def test_each_frame_gets_the_segments_where_the_body_moved(scene, sequence, model):
    organs = draw(scene)
    output = run(sequence, organs, model)
    assert output.GetNumberOfDataNodes() == len(SHIFTS)
    assert [output.GetNthIndexValue(number) for number in range(4)] == list(TIMES)
    assert (output.GetIndexName(), output.GetIndexUnit()) == ("trigger time", "ms")
    for number, shift in enumerate(SHIFTS):
        data = output.GetNthDataNode(number)
        assert list(data.GetSegmentation().GetSegmentIDs()) == ["liver", "lesion"]
        np.testing.assert_allclose(centroid(data, "liver"), moved(shift), atol=0.6)
        np.testing.assert_allclose(centroid(data, "lesion"), moved(shift) + (5, 0, 0), atol=0.6)
        assert (
            data.GetSegmentation().GetSegment("liver").GetColor()
            == organs.GetSegmentation().GetSegment("liver").GetColor()
        )
        assert data.GetAttribute("VoxelMorph.Status") == ("reference" if number == 0 else "done")
        assert float(data.GetAttribute("VoxelMorph.SimilarityAfter")) > 0.97


def test_the_reference_frame_is_the_segmentation_as_it_was_drawn(scene, sequence, model):
    organs = draw(scene, SHIFTS[1])
    output = run(sequence, organs, model, reference=1)
    for name in ("liver", "lesion"):
        given = slicer.util.arrayFromSegmentInternalBinaryLabelmap(organs, name)
        kept = slicer.util.arrayFromSegmentInternalBinaryLabelmap(output.GetNthDataNode(1), name)
        np.testing.assert_array_equal(given, kept)


def test_a_label_volume_gives_a_label_sequence_that_saves_as_one_file(scene, sequence, model, tmp_path):
    labels = node_of(scene, ball(0, 9, 4), "labels", "vtkMRMLLabelMapVolumeNode")
    output = run(sequence, labels, model)
    storage = output.GetStorageNode()
    assert storage.GetClassName() == "vtkMRMLVolumeSequenceStorageNode"
    storage.SetFileName(str(tmp_path / "labels.seq.nrrd"))
    assert storage.WriteData(output) == 1
    again = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "again")
    reader = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    reader.SetFileName(str(tmp_path / "labels.seq.nrrd"))
    assert reader.ReadData(again) == 1
    assert again.GetNumberOfDataNodes() == 4 and again.GetIndexUnit() == "ms"
    for number, shift in enumerate(SHIFTS):
        node = again.GetNthDataNode(number)
        assert node.IsA("vtkMRMLLabelMapVolumeNode")
        array = slicer.util.arrayFromVolume(node)
        assert set(np.unique(array)) == {0, 4}
        expected = sitk.GetArrayFromImage(ball(shift, 9, 4))
        assert 2 * ((array == 4) & (expected == 4)).sum() / ((array == 4).sum() + (expected == 4).sum()) > 0.9
    np.testing.assert_array_equal(
        slicer.util.arrayFromVolume(output.GetNthDataNode(0)), sitk.GetArrayFromImage(ball(0, 9, 4))
    )


def test_transforms_pull_to_the_reference_and_save_as_one_file(scene, sequence, model, tmp_path):
    output = run(sequence, draw(scene), model, transforms=True)
    pulled = output.GetNodeReference("VoxelMorph.Transforms")
    storage = pulled.GetStorageNode()
    assert storage.GetClassName() == "vtkMRMLTransformSequenceStorageNode"
    storage.SetFileName(str(tmp_path / "transforms.seq.nrrd"))
    assert storage.WriteData(pulled) == 1
    again = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "again")
    reader = slicer.vtkMRMLTransformSequenceStorageNode()
    reader.SetFileName(str(tmp_path / "transforms.seq.nrrd"))
    assert reader.ReadData(again) == 1 and again.GetNumberOfDataNodes() == 4
    off_grid = (CENTRE + (0.7, 0.4, 0.3)) * (-1, -1, 1)
    for number, shift in enumerate(SHIFTS):
        ours, theirs = (node.GetNthDataNode(number).GetTransformFromParent() for node in (pulled, again))
        np.testing.assert_allclose(
            np.array(ours.TransformPoint(moved(shift) * (-1, -1, 1))) * (-1, -1, 1), CENTRE, atol=0.6
        )
        np.testing.assert_allclose(ours.TransformPoint(off_grid), theirs.TransformPoint(off_grid), atol=1e-4)


def test_points_and_surfaces_follow_the_tissue(scene, sequence, model):
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    for offset in ((0, 0, 0), (8, -5, 4)):
        points.AddControlPoint(vtk.vtkVector3d((CENTRE + offset) * (-1, -1, 1)), f"p{offset[0]}")
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(*(CENTRE * (-1, -1, 1)))
    sphere.SetRadius(9)
    sphere.Update()
    mesh_node = scene.AddNewNodeByClass("vtkMRMLModelNode", "surface")
    mesh_node.SetAndObservePolyData(sphere.GetOutput())
    output = run(sequence, draw(scene), model, points=points, surface=mesh_node)
    moved_points, moved_surface = (output.GetNodeReference(f"VoxelMorph.{role}") for role in ("Points", "Surface"))
    for number, shift in enumerate(SHIFTS):
        markups = moved_points.GetNthDataNode(number)
        assert markups.GetClassName() == "vtkMRMLMarkupsFiducialNode" and markups.GetNthControlPointLabel(1) == "p8"
        at = np.array(markups.GetNthControlPointPosition(1)) * (-1, -1, 1)
        np.testing.assert_allclose(at, moved(shift) + (8, -5, 4), atol=0.7)
        mesh = moved_surface.GetNthDataNode(number).GetPolyData()
        np.testing.assert_allclose(np.array(mesh.GetCenter()) * (-1, -1, 1), moved(shift), atol=0.7)
        assert mesh.GetNumberOfCells() == sphere.GetOutput().GetNumberOfCells()
    assert browser_of(moved_points) is browser_of(sequence) is browser_of(moved_surface)
    np.testing.assert_allclose(points.GetNthControlPointPosition(0), CENTRE * (-1, -1, 1))


def test_a_parent_of_the_volumes_and_another_of_the_segmentation_are_both_minded(scene, sequence, logic, model):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(35), (30, 10, -20)
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "parent")
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    organs = draw(scene)
    browser = browser_of(sequence)
    browser.GetProxyNode(sequence).SetAndObserveTransformNodeID(parent.GetID())
    organs.SetAndObserveTransformNodeID(parent.GetID())
    output = run(sequence, organs, model)
    proxy = browser.GetProxyNode(output)
    assert proxy.GetParentTransformNode() is parent
    np.testing.assert_allclose(centroid(output.GetNthDataNode(1), "liver"), moved(SHIFTS[1]), atol=0.6)
    organs.SetAndObserveTransformNodeID(None)
    organs.ApplyTransformMatrix(slicer.util.vtkMatrixFromArray(matrix))
    output = run(sequence, organs, model, output=output)
    np.testing.assert_allclose(centroid(output.GetNthDataNode(1), "liver"), moved(SHIFTS[1]), atol=0.8)


def test_the_table_and_the_plot_tell_each_labels_volume_over_time(scene, sequence, model):
    output = run(sequence, draw(scene), model)
    table = output.GetNodeReference("VoxelMorph.Table")
    columns = [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())]
    assert columns[:3] == ["index", "index_value", "status"] and "volume_ml_1" in columns
    assert table.GetNumberOfRows() == 4
    times = vtk.util.numpy_support.vtk_to_numpy(table.GetTable().GetColumnByName("index_value"))
    np.testing.assert_allclose(times, [float(time) for time in TIMES])
    volume = vtk.util.numpy_support.vtk_to_numpy(table.GetTable().GetColumnByName("volume_ml_1"))
    np.testing.assert_allclose(volume, 4 / 3 * np.pi * 9**3 / 1000, rtol=0.1)
    assert table.GetTable().GetColumnByName("status").GetValue(0) == "reference"
    chart = output.GetNodeReference("VoxelMorph.Plot")
    names = [chart.GetNthPlotSeriesNode(number).GetName() for number in range(chart.GetNumberOfPlotSeriesNodes())]
    assert names == ["liver", "lesion"]
    assert chart.GetNthPlotSeriesNode(0).GetXColumnName() == "index_value"


def test_a_frame_that_fails_is_empty_and_named(scene, sequence, logic, model):
    sequence.GetNthDataNode(1).SetAndObserveImageData(None)
    output = run(sequence, draw(scene), model)
    assert output.GetAttribute("VoxelMorph.FailedFrames") == "1"
    empty = output.GetNthDataNode(1)
    assert list(empty.GetSegmentation().GetSegmentIDs()) == ["liver", "lesion"]
    assert empty.GetBinaryLabelmapInternalRepresentation("liver").IsEmpty()
    assert empty.GetAttribute("VoxelMorph.Status") == "failed" and "no voxels" in empty.GetAttribute(
        "VoxelMorph.Message"
    )
    table = output.GetNodeReference("VoxelMorph.Table")
    assert table.GetTable().GetColumnByName("status").GetValue(1) == "failed"
    assert "no voxels" in table.GetTable().GetColumnByName("message").GetValue(1)


def test_frames_that_fail_alike_stop_the_run_and_the_log_says_where(scene, sequence, model, monkeypatch, caplog):
    from VoxelMorphRegistrationLib.registration.registrar import Registrar

    def broken(self, *arguments):
        raise AttributeError("a mistake")

    monkeypatch.setattr(Registrar, "register", broken)
    organs, output = draw(scene), scene.AddNewNodeByClass("vtkMRMLSequenceNode", "output")
    with pytest.raises(InputError, match="frames 1, 2, 3.*a mistake"):
        run(sequence, organs, model, output=output)
    assert caplog.text.count("in broken") == 3 and "frame 1 of cine" in caplog.text
    assert output.GetAttribute("VoxelMorph.FailedFrames") == "1 2 3" and browser_of(output) is browser_of(sequence)
    assert output.GetNodeReference("VoxelMorph.Table").GetNumberOfRows() == 4


def test_chosen_frames_are_made_anew_and_the_others_kept_as_a_person_left_them(scene, sequence, model):
    organs = draw(scene)
    output = run(sequence, organs, model)
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(output.GetNthDataNode(1), "liver")[:] = 1
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(output.GetNthDataNode(3), "liver")[:] = 1
    edited = slicer.util.arrayFromSegmentInternalBinaryLabelmap(output.GetNthDataNode(1), "liver").sum()
    table = output.GetNodeReference("VoxelMorph.Table")
    again = run(sequence, organs, model, output=output, select=[3])
    assert again is output and output.GetNumberOfDataNodes() == 4
    assert slicer.util.arrayFromSegmentInternalBinaryLabelmap(output.GetNthDataNode(1), "liver").sum() == edited
    np.testing.assert_allclose(centroid(output.GetNthDataNode(3), "liver"), moved(SHIFTS[3]), atol=0.6)
    assert output.GetNodeReference("VoxelMorph.Table") is table and table.GetNumberOfRows() == 4
    statuses = [table.GetTable().GetColumnByName("status").GetValue(row) for row in range(4)]
    assert statuses == ["reference", "done", "done", "done"]


def test_of_several_segmented_frames_the_nearest_serves(scene, sequence, model):
    first, last = draw(scene, SHIFTS[0]), draw(scene, SHIFTS[3])
    output = run(sequence, [first, last], model, reference=[0, 3])
    served = [output.GetNthDataNode(number).GetAttribute("VoxelMorph.ReferenceFrame") for number in range(4)]
    assert served == ["0", "0", "3", "3"]
    for number, shift in enumerate(SHIFTS):
        np.testing.assert_allclose(centroid(output.GetNthDataNode(number), "liver"), moved(shift), atol=0.6)


def test_a_run_that_is_stopped_keeps_what_is_done(scene, sequence, model):
    output = run(sequence, draw(scene), model, progress=lambda done, total, result: done < 2)
    assert [output.GetNthIndexValue(number) for number in range(output.GetNumberOfDataNodes())] == list(TIMES[:2])
    assert browser_of(output) is browser_of(sequence)


def test_results_too_large_for_the_scene_are_refused_with_the_command_that_does_it_by_file(scene, sequence, model):
    before = scene.GetNumberOfNodes()
    organs = draw(scene)
    count = scene.GetNumberOfNodes()
    command = "slicer-voxelmorph propagate --sequence cine.seq.nrrd --segmentation organs.seg.nrrd --reference-frame 0"
    with pytest.raises(InputError, match=rf"cine.*4 frames need .* GB.*{command}"):
        run(sequence, organs, model, transforms=True, memory_limit=100_000)
    assert scene.GetNumberOfNodes() == count > before


def test_input_that_cannot_work_is_named_before_anything_changes(scene, sequence, model):
    organs = draw(scene)
    empty = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "empty")
    models = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "models")
    models.SetDataNodeAtValue(slicer.vtkMRMLModelNode(), "0")
    count = scene.GetNumberOfNodes()
    for message, arguments, options in (
        ("none is chosen", (None, organs), {}),
        ("cine.*nothing is chosen that could be carried", (sequence, None), {}),
        ("empty.*no frames", (empty, organs), {}),
        ("models.*volumes", (models, organs), {}),
        ("reference frame 9.*0 to 3", (sequence, organs), {"reference": 9}),
        ("cine.*input and as output", (sequence, organs), {"output": sequence}),
        ("organs.*not a sequence", (sequence, organs), {"output": organs}),
        ("strategy", (sequence, organs), {"strategy": "sideways"}),
        ("keyframes 0", (sequence, organs), {"strategy": "motion-model", "keyframes": 0}),
    ):
        with pytest.raises(InputError, match=message):
            run(*arguments, model, **options)
    assert scene.GetNumberOfNodes() == count


def test_the_motion_model_of_a_few_frames_finds_what_direct_finds_and_the_table_says_so(scene, sequence, model):
    output = run(sequence, draw(scene), model, strategy="motion-model", keyframes=2)
    for number in range(4):
        np.testing.assert_allclose(centroid(output.GetNthDataNode(number), "liver"), moved(SHIFTS[number]), atol=0.6)
    column = output.GetNodeReference("VoxelMorph.Table").GetTable().GetColumnByName("strategy")
    assert [column.GetValue(n) for n in range(4)] == ["", "direct", "direct", "direct"]


def test_frames_of_a_sequence_are_what_slicer_saves_for_them(scene, sequence, tmp_path):
    frames = SequenceFrames(sequence)
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    storage.SetFileName(str(tmp_path / "cine.seq.nrrd"))
    assert storage.WriteData(sequence) == 1
    from VoxelMorphRegistrationLib.propagation.frames import open_frames
    from VoxelMorphRegistrationLib.space.grid import Grid

    by_file = open_frames(tmp_path / "cine.seq.nrrd")
    assert len(frames) == len(by_file) == 4
    assert [frames.value(n) for n in range(4)] == [by_file.value(n) for n in range(4)]
    for number in range(4):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(frames[number]), sitk.GetArrayFromImage(by_file[number]))
        assert Grid.of(frames[number]).same_as(Grid.of(by_file[number]))


def test_segments_of_several_frames_are_told_by_their_names_whatever_their_numbers(scene, sequence, model):
    first = draw(scene)
    drawn = segmentation_from_node(draw(scene, SHIFTS[3]), Grid.of(SequenceFrames(sequence).volume(3)))
    others = {1: 2, 2: 1}
    swapped = drawn.with_distinct_labels().with_segments(
        [replace(one, id=f"x{one.label}", label=others[one.label]) for one in drawn.with_distinct_labels().segments]
    )
    last = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "last")
    update_segmentation_node(last, swapped)
    output = run(sequence, [first, last], model, reference=[0, 3], as_labels=True)
    names = [one.name for one in drawn.segments]
    voxels = [slicer.util.arrayFromVolume(output.GetNthDataNode(number)) for number in range(4)]
    for label in (1, 2):
        counts = [np.count_nonzero(array == label) for array in voxels]
        assert max(counts) < 1.2 * min(counts)
    colours = output.GetNthDataNode(3).GetDisplayNode() or browser_of(output).GetProxyNode(output).GetDisplayNode()
    assert [colours.GetColorNode().GetColorName(label) for label in (1, 2)] == names
