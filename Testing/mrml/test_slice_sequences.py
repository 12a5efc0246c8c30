from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from Testing.support.moving_body import centring, centroid
from Testing.support.scenery import blank, node_of, points_of, rotation
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml.browsing import browser_of
from VoxelMorphRegistrationLib.mrml.propagation import propagate_segmentation
from VoxelMorphRegistrationLib.mrml.propagation_nodes import SequenceInput, SequenceOutput

SHIFTS = (0.0, 6.0, -4.0)  # mm along the slice's first axis; its pixels are 2 mm
CENTRE = np.array([10.0, -20.0, 30.0])


@pytest.fixture(params=[0, 35], ids=["axial", "tilted"])
def cine(request, scene, logic):
    """A sequence of single slices, the last of them 5 mm above the others."""
    turn = rotation(request.param, (1, 0.4, 0))
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    for number, shift in enumerate(SHIFTS):
        volume = node_of(scene, disc(turn, shift, 5.0 * (number == 2), soft=True), "slice")
        node.SetDataNodeAtValue(volume, str(number))
        scene.RemoveNode(volume)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(node.GetID())
    logic.UpdateProxyNodesFromSequences(browser)
    return node, turn


def disc(turn, shift, height=0.0, soft=False):
    image = blank((40, 36, 1), (2.0, 2.0, 5.0), turn)
    image.SetOrigin((np.asarray(image.GetOrigin()) + turn[:, 2] * height).tolist())
    away = np.linalg.norm(points_of(image) - CENTRE - turn[:, 0] * shift - turn[:, 2] * height, axis=-1)
    array = 200 / (1 + np.exp(away - 14)) if soft else (away < 9) * 1
    out = sitk.GetImageFromArray(array.astype(np.float32 if soft else np.uint8))
    out.CopyInformation(image)
    return out


def segmentation(scene, turn):
    label = node_of(scene, disc(turn, 0.0), "label", "vtkMRMLLabelMapVolumeNode")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organ")
    oriented = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(label)
    node.AddSegmentFromBinaryLabelmapRepresentation(oriented, "disc", (1, 0, 0), "disc")
    return node


def test_a_sequence_of_single_slices_is_propagated_in_its_plane(scene, cine):
    sequence, turn = cine
    output = propagate_segmentation(
        SequenceInput(sequence, segmentation(scene, turn)), SequenceOutput(transforms=True), model=centring(2)
    )
    pulled = output.GetNodeReference("VoxelMorph.Transforms")
    for number, (shift, height) in enumerate(zip(SHIFTS, (0, 0, 5))):
        place = CENTRE + turn[:, 0] * shift + turn[:, 2] * height
        np.testing.assert_allclose(centroid(output.GetNthDataNode(number), "disc"), place, atol=0.3)
        at = np.array(pulled.GetNthDataNode(number).GetTransformFromParent().TransformPoint(place * (-1, -1, 1)))
        # Its transform starts in the frame's slice, drawn on the reference's grid, and ends in the reference's slice.
        np.testing.assert_allclose(at * (-1, -1, 1), CENTRE, atol=0.6)
    assert browser_of(output) is browser_of(sequence)


def test_points_in_single_slices_are_refused(scene, cine):
    sequence, turn = cine
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    points.AddControlPoint(vtk.vtkVector3d(CENTRE * (-1, -1, 1)))
    with pytest.raises(InputError, match="cine.*single slices"):
        propagate_segmentation(SequenceInput(sequence, segmentation(scene, turn), points=points), model=centring(2))
