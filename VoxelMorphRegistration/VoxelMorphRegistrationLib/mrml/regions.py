"""Where images are compared, as a scene says it: a volume that is not zero there, or a box of markups."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from ..errors import InputError
from ..space.grid import Grid
from .geometry import linear_matrix, matrix_from_vtk, transform_between
from .volumes import describe, image_from_volume


def is_box(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a region is a box of markups and no volume."""
    return node is not None and node.IsA("vtkMRMLMarkupsROINode")


def region_on_grid(
    node: slicer.vtkMRMLNode, grid: Grid, below: slicer.vtkMRMLTransformNode | None = None
) -> sitk.Image:
    """1 in the region and 0 elsewhere, uint8 on `grid`, which is in LPS mm of the coordinates below `below` (None: the
    world).

    Raises InputError for a box that is not placed, hangs under a transform that is not linear, or holds no voxel.
    """
    if is_box(node):
        return _box_on_grid(node, grid, below)
    inside = image_from_volume(node, below, labels=True) != 0
    if Grid.of(inside).same_as(grid):
        return grid.stamp(inside)
    identity = sitk.Transform(3, sitk.sitkIdentity)
    return sitk.Resample(inside, grid.empty_image(sitk.sitkUInt8), identity, sitk.sitkNearestNeighbor)


def _box_on_grid(
    roi: slicer.vtkMRMLMarkupsROINode, grid: Grid, below: slicer.vtkMRMLTransformNode | None
) -> sitk.Image:
    size = np.array(roi.GetSize(), float)
    if not np.all(size > 0):
        raise InputError(f"{describe(roi)}: is not placed yet; place it in a view, or choose another region")
    to_box = linear_matrix(transform_between(below, roi.GetParentTransformNode()))
    if to_box is None:
        raise InputError(f"{describe(roi)}: hangs under a transform that is not linear; harden it first")
    own = vtk.vtkMatrix4x4()
    own.DeepCopy(roi.GetObjectToNodeMatrix())
    matrix = np.linalg.inv(matrix_from_vtk(own)) @ to_box @ grid.ras_matrix()
    i, j, k = (np.arange(count, dtype=np.float32) for count in grid.size)
    inside = np.ones(grid.size[::-1], bool)
    for row in range(3):
        along = (matrix[row, 2] * k)[:, None, None] + (matrix[row, 1] * j)[:, None] + matrix[row, 0] * i
        inside &= np.abs(along + matrix[row, 3]) <= size[row] / 2
    if not inside.any():
        raise InputError(f"{describe(roi)}: holds no voxel of the volume; move it onto the volume")
    return grid.image(inside.astype(np.uint8))
