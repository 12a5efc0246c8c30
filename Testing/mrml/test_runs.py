from __future__ import annotations

import shutil

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

from Testing.support.moving_body import CENTRE, SHIFTS, TIMES, ball, centring, centroid, draw, moved
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.markups import read_points
from VoxelMorphRegistrationLib.files.meshes import read_surface
from VoxelMorphRegistrationLib.files.segmentations import read_segmentation
from VoxelMorphRegistrationLib.mrml.browsing import browser_of
from VoxelMorphRegistrationLib.mrml.runs import load_run
from VoxelMorphRegistrationLib.propagation.folder import RunFolder
from VoxelMorphRegistrationLib.propagation.frame_files import Wanted
from VoxelMorphRegistrationLib.propagation.propagate import Propagation
from VoxelMorphRegistrationLib.propagation.record import Run
from VoxelMorphRegistrationLib.space.grid import Grid


def saved(node, storage_class, path):
    storage = getattr(slicer, storage_class)()
    storage.SetFileName(str(path))
    assert storage.WriteData(node) == 1
    return path


@pytest.fixture
def folder(scene, sequence, tmp_path):
    """A run by file, of what Slicer saved."""
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    points.AddControlPoint(vtk.vtkVector3d(CENTRE * (-1, -1, 1)), "middle")
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(*(CENTRE * (-1, -1, 1)))
    sphere.SetRadius(9)
    sphere.Update()
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "surface")
    model.SetAndObservePolyData(sphere.GetOutput())
    propagation = Propagation(
        saved(sequence, "vtkMRMLVolumeSequenceStorageNode", tmp_path / "cine.seq.nrrd"),
        read_segmentation(saved(draw(scene), "vtkMRMLSegmentationStorageNode", tmp_path / "organs.seg.nrrd")),
        0,
        centring(),
        points=read_points(saved(points, "vtkMRMLMarkupsJsonStorageNode", tmp_path / "points.mrk.json")),
        surface=read_surface(saved(model, "vtkMRMLModelStorageNode", tmp_path / "surface.vtp")),
    )
    run = Run({}, {"name": "centring", "sha256": ""}, {}, [[]])
    out = RunFolder(tmp_path / "patient 7", run, propagation.frames, propagation.segments(), Wanted(1, True, True))
    for result in propagation.run():
        out.add(result)
    out.finish(Grid.of(propagation.references[0].image))
    return tmp_path / "patient 7"


def test_a_finished_run_becomes_sequences_that_browse_with_its_volumes(scene, sequence, logic, folder):
    run = load_run(folder, sequence)
    browser = browser_of(sequence)
    assert run.browser is browser and browser.GetSelectedItemNumber() == 2
    for node in (run.segmentation, run.transforms, run.points, run.surface):
        assert browser.IsSynchronizedSequenceNode(node, False)
        assert [node.GetNthIndexValue(number) for number in range(4)] == list(TIMES)
    for number, shift in enumerate(SHIFTS):
        labels = run.segmentation.GetNthDataNode(number)
        assert labels.IsA("vtkMRMLLabelMapVolumeNode")
        array = slicer.util.arrayFromVolume(labels)
        expected = slicer.util.arrayFromVolume(run.segmentation.GetNthDataNode(0))
        assert np.count_nonzero(array == 1) == pytest.approx(np.count_nonzero(expected == 1), rel=0.05)
        at = run.transforms.GetNthDataNode(number).GetTransformFromParent().TransformPoint(moved(shift) * (-1, -1, 1))
        np.testing.assert_allclose(np.array(at) * (-1, -1, 1), CENTRE, atol=0.3)
        point = run.points.GetNthDataNode(number)
        np.testing.assert_allclose(np.array(point.GetNthControlPointPosition(0)) * (-1, -1, 1), moved(shift), atol=0.3)
        assert point.GetNthControlPointLabel(0) == "middle"
        centre = np.array(run.surface.GetNthDataNode(number).GetPolyData().GetCenter()) * (-1, -1, 1)
        np.testing.assert_allclose(centre, moved(shift), atol=0.3)
    proxy = browser.GetProxyNode(run.segmentation)
    names = proxy.GetDisplayNode().GetColorNode()
    assert [names.GetColorName(label) for label in (1, 2)] == ["liver", "lesion"]
    assert run.table.GetNumberOfRows() == 4
    assert run.plot.GetNthPlotSeriesNode(0).GetName() == "liver"


def test_without_its_volumes_a_run_gets_a_browser_of_its_own(scene, sequence, folder):
    run = load_run(folder)
    assert run.browser is not browser_of(sequence)
    assert run.browser.GetMasterSequenceNode() is run.segmentation
    assert run.browser.GetNumberOfItems() == 4
    assert run.segmentation.GetIndexName() == "trigger time" and run.segmentation.GetIndexUnit() == "ms"


def test_as_segmentations_overlapping_segments_and_names_are_there_to_be_edited(scene, sequence, folder):
    run = load_run(folder, sequence, as_segmentations=True)
    for number, shift in enumerate(SHIFTS):
        node = run.segmentation.GetNthDataNode(number)
        assert node.IsA("vtkMRMLSegmentationNode")
        assert list(node.GetSegmentation().GetSegmentIDs()) == ["liver", "lesion"]
        np.testing.assert_allclose(centroid(node, "lesion"), moved(shift) + (5, 0, 0), atol=0.4)
        liver = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, "liver")
        label = node.GetSegmentation().GetSegment("liver").GetLabelValue()
        assert np.count_nonzero(liver == label) == pytest.approx(np.count_nonzero(ball_array()), rel=0.05)


def ball_array():
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(ball(0, 9, 1))


def test_a_folder_that_is_no_run_or_of_other_volumes_is_named_and_nothing_is_loaded(scene, sequence, folder, tmp_path):
    count = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="no frames.csv"):
        load_run(tmp_path / "none")
    sequence.UpdateIndexValue("2", "7")
    with pytest.raises(InputError, match="patient 7.*'2'.*cine"):
        load_run(folder, sequence)
    assert scene.GetNumberOfNodes() == count
    shutil.rmtree(folder / "segmentation")
    (folder / "segmentation.seq.nrrd").write_bytes(b"NRRD0004\n")
    with pytest.raises(InputError, match="segmentation.seq.nrrd"):
        load_run(folder)


def test_a_run_too_large_for_the_scene_is_refused(scene, sequence, folder):
    count = scene.GetNumberOfNodes()
    for limit in (1000, 200_000):
        with pytest.raises(InputError, match="4 frames need .* GB in the scene"):
            load_run(folder, sequence, memory_limit=limit)
        assert scene.GetNumberOfNodes() == count
