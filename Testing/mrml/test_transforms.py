from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from Testing.support.scenery import GEOMETRIES, displacement_on, inside, node_of, points_of, slicer_resampled, texture
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.displacements import write_displacement
from VoxelMorphRegistrationLib.mrml import transforms
from VoxelMorphRegistrationLib.space.grid import Grid

FILES = (".nrrd", ".nii.gz", ".mha", ".h5")


@pytest.fixture(params=GEOMETRIES)
def pair(request, scene):
    fixed, moving = (texture(*geometry) for geometry in GEOMETRIES[request.param])
    return fixed, moving, node_of(scene, fixed, "fixed"), node_of(scene, moving, "moving")


def read_by_slicer(scene, path):
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    return node


def saved_by_slicer(node, path):
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(path))
    assert storage.WriteData(node) == 1


def sitk_resampled(moving, path, fixed):
    if str(path).endswith(".h5"):
        transform = sitk.ReadTransform(str(path))
    else:
        transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    return sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, sitk.sitkLinear))


def test_node_and_every_file_warp_alike_in_slicer_and_in_simpleitk(pair, scene, tmp_path):
    fixed, moving, fixed_node, moving_node = pair
    displacement = displacement_on(fixed)
    node = transforms.add_transform(scene, displacement, "t", fixed=fixed_node, moving=moving_node)
    tolerance = 1e-4 * np.ptp(sitk.GetArrayViewFromImage(moving))
    where = inside(displacement, moving)
    assert where.mean() > 0.3
    by_node = slicer_resampled(moving_node, node, fixed_node)
    for suffix in FILES:
        ours, theirs = tmp_path / f"ours{suffix}", tmp_path / f"theirs{suffix}"
        write_displacement(displacement, ours)
        saved_by_slicer(node, theirs)
        for path in (ours, theirs):
            reloaded = slicer_resampled(moving_node, read_by_slicer(scene, path), fixed_node)
            assert np.abs(reloaded - by_node)[where].max() < tolerance, path.name
            if suffix == ".nii.gz" and fixed.GetSize()[2] == 1:
                continue  # ITK's NIfTI reader gives SimpleITK one slice as a 2D image, whoever wrote the file.
            assert np.abs(sitk_resampled(moving, path, fixed) - by_node)[where].max() < tolerance, path.name


def test_a_reloaded_node_warps_the_same_between_the_grid_points_too(pair, scene, tmp_path):
    fixed, _, fixed_node, _ = pair
    node = transforms.add_transform(scene, displacement_on(fixed), "t")
    saved_by_slicer(node, tmp_path / "t.nrrd")
    again = read_by_slicer(scene, tmp_path / "t.nrrd")
    points = points_of(fixed)[..., 1:-1, 1:-1, :].reshape(-1, 3) * (-1, -1, 1) + (0.4, 0.3, 0.0)
    for point in points[:: max(1, len(points) // 200)]:
        first, second = (n.GetTransformFromParent().TransformPoint(point) for n in (node, again))
        np.testing.assert_allclose(first, second, atol=1e-4)


def test_the_grid_has_the_fixed_volumes_ijk_to_ras_and_is_from_parent(pair, scene):
    fixed, _, fixed_node, moving_node = pair
    node = transforms.add_transform(scene, displacement_on(fixed), "t", fixed=fixed_node, moving=moving_node)
    grid = node.GetTransformFromParent()
    assert grid.IsA("vtkOrientedGridTransform") and not grid.GetInverseFlag()
    assert slicer.vtkMRMLTransformStorageNode.IsTransformFromParentStored(node)
    directions = np.zeros((3, 3))
    fixed_node.GetIJKToRASDirections(directions)
    np.testing.assert_allclose(
        slicer.util.arrayFromVTKMatrix(grid.GetGridDirectionMatrix())[:3, :3], directions, atol=1e-9
    )
    np.testing.assert_allclose(grid.GetDisplacementGrid().GetOrigin(), fixed_node.GetOrigin(), atol=1e-9)
    np.testing.assert_allclose(grid.GetDisplacementGrid().GetSpacing(), fixed_node.GetSpacing(), atol=1e-9)
    assert grid.GetDisplacementGrid().GetDimensions() == fixed_node.GetImageData().GetDimensions()
    assert node.GetNodeReference("spatialRegistrationFixed") is fixed_node
    assert node.GetNodeReference("spatialRegistrationMoving") is moving_node


def test_a_point_of_the_fixed_volume_is_pulled_to_x_plus_u_in_ras(scene):
    fixed = texture(*GEOMETRIES["oblique"][0])
    displacement = displacement_on(fixed)
    node = transforms.add_transform(scene, displacement, "t")
    for index in ((3, 4, 5), (20, 11, 25)):
        x, u = np.array(fixed.TransformIndexToPhysicalPoint(index)), np.array(displacement[index])
        pulled = node.GetTransformFromParent().TransformPoint(x * (-1, -1, 1))
        np.testing.assert_allclose(np.array(pulled) * (-1, -1, 1), x + u, atol=1e-4)


@pytest.mark.parametrize(
    "class_name",
    ["vtkMRMLTransformNode", "vtkMRMLGridTransformNode", "vtkMRMLLinearTransformNode", "vtkMRMLBSplineTransformNode"],
)
@pytest.mark.parametrize("held", ["nothing", "matrix", "to-parent grid", "other grid", "spline"])
def test_an_existing_node_of_any_class_is_replaced_whatever_it_held(scene, class_name, held):
    fixed = texture(*GEOMETRIES["oblique"][0])
    node = scene.AddNewNodeByClass(class_name, "t")
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([2.0, 1, 1, 1])))
    node.SetAndObserveTransformNodeID(parent.GetID())
    other = displacement_on(texture(*GEOMETRIES["axial"][0]), seed=5)
    if held == "matrix":
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([2.0, 3, 1, 1])))
    elif held == "to-parent grid":
        grid = transforms.add_transform(scene, other, "o").GetTransformFromParent()
        node.SetAndObserveTransformToParent(grid)
    elif held == "other grid":
        transforms.update_transform(node, other)
    elif held == "spline":
        spline = vtk.vtkThinPlateSplineTransform()
        node.SetAndObserveTransformToParent(spline)
    displacement = displacement_on(fixed)
    transforms.update_transform(node, displacement)
    assert transforms.stored_from_parent(node)
    back = transforms.displacement_from_transform(node)
    np.testing.assert_allclose(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(displacement), atol=1e-4)
    assert Grid.of(back).same_as(Grid.of(displacement))


