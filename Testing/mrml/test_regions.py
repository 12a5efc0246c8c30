"""A box of markups as the region where images are compared; VTK's own planes of the box are the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from Testing.support.scenery import GEOMETRIES, blank, points_of, rotation
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml.regions import region_on_grid
from VoxelMorphRegistrationLib.space.grid import Grid


def _box(scene, size=(30.0, 22.0, 26.0)):
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.SetCenter(-8.0, 18.0, 31.0)
    roi.SetSize(*size)
    return roi


def _parent(scene, degrees):
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "tilted")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(degrees), (3.0, -4.0, 5.0)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return transform


@pytest.mark.parametrize("geometry", ["axial", "oblique", "left-handed"])
@pytest.mark.parametrize("tilted", [False, True])
def test_a_box_holds_the_voxels_that_lie_between_its_planes(scene, geometry, tilted):
    image, roi = blank(*GEOMETRIES[geometry][0]), _box(scene)
    if tilted:
        roi.SetAndObserveTransformNodeID(_parent(scene, 20).GetID())
    planes = vtk.vtkPlanes()
    roi.GetPlanesWorld(planes)
    ras = points_of(image).reshape(-1, 3) * (-1, -1, 1)
    expected = np.array([planes.EvaluateFunction(point) <= 0 for point in ras]).reshape(image.GetSize()[::-1])
    found = sitk.GetArrayFromImage(region_on_grid(roi, Grid.of(image))) > 0
    assert expected.any() and not expected.all()
    assert (found != expected).sum() <= 0.001 * expected.size


def test_a_box_and_volumes_under_one_transform_stay_together(scene):
    image, roi, parent = blank(*GEOMETRIES["axial"][0]), _box(scene), _parent(scene, 30)
    alone = sitk.GetArrayFromImage(region_on_grid(roi, Grid.of(image)))
    roi.SetAndObserveTransformNodeID(parent.GetID())
    below = sitk.GetArrayFromImage(region_on_grid(roi, Grid.of(image), parent))
    assert (alone != below).sum() <= 0.001 * alone.size


def test_a_box_that_is_elsewhere_or_not_placed_is_refused_by_name(scene):
    image, roi = blank(*GEOMETRIES["axial"][0]), _box(scene)
    roi.SetCenter(900.0, 0.0, 0.0)
    with pytest.raises(InputError, match="box .*holds no voxel"):
        region_on_grid(roi, Grid.of(image))
    with pytest.raises(InputError, match="box .*not placed"):
        region_on_grid(_box(scene, (0.0, 0.0, 0.0)), Grid.of(image))
