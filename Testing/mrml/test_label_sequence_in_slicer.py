"""segmentation.seq.nrrd as Slicer's own storage node reads it."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from VoxelMorphRegistrationLib.files.label_sequences import SequenceFrame, write_label_sequence
from VoxelMorphRegistrationLib.propagation.frames import open_frames
from VoxelMorphRegistrationLib.space.grid import Grid

OBLIQUE = Grid((5, 6, 4), (1.5, 2.0, 3.0), (-10.0, 20.0, 30.0), (0.0, -0.8, 0.6, 1.0, 0.0, 0.0, 0.0, 0.6, 0.8))


def written(folder, pixel=np.uint8) -> tuple[list[np.ndarray], list[SequenceFrame]]:
    arrays = [np.random.default_rng(n).integers(0, 5, OBLIQUE.shape).astype(pixel) for n in range(3)]
    frames = []
    for number, array in enumerate(arrays):
        path = folder / f"{number:04d}.nrrd"
        sitk.WriteImage(OBLIQUE.image(array), str(path), True)
        frames.append(SequenceFrame(path, ["0.0", "1 500", "2.5"][number], {"VoxelMorph.Flag": f"why; {number}"}))
    return arrays, frames


@pytest.mark.parametrize("pixel", [np.uint8, np.int16, np.uint16])
def test_slicer_opens_it_as_label_maps_with_values_geometry_and_attributes(scene, tmp_path, pixel):
    arrays, frames = written(tmp_path, pixel)
    write_label_sequence(tmp_path / "segmentation.seq.nrrd", frames, OBLIQUE, "trigger time", "ms")
    sequence = slicer.vtkMRMLSequenceNode()
    scene.AddNode(sequence)
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "segmentation.seq.nrrd"))
    assert storage.ReadData(sequence)
    assert (sequence.GetIndexName(), sequence.GetIndexUnit()) == ("trigger time", "ms")
    assert [sequence.GetNthIndexValue(n) for n in range(3)] == ["0.0", "1 500", "2.5"]
    for number, array in enumerate(arrays):
        node = sequence.GetNthDataNode(number)
        assert node.GetClassName() == "vtkMRMLLabelMapVolumeNode"
        assert node.GetAttribute("VoxelMorph.Flag") == f"why; {number}"
        scalars = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
        assert np.array_equal(scalars.reshape(OBLIQUE.shape), array)
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        found = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
        assert np.allclose(found, np.diag([-1, -1, 1, 1]) @ OBLIQUE.index_to_physical(), atol=1e-5)


def test_a_sequence_slicer_saved_is_read_frame_by_frame(scene, tmp_path):
    arrays, frames = written(tmp_path, np.int16)
    write_label_sequence(tmp_path / "segmentation.seq.nrrd", frames, OBLIQUE, "time", "s")
    sequence = slicer.vtkMRMLSequenceNode()
    scene.AddNode(sequence)
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "segmentation.seq.nrrd"))
    assert storage.ReadData(sequence)
    storage.SetFileName(str(tmp_path / "saved by slicer.seq.nrrd"))
    assert storage.WriteData(sequence)
    frames = open_frames(tmp_path / "saved by slicer.seq.nrrd")
    assert [frames.value(n) for n in range(3)] == ["0.0", "1 500", "2.5"] and frames.index_unit == "s"
    for number, array in enumerate(arrays):
        assert np.array_equal(sitk.GetArrayFromImage(frames[number]), array)
        assert Grid.of(frames[number]).same_as(OBLIQUE)


def test_a_frame_of_another_geometry_is_resampled_onto_the_references(tmp_path):
    arrays, frames = written(tmp_path)
    wider = Grid(
        (7, 8, 6), OBLIQUE.spacing, tuple(np.asarray(OBLIQUE.origin) - OBLIQUE.axes @ np.ones(3)), OBLIQUE.direction
    )
    sitk.WriteImage(wider.image(np.pad(arrays[1], 1)), str(frames[1].path))
    write_label_sequence(tmp_path / "s.seq.nrrd", frames, OBLIQUE, "frame", "")
    assert np.array_equal(sitk.GetArrayFromImage(open_frames(tmp_path / "s.seq.nrrd")[1]), arrays[1])