def test_a_field_set_to_parent_is_read_as_its_inverse(scene):
    fixed = texture(*GEOMETRIES["oblique"][0])
    displacement = displacement_on(fixed, 3.0)
    grid = transforms.add_transform(scene, displacement, "from").GetTransformFromParent()
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "to")
    node.SetAndObserveTransformToParent(grid)
    assert not transforms.stored_from_parent(node)
    pulled = transforms.displacement_from_transform(node)
    # ITK goes back through the field itself: x -> x + v -> x.
    field = sitk.DisplacementFieldTransform(sitk.Cast(displacement, sitk.sitkVectorFloat64))
    for index in ((12, 13, 14), (20, 15, 9), (16, 20, 15)):
        x = np.array(fixed.TransformIndexToPhysicalPoint(index))
        there = x + np.array(pulled[index])
        np.testing.assert_allclose(field.TransformPoint(there.tolist()), x, atol=0.02)


def test_linear_parents_chains_and_splines_are_sampled_as_slicer_transforms_points(scene):
    fixed = texture(*GEOMETRIES["anisotropic"][0])
    fixed_node = node_of(scene, fixed, "fixed")
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, :3] = [[0.9, 0.1, 0], [0, 1.1, 0.2], [0, 0, 1]]
    matrix[:3, 3] = 5, -6, 7
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node = transforms.add_transform(scene, displacement_on(fixed), "t", fixed=fixed_node)
    node.SetAndObserveTransformNodeID(parent.GetID())
    displacement = transforms.displacement_from_transform(node, Grid.of(fixed))
    general = vtk.vtkGeneralTransform()
    node.GetTransformFromWorld(general)
    for index in ((4, 5, 6), (30, 20, 3)):
        x = np.array(fixed.TransformIndexToPhysicalPoint(index))
        expected = np.array(general.TransformPoint(x * (-1, -1, 1))) * (-1, -1, 1)
        np.testing.assert_allclose(x + np.array(displacement[index]), expected, atol=1e-3)


def test_a_linear_node_becomes_the_affine_itk_applies(scene):
    fixed = texture(*GEOMETRIES["axial"][0])
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, :3] = [[0.9, 0.1, 0], [0, 1.1, 0.2], [0.05, 0, 1]]
    matrix[:3, 3] = 5, -6, 7
    node.SetMatrixTransformFromParent(slicer.util.vtkMatrixFromArray(matrix))
    itk = transforms.itk_transform_from_node(node, Grid.of(fixed))
    x = np.array([3.0, 8.0, -2.0])
    expected = (matrix @ np.append(x * (-1, -1, 1), 1))[:3] * (-1, -1, 1)
    np.testing.assert_allclose(itk.TransformPoint(x.tolist()), expected, atol=1e-9)


def test_a_node_without_any_grid_asks_for_a_reference(scene):
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Rigid")
    with pytest.raises(InputError, match="Rigid.*reference volume"):
        transforms.displacement_from_transform(node)


def test_a_two_dimensional_displacement_becomes_one_slice(scene):
    u = np.zeros((6, 5, 2), np.float32)
    u[..., 0], u[..., 1] = 1.5, -2.5
    flat = sitk.GetImageFromArray(u, isVector=True)
    node = transforms.add_transform(scene, flat, "t")
    np.testing.assert_allclose(
        node.GetTransformFromParent().TransformPoint(-2.0, -3.0, 0.0), (-3.5, -0.5, 0.0), atol=1e-5
    )


def test_hanging_under_a_result_keeps_the_parents_a_node_had(scene):
    result = scene.AddNewNodeByClass("vtkMRMLTransformNode", "result")
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "parent")
    under, free = (scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in ("under", "free"))
    under.SetAndObserveTransformNodeID(parent.GetID())
    for node in (under, free, under):
        transforms.hang_under(node, result)
    assert under.GetParentTransformNode() is parent
    assert parent.GetParentTransformNode() is result and free.GetParentTransformNode() is result
    assert result.GetParentTransformNode() is None
