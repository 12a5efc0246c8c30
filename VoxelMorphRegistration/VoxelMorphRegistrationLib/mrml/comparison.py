"""Two volumes made one picture: a checkerboard of both, or the outlines of one for the slices of the other."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util

from ..errors import InputError
from ..space.displacement import to_transform
from ..space.grid import Grid
from .beside import Beside
from .geometry import matrix_to_vtk
from .transforms import own_displacement
from .volumes import describe, image_from_volume, local_ijk_to_ras

_MOST_VOXELS = 2_000_000  # that thresholds are taken from


def checkerboard_in_pieces(
    first: slicer.vtkMRMLVolumeNode,
    second: slicer.vtkMRMLVolumeNode,
    name: str,
    squares: int = 8,
    through: slicer.vtkMRMLTransformNode | None = None,
) -> Generator[Any, Any, slicer.vtkMRMLVolumeNode]:
    """A volume of blocks taken in turn from two volumes, the second at the first's range of values; made anew under the
    same name, in pieces (see `beside`).

    Both have the same grid, or the second follows the result `through` of a registration with the first: then it is
    warped onto the first's grid for the picture alone, as it is shown.
    Raises InputError where the grids differ.
    """
    one, other = slicer.util.arrayFromVolume(first), slicer.util.arrayFromVolume(second)
    if through is not None:
        fixed, moving = image_from_volume(first), image_from_volume(second, below=through)
        field = yield Beside(partial(own_displacement, through))
        other = yield Beside(partial(_warped, moving, Grid.of(fixed), field))
    if one.shape != other.shape:
        raise InputError(f"{describe(second)}: lies on another grid than {describe(first)}; choose an output volume")
    board = yield Beside(partial(_in_turn, one, other, squares))
    node = _node_beside(first, "vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, board)
    node.CreateDefaultDisplayNodes()
    return node


def _warped(moving: sitk.Image, grid: Grid, field: sitk.Image) -> np.ndarray:
    darkest = float(sitk.GetArrayViewFromImage(moving).min())
    onto = grid.empty_image(sitk.sitkUInt8)
    warped = sitk.Resample(moving, onto, to_transform(field), sitk.sitkLinear, darkest, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(warped)


def _in_turn(one: np.ndarray, other: np.ndarray, squares: int) -> np.ndarray:
    blocks = np.zeros(one.shape, dtype=np.int16)
    for axis, count in enumerate(one.shape):
        place = (np.arange(count) * squares // max(count, 1)).astype(np.int16)
        blocks += place.reshape([-1 if other_axis == axis else 1 for other_axis in range(3)])
    (low, high), (its_low, its_high) = ((float(values.min()), float(values.max())) for values in (one, other))
    scaled = low + (other.astype(np.float32) - its_low) * ((high - low) / max(its_high - its_low, 1e-9))
    return np.where(blocks % 2, scaled, one).astype(np.float32)


def outlines_in_pieces(
    volume: slicer.vtkMRMLVolumeNode, name: str
) -> Generator[Any, Any, slicer.vtkMRMLLabelMapVolumeNode]:
    """A label volume whose borders are those of a volume's tissues: three ranges of values by Otsu's thresholds.

    It lies where the volume lies, under the same transform; made anew under the same name, in pieces
    (see `beside`).
    """
    tissues = yield Beside(partial(_tissues, slicer.util.arrayFromVolume(volume)))
    node = _node_beside(volume, "vtkMRMLLabelMapVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, tissues)
    node.CreateDefaultDisplayNodes()
    return node


def _tissues(values: np.ndarray) -> np.ndarray:
    step = max(1, round((values.size / _MOST_VOXELS) ** (1 / 3)))
    some = sitk.GetImageFromArray(np.ascontiguousarray(values[::step, ::step, ::step], dtype=np.float32))
    otsu = sitk.OtsuMultipleThresholdsImageFilter()
    otsu.SetNumberOfThresholds(2)
    otsu.Execute(some)
    return np.digitize(values, otsu.GetThresholds()).astype(np.uint8)


def _node_beside(volume: slicer.vtkMRMLVolumeNode, class_name: str, name: str) -> slicer.vtkMRMLVolumeNode:
    """The node of a class and name, or a new one, with a volume's geometry and parent."""
    scene = volume.GetScene()
    node = scene.GetFirstNodeByName(name)
    if node is None or node.GetClassName() != class_name:
        node = scene.AddNewNodeByClass(class_name, name)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetIJKToRASMatrix(matrix_to_vtk(local_ijk_to_ras(volume)))
    return node
