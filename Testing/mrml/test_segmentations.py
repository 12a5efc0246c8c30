from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from Testing.support.scenery import GEOMETRIES, blank, node_of, points_of, rotation
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.segmentations import read_segmentation
from VoxelMorphRegistrationLib.mrml import segmentations
from VoxelMorphRegistrationLib.space.grid import Grid

LIVER = "Segmentation category and type~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~list~^^~^^"


def ball(image, centre, radius, value=1):
    inside = np.linalg.norm(points_of(image) - centre, axis=-1) < radius
    labels = sitk.GetImageFromArray((inside * value).astype(np.uint8))
    labels.CopyInformation(image)
    return labels


def oriented(image):
    """Slicer's own label map of an image, by the segmentations logic."""
    node = slicer.vtkMRMLLabelMapVolumeNode()
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    slicer.util.updateVolumeFromArray(node, sitk.GetArrayFromImage(image))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.diag([-1.0, -1, 1, 1]) @ matrix))
    return slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(node)


@pytest.fixture
def frame():
    return blank(*GEOMETRIES["oblique"][0])


@pytest.fixture
def drawn(scene, frame):
    """Two segments that overlap, made by Slicer alone."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    for name, centre, colour in (("liver", (8, -18, 32), (0.9, 0.4, 0.3)), ("tumour", (14, -18, 32), (0.1, 0.8, 0.2))):
        node.AddSegmentFromBinaryLabelmapRepresentation(oriented(ball(frame, centre, 9)), name, colour, name)
    node.GetSegmentation().GetSegment("liver").SetTag("TerminologyEntry", LIVER)
    node.GetSegmentation().GetSegment("liver").SetTag("Mine", "kept")
    return node


def volume_of(node, identifier):
    """Voxels and centroid (RAS) of a segment, as Slicer has them."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(identifier, image)
    array = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    k, j, i = np.nonzero(array)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    low = np.array(image.GetExtent()[::2])
    index = np.stack([i, j, k], -1) + low
    return len(i), (slicer.util.arrayFromVTKMatrix(matrix) @ np.append(index.mean(axis=0), 1))[:3]


def test_overlapping_segments_are_read_in_layers_where_slicer_has_them(drawn, frame):
    segmentation = segmentations.segmentation_from_node(drawn, Grid.of(frame))
    assert len(segmentation.layers) == 2 and segmentation.overlapping
    assert [segment.name for segment in segmentation.segments] == ["liver", "tumour"]
    np.testing.assert_allclose(segmentation.segments[0].colour, (0.9, 0.4, 0.3), atol=1e-6)
    assert segmentation.segments[0].tags == f"TerminologyEntry:{LIVER}|"
    for segment, centre in zip(segmentation.segments, ((8, -18, 32), (14, -18, 32))):
        layer = sitk.GetArrayFromImage(segmentation.layers[segment.layer]) == segment.label
        np.testing.assert_array_equal(layer, sitk.GetArrayFromImage(ball(frame, centre, 9)) > 0)


def test_what_slicer_saves_and_what_is_read_from_the_node_are_the_same(drawn, frame, tmp_path):
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "s.seg.nrrd"))
    assert storage.WriteData(drawn) == 1
    from_file = read_segmentation(tmp_path / "s.seg.nrrd").on_grid(Grid.of(frame))
    from_node = segmentations.segmentation_from_node(drawn, Grid.of(frame))
    for one, other in zip(from_file.layers, from_node.layers):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(one) > 0, sitk.GetArrayFromImage(other) > 0)


def test_a_segmentation_goes_into_a_node_and_slicer_finds_it_where_it_was(scene, drawn, frame):
    segmentation = segmentations.segmentation_from_node(drawn, Grid.of(frame))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "out")
    segmentations.update_segmentation_node(node, segmentation, drawn.GetSegmentation())
    held = node.GetSegmentation()
    assert list(held.GetSegmentIDs()) == ["liver", "tumour"]
    for identifier in held.GetSegmentIDs():
        count, centroid = volume_of(node, identifier)
        expected, place = volume_of(drawn, identifier)
        assert count == expected
        np.testing.assert_allclose(centroid, place, atol=1e-6)
    liver = held.GetSegment("liver")
    for key, value in (("TerminologyEntry", LIVER), ("Mine", "kept")):
        text = vtk.reference("")
        assert liver.GetTag(key, text) and str(text) == value


