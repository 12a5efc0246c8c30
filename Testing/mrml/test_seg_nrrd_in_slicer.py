"""Segmentation files and Slicer's own storage node: what Slicer wrote is read here, and the other way round."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from VoxelMorphRegistrationLib.annotations.segment import Segment
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.files.segmentations import read_segmentation, write_segmentation
from VoxelMorphRegistrationLib.space.displacement import from_array
from VoxelMorphRegistrationLib.space.grid import Grid

TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^85756007^Tissue~SCT^10200004^Liver~^^"
    "~Anatomic codes - DICOM master list~^^~^^"
)
GRID = Grid((12, 11, 10), (1.0, 1.5, 2.5), (-8.0, 20.0, 3.0), (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, -1.0))
BLOCKS = {
    "liver ä|x": (slice(2, 6), slice(3, 7), slice(2, 7)),
    "tumour": (slice(3, 5), slice(4, 6), slice(3, 5)),
    "kidney": (slice(7, 9), slice(6, 9), slice(8, 11)),
}


def block(name: str) -> np.ndarray:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[BLOCKS[name]] = 1
    return mask


def oriented_image(array: np.ndarray, first: tuple[int, int, int]) -> object:
    """Slicer's image of voxels that start at index (i, j, k) `first` of GRID."""
    image = slicer.vtkOrientedImageData()
    k, j, i = array.shape
    image.SetExtent(first[0], first[0] + i - 1, first[1], first[1] + j - 1, first[2], first[2] + k - 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = array.ravel()
    matrix = vtk.vtkMatrix4x4()
    ijk_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ GRID.index_to_physical()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, ijk_to_ras[row, column])
    image.SetImageToWorldMatrix(matrix)
    return image


def slicer_segmentation(scene: object, names: list[str], reference: bool = True) -> object:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation = node.GetSegmentation()
    if reference:
        geometry = slicer.vtkSegmentationConverter.SerializeImageGeometry(
            oriented_image(np.zeros(GRID.shape), (0, 0, 0))
        )
        segmentation.SetConversionParameter("Reference image geometry", geometry)
    for number, name in enumerate(names):
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetColor(0.25 * number, 0.5, 1.0)
        segment.SetTag("TerminologyEntry", TERMINOLOGY)
        k, j, i = BLOCKS[name]
        segment.AddRepresentation("Binary labelmap", oriented_image(block(name)[k, j, i], (i.start, j.start, k.start)))
        segmentation.AddSegment(segment, f"{name}_id")
    return node


def store(scene: object, node: object, path: object, crop: bool) -> None:
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetCropToMinimumExtent(crop)
    storage.SetFileName(str(path))
    node.SetAndObserveStorageNodeID(storage.GetID())
    assert storage.WriteData(node)


def load(scene: object, path: object) -> object:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


