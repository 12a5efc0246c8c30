"""Two volumes made one picture: a checkerboard of both, or the outlines of one for the slices of the other."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util

from ..errors import InputError
from .geometry import matrix_to_vtk
from .volumes import describe, local_ijk_to_ras

_MOST_VOXELS = 2_000_000  # that thresholds are taken from


def add_checkerboard(
    first: slicer.vtkMRMLVolumeNode, second: slicer.vtkMRMLVolumeNode, name: str, squares: int = 8
) -> slicer.vtkMRMLVolumeNode:
    """A volume of blocks taken in turn from two volumes of the same grid, the second at the first's range of values;
    made anew under the same name.

    Raises InputError where the grids differ.
    """
    one, other = slicer.util.arrayFromVolume(first), slicer.util.arrayFromVolume(second)
    if one.shape != other.shape:
        raise InputError(f"{describe(second)}: lies on another grid than {describe(first)}; choose an output volume")
    blocks = np.zeros(one.shape, dtype=int)
    for axis, count in enumerate(one.shape):
        place = np.arange(count) * squares // max(count, 1)
        blocks += place.reshape([-1 if other_axis == axis else 1 for other_axis in range(3)])
    (low, high), (its_low, its_high) = ((float(values.min()), float(values.max())) for values in (one, other))
    scaled = low + (other.astype(np.float32) - its_low) * ((high - low) / max(its_high - its_low, 1e-9))
    node = _node_beside(first, "vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.where(blocks % 2, scaled, one).astype(np.float32))
    node.CreateDefaultDisplayNodes()
    return node


def add_outlines(volume: slicer.vtkMRMLVolumeNode, name: str) -> slicer.vtkMRMLLabelMapVolumeNode:
    """A label volume whose borders are those of a volume's tissues: three ranges of values by Otsu's thresholds.

    It lies where the volume lies, under the same transform; made anew under the same name.
    """
    values = slicer.util.arrayFromVolume(volume)
    step = max(1, round((values.size / _MOST_VOXELS) ** (1 / 3)))
    some = sitk.GetImageFromArray(np.ascontiguousarray(values[::step, ::step, ::step], dtype=np.float32))
    otsu = sitk.OtsuMultipleThresholdsImageFilter()
    otsu.SetNumberOfThresholds(2)
    otsu.Execute(some)
    node = _node_beside(volume, "vtkMRMLLabelMapVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.digitize(values, otsu.GetThresholds()).astype(np.uint8))
    node.CreateDefaultDisplayNodes()
    return node


def _node_beside(volume: slicer.vtkMRMLVolumeNode, class_name: str, name: str) -> slicer.vtkMRMLVolumeNode:
    """The node of a class and name, or a new one, with a volume's geometry and parent."""
    scene = volume.GetScene()
    node = scene.GetFirstNodeByName(name)
    if node is None or node.GetClassName() != class_name:
        node = scene.AddNewNodeByClass(class_name, name)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetIJKToRASMatrix(matrix_to_vtk(local_ijk_to_ras(volume)))
    return node