def test_the_node_saves_and_slicer_reads_it_again(scene, drawn, frame, tmp_path):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "out")
    segmentations.update_segmentation_node(
        node, segmentations.segmentation_from_node(drawn, Grid.of(frame)), drawn.GetSegmentation()
    )
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "s.seg.nrrd"))
    assert storage.WriteData(node) == 1
    again = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "again")
    assert storage.ReadData(again) == 1
    for identifier in ("liver", "tumour"):
        assert volume_of(again, identifier)[0] == volume_of(drawn, identifier)[0]


def test_editing_the_result_leaves_its_source_alone(scene, drawn, frame):
    segmentation = segmentations.segmentation_from_node(drawn, Grid.of(frame))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "out")
    segmentations.update_segmentation_node(node, segmentation, drawn.GetSegmentation())
    before = volume_of(drawn, "liver")[0]
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, "liver")[:] = 0
    assert volume_of(drawn, "liver")[0] == before
    assert np.any(sitk.GetArrayFromImage(segmentation.layers[0]))


def test_a_segmentation_and_its_frame_under_different_parents_are_brought_together(scene, drawn, frame):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(30), (4, 5, 6)
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "parent")
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    drawn.SetAndObserveTransformNodeID(parent.GetID())
    together = segmentations.segmentation_from_node(drawn, Grid.of(frame), below=parent)
    array = sitk.GetArrayFromImage(together.layers[0])
    np.testing.assert_array_equal(array > 0, sitk.GetArrayFromImage(ball(frame, (8, -18, 32), 9)) > 0)
    apart = segmentations.segmentation_from_node(drawn, Grid.of(frame))
    centre_ras = (matrix @ np.append(np.array((8, -18, 32)) * (-1, -1, 1), 1))[:3]
    expected = sitk.GetArrayFromImage(ball(frame, centre_ras * (-1, -1, 1), 9)) > 0
    found = sitk.GetArrayFromImage(apart.layers[0]) > 0
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.9
    centroid = points_of(frame)[found].mean(axis=0) * (-1, -1, 1)
    np.testing.assert_allclose(centroid, centre_ras, atol=0.3)


def test_a_segmentation_drawn_as_surfaces_is_converted_on_a_copy(scene, frame):
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(-8, 18, 32)
    sphere.SetRadius(10)
    sphere.SetThetaResolution(40)
    sphere.SetPhiResolution(40)
    sphere.Update()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surface")
    node.SetSourceRepresentationToClosedSurface()
    node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "ball", (1, 0, 0), "ball")
    segmentation = segmentations.segmentation_from_node(node, Grid.of(frame))
    volume = np.count_nonzero(sitk.GetArrayFromImage(segmentation.layers[0])) * np.prod(frame.GetSpacing())
    assert volume == pytest.approx(4 / 3 * np.pi * 1000, rel=0.05)
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_a_label_volume_serves_as_a_segmentation_with_its_colour_tables_names(scene, frame):
    labels = ball(frame, (8, -18, 32), 9, 3)
    node = node_of(scene, labels, "labels", "vtkMRMLLabelMapVolumeNode")
    node.CreateDefaultDisplayNodes()
    table = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "table")
    table.SetTypeToUser()
    table.SetNumberOfColors(4)
    table.SetColor(3, "spleen", 0.2, 0.4, 0.6, 1.0)
    node.GetDisplayNode().SetAndObserveColorNodeID(table.GetID())
    segmentation = segmentations.segmentation_from_node(node, Grid.of(frame))
    assert [(segment.name, segment.label) for segment in segmentation.segments] == [("spleen", 3)]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(segmentation.layers[0]), sitk.GetArrayFromImage(labels))
    made = segmentations.colour_table(scene, segmentation.segments, "made")
    assert made.GetColorName(3) == "spleen"


def test_a_segmentation_that_cannot_serve_is_named(scene, drawn, frame):
    grid = Grid.of(frame)
    empty = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing")
    with pytest.raises(InputError, match="nothing.*no segments"):
        segmentations.segmentation_from_node(empty, grid)
    empty.GetSegmentation().AddEmptySegment("a")
    with pytest.raises(InputError, match="nothing.*no labelled voxel"):
        segmentations.segmentation_from_node(empty, grid)
    far = Grid(grid.size, grid.spacing, tuple(np.array(grid.origin) + 5000), grid.direction)
    with pytest.raises(InputError, match="drawn.*none of its labelled voxels"):
        segmentations.segmentation_from_node(drawn, far)
    with pytest.raises(InputError, match="none is chosen"):
        segmentations.segmentation_from_node(None, grid)
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "model")
    with pytest.raises(InputError, match="model.*neither"):
        segmentations.segmentation_from_node(model, grid)