def ras_of_voxels(node: object, segment_id: str) -> set[tuple[float, ...]]:
    """Where Slicer says the voxels of a segment lie."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    extent = image.GetExtent()
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape([extent[n + 1] - extent[n] + 1 for n in (4, 2, 0)])
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    found = (matrix.MultiplyPoint((i + extent[0], j + extent[2], k + extent[4], 1)) for k, j, i in np.argwhere(array))
    return {tuple(round(value, 3) + 0.0 for value in point[:3]) for point in found}


def ras_of_mask(mask: np.ndarray) -> set[tuple[float, ...]]:
    points = GRID.points()[mask > 0] * (-1, -1, 1)
    return {tuple(round(value, 3) + 0.0 for value in point) for point in points.tolist()}


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("names", [["liver ä|x"], ["liver ä|x", "kidney"], ["liver ä|x", "tumour", "kidney"]])
def test_what_slicer_saved_is_read_voxel_for_voxel(scene, tmp_path, names, crop):
    store(scene, slicer_segmentation(scene, names), tmp_path / "saved.seg.nrrd", crop)
    read = read_segmentation(tmp_path / "saved.seg.nrrd").on_grid(GRID)
    assert [segment.name for segment in read.segments] == names
    assert [segment.id for segment in read.segments] == [f"{name}_id" for name in names]
    assert len(read.layers) == (2 if "tumour" in names else 1)
    for number, segment in enumerate(read.segments):
        assert segment.colour == (0.25 * number, 0.5, 1.0)
        assert segment.tags == f"TerminologyEntry:{TERMINOLOGY}|"
        mask = sitk.GetArrayFromImage(read.layers[segment.layer]) == segment.label
        np.testing.assert_array_equal(mask, block(segment.name) > 0)


def test_a_cropped_file_of_slicer_is_padded_and_not_resampled(scene, tmp_path):
    store(scene, slicer_segmentation(scene, ["liver ä|x"]), tmp_path / "saved.seg.nrrd", crop=True)
    read = read_segmentation(tmp_path / "saved.seg.nrrd")
    assert read.grid.size == (5, 4, 4)
    assert read.placement(GRID) == "padded"


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_slicer_opens_what_is_written_with_names_colours_terminology_and_layers(scene, tmp_path, layers):
    masks = [block("liver ä|x") + 2 * block("kidney"), block("tumour"), block("liver ä|x"), block("kidney")][:layers]
    segments = [
        Segment("liver", "liver ä|x", 1, 0, (0.5, 0.25, 0.125), f"TerminologyEntry:{TERMINOLOGY}|"),
        Segment("kidney", "kidney", 2, 0, (0.0, 1.0, 0.0)),
        *(Segment(f"extra{n}", f"extra {n}", 1, n, (1.0, 0.0, 0.0)) for n in range(1, layers)),
    ]
    write_segmentation(Segmentation.of(*map(GRID.image, masks), segments=segments), tmp_path / "ours.seg.nrrd")
    node = load(scene, tmp_path / "ours.seg.nrrd")
    opened = node.GetSegmentation()
    assert list(opened.GetSegmentIDs()) == [segment.id for segment in segments]
    for segment in segments:
        seen = opened.GetSegment(segment.id)
        assert seen.GetName() == segment.name
        assert seen.GetColor() == pytest.approx(segment.colour)
        assert ras_of_voxels(node, segment.id) == ras_of_mask(masks[segment.layer] == segment.label)
    entry = vtk.reference("")
    assert opened.GetSegment("liver").GetTag("TerminologyEntry", entry)
    assert str(entry) == TERMINOLOGY
    assert opened.GetNumberOfLayers() == layers


def test_slicer_takes_the_frame_as_the_geometry_to_go_on_drawing_on(scene, tmp_path):
    store(scene, slicer_segmentation(scene, ["liver ä|x", "tumour"]), tmp_path / "saved.seg.nrrd", crop=True)
    write_segmentation(read_segmentation(tmp_path / "saved.seg.nrrd").on_grid(GRID), tmp_path / "ours.seg.nrrd")
    opened = load(scene, tmp_path / "ours.seg.nrrd").GetSegmentation()
    expected = slicer.vtkSegmentationConverter.SerializeImageGeometry(oriented_image(np.zeros(GRID.shape), (0, 0, 0)))
    found = opened.GetConversionParameter("Reference image geometry")
    as_numbers = [[float(number) for number in text.strip(";").split(";")] for text in (found, expected)]
    assert as_numbers[0] == pytest.approx(as_numbers[1], abs=1e-9)


def test_one_frame_of_a_propagation_opens_as_a_segmentation_with_its_names(scene, tmp_path):
    store(scene, slicer_segmentation(scene, ["liver ä|x", "kidney"]), tmp_path / "saved.seg.nrrd", crop=False)
    field = from_array(np.broadcast_to(np.asarray(GRID.axes) @ (1, 0, 0), (*GRID.shape, 3)), GRID)
    write_segmentation(read_segmentation(tmp_path / "saved.seg.nrrd").on_grid(GRID).warp(field), tmp_path / "0007.nrrd")
    node = load(scene, tmp_path / "0007.nrrd")
    segmentation = node.GetSegmentation()
    assert [segmentation.GetNthSegment(n).GetName() for n in range(2)] == ["liver ä|x", "kidney"]
    assert ras_of_voxels(node, "kidney_id") == ras_of_mask(np.roll(block("kidney"), -1, axis=2))


def test_a_segment_that_left_the_image_is_empty_in_slicer_too(scene, tmp_path):
    segments = [Segment("a", "here", 1), Segment("b", "gone", 2)]
    write_segmentation(Segmentation.of(GRID.image(block("tumour")), segments=segments), tmp_path / "ours.seg.nrrd")
    node = load(scene, tmp_path / "ours.seg.nrrd")
    assert node.GetSegmentation().GetNumberOfSegments() == 2
    assert ras_of_voxels(node, "a") == ras_of_mask(block("tumour"))
    assert ras_of_voxels(node, "b") == set()


def test_slicer_saves_what_it_opened_from_here_and_nothing_is_lost_on_the_way(scene, tmp_path):
    masks = [block("liver ä|x") + 2 * block("kidney"), block("tumour")]
    segments = [
        Segment("l", "liver ä|x", 1, 0, (0.5, 0.25, 0.125), f"TerminologyEntry:{TERMINOLOGY}|"),
        Segment("k", "kidney", 2, 0, (0.0, 1.0, 0.0), f"TerminologyEntry:{TERMINOLOGY}|", True, True),
        Segment("t", "tumour", 1, 1, (1.0, 0.0, 0.0), f"TerminologyEntry:{TERMINOLOGY}|"),
    ]
    write_segmentation(Segmentation.of(*map(GRID.image, masks), segments=segments), tmp_path / "ours.seg.nrrd")
    store(scene, load(scene, tmp_path / "ours.seg.nrrd"), tmp_path / "back.seg.nrrd", crop=False)
    again = read_segmentation(tmp_path / "back.seg.nrrd")
    assert again.segments == tuple(segments)
    assert again.placement(GRID) == "same"
    for layer, mask in zip(again.layers, masks):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(layer), mask)
