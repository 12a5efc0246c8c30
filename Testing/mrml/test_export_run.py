"""Results of a propagation written as files that Slicer opens again."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

from Testing.support.moving_body import CENTRE, centring, centroid, draw
from VoxelMorphRegistrationLib.mrml.export_run import export_run, kinds_of
from VoxelMorphRegistrationLib.mrml.propagation import propagate_segmentation
from VoxelMorphRegistrationLib.mrml.propagation_nodes import SequenceInput, SequenceOutput
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings

_STORAGE = {
    "vtkMRMLSegmentationNode": "vtkMRMLSegmentationStorageNode",
    "vtkMRMLSequenceNode": "vtkMRMLVolumeSequenceStorageNode",
    "vtkMRMLTransformNode": "vtkMRMLTransformStorageNode",
}


@pytest.fixture
def output(scene, sequence):
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    points.AddControlPoint(vtk.vtkVector3d(CENTRE * (-1, -1, 1)), "middle")
    inputs = SequenceInput(sequence, draw(scene), 0, points=points)
    return propagate_segmentation(inputs, SequenceOutput(transforms=True), PropagationSettings(), centring())


def read(scene, kind, path):
    storage_class = _STORAGE[kind]
    node, storage = scene.AddNewNodeByClass(kind), scene.AddNewNodeByClass(storage_class)
    storage.SetFileName(str(path))
    assert storage.ReadData(node), path
    return node


def test_each_kind_is_written_as_slicer_reads_it_corrections_included(scene, sequence, output, tmp_path):
    corrected = output.GetNthDataNode(2)
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(corrected, "lesion")[:, :3] = 0
    corrected.GetSegmentation().GetSegment("lesion").Modified()
    assert kinds_of(output) == ["segmentations", "sequence", "table", "transforms", "points"]
    for kind in kinds_of(output):
        assert list(export_run(output, tmp_path, kind))[-1] == 1.0
    names = {path.name for path in tmp_path.iterdir()}
    assert {"segmentation-0002.seg.nrrd", "transform-0003.h5", "point-0001.mrk.json", "frames.csv"} <= names
    assert f"{output.GetName()}.seq.nrrd" in names and len(names) == 4 + 1 + 1 + 4 + 4
    loaded = read(scene, "vtkMRMLSegmentationNode", tmp_path / "segmentation-0002.seg.nrrd")
    np.testing.assert_allclose(centroid(loaded, "lesion"), centroid(corrected, "lesion"), atol=1e-3)
    labels = read(scene, "vtkMRMLSequenceNode", tmp_path / f"{output.GetName()}.seq.nrrd")
    assert labels.GetNumberOfDataNodes() == 4 and labels.GetNthDataNode(0).IsA("vtkMRMLLabelMapVolumeNode")
    assert [labels.GetNthIndexValue(number) for number in range(4)] == [sequence.GetNthIndexValue(n) for n in range(4)]
    assert len(np.unique(slicer.util.arrayFromVolume(labels.GetNthDataNode(2)))) == 3
    transform = read(scene, "vtkMRMLTransformNode", tmp_path / "transform-0003.h5")
    kept = output.GetNodeReference("VoxelMorph.Transforms").GetNthDataNode(3)
    middle = CENTRE * (-1, -1, 1)
    np.testing.assert_allclose(
        transform.GetTransformFromParent().TransformPoint(middle),
        kept.GetTransformFromParent().TransformPoint(middle),
        atol=1e-3,
    )


def test_nothing_is_offered_of_an_empty_output(scene):
    assert kinds_of(None) == [] and kinds_of(scene.AddNewNodeByClass("vtkMRMLSequenceNode")) == []
