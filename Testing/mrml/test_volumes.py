from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from Testing.support.scenery import GEOMETRIES, displacement_on, node_of, rotation, texture
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml import transforms, volumes
from VoxelMorphRegistrationLib.space import plane
from VoxelMorphRegistrationLib.space.grid import Grid


def hang(scene, node, matrix_ras):
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "parent")
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix_ras))
    node.SetAndObserveTransformNodeID(parent.GetID())
    return parent


def matrix(linear, translation=(0, 0, 0)):
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = linear, translation
    return result


def world_lps(node, index):
    """Where Slicer says a voxel lies in the world, in LPS."""
    ijk_to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, to_world)
    return np.array(to_world.TransformPoint(ijk_to_ras.MultiplyPoint((*index, 1.0))[:3])) * (-1, -1, 1)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_volume_node_and_its_file_are_the_same_image_to_simpleitk(scene, geometry, tmp_path):
    node = node_of(scene, texture(*GEOMETRIES[geometry][0]), "v")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "v.nrrd"))
    assert storage.WriteData(node) == 1
    expected = sitk.ReadImage(str(tmp_path / "v.nrrd"))
    image = volumes.image_from_volume(node)
    assert Grid.of(image).same_as(Grid.of(expected), 1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))


@pytest.mark.parametrize(
    "linear",
    [rotation(33), np.diag([-1.0, 1, 1]), np.diag([2.0, 2, 2]) @ rotation(20)],
    ids=["rigid", "mirror", "uniform scaling"],
)
def test_a_parent_that_keeps_right_angles_only_moves_the_geometry(scene, linear):
    original = texture(*GEOMETRIES["oblique"][0])
    node = node_of(scene, original, "v")
    hang(scene, node, matrix(linear, (7, -3, 11)))
    image = volumes.image_from_volume(node)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(original))
    for index in ((0, 0, 0), (5, 17, 20)):
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), world_lps(node, index), atol=1e-6)
    assert volumes.folded_parent(node) is node.GetParentTransformNode()


def values_stay_in_place(node, original, image, tolerance):
    size = np.array(original.GetSize())
    checked = 0
    for index in np.random.default_rng(0).integers(4, size - 4, (60, 3)).tolist():
        place = world_lps(node, index).tolist()
        continuous = image.TransformPhysicalPointToContinuousIndex(place)
        value = sitk.Resample(
            image,
            [1, 1, 1],
            sitk.Transform(3, sitk.sitkIdentity),
            sitk.sitkLinear,
            place,
            [1, 1, 1],
            np.eye(3).ravel().tolist(),
        )[0, 0, 0]
        assert min(continuous) > 0
        assert value == pytest.approx(original[index], abs=tolerance)
        checked += 1
    return checked


def test_a_sheared_parent_gives_a_straight_image_with_everything_in_its_place(scene):
    original = texture(*GEOMETRIES["oblique"][0])
    node = node_of(scene, original, "v")
    hang(scene, node, matrix([[1, 0.3, 0.1], [0, 0.9, 0], [0, 0.2, 1.2]], (7, -3, 11)))
    image = volumes.image_from_volume(node)
    direction = np.reshape(image.GetDirection(), (3, 3))
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-9)
    values_stay_in_place(node, original, image, tolerance=3.0)
    assert volumes.folded_parent(node) is None


def test_a_warping_parent_gives_a_straight_image_with_everything_in_its_place(scene):
    original = texture(*GEOMETRIES["anisotropic"][1])
    node = node_of(scene, original, "v")
    warp = transforms.add_transform(scene, displacement_on(original, 3.0), "warp")
    node.SetAndObserveTransformNodeID(warp.GetID())
    image = volumes.image_from_volume(node)
    values_stay_in_place(node, original, image, tolerance=4.0)
    assert node.GetParentTransformNode() is warp


def test_labels_under_a_warping_parent_are_never_mixed(scene):
    labels = sitk.Cast(texture(*GEOMETRIES["oblique"][0]) > 100, sitk.sitkUInt8) * 7
    node = node_of(scene, labels, "labels", "vtkMRMLLabelMapVolumeNode")
    hang(scene, node, matrix([[1, 0.3, 0.1], [0, 0.9, 0], [0, 0.2, 1.2]]))
    assert set(np.unique(sitk.GetArrayFromImage(volumes.image_from_volume(node)))) == {0, 7}


def test_what_lies_outside_a_resampled_ct_is_its_background_and_not_zero(scene):
    ct = texture(*GEOMETRIES["oblique"][0]) * 0 - 1000
    node = node_of(scene, ct, "ct")
    hang(scene, node, matrix([[1, 0.3, 0.1], [0, 0.9, 0], [0, 0.2, 1.2]]))
    assert np.unique(sitk.GetArrayFromImage(volumes.image_from_volume(node))) == [-1000]


@pytest.mark.parametrize(
    "pixel",
    [
        sitk.sitkInt16,
        sitk.sitkUInt8,
        sitk.sitkInt8,
        sitk.sitkFloat32,
        sitk.sitkFloat64,
        sitk.sitkInt64,
        sitk.sitkUInt32,
    ],
)
def test_an_image_goes_into_a_node_and_comes_back(scene, pixel):
    image = sitk.Cast(texture(*GEOMETRIES["left-handed"][0]), pixel)
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix(rotation(40), (1, 2, 3))))
    for under in (None, parent):
        node = volumes.add_volume(scene, image, "v", parent=under)
        back = volumes.image_from_volume(node)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
        assert Grid.of(back).same_as(Grid.of(image), 1e-6)


def test_whole_numbers_too_large_for_slicer_become_floats(scene):
    image = sitk.Image([2, 2, 2], sitk.sitkInt64) + 2**40
    node = volumes.add_volume(scene, image, "v")
    assert slicer.util.arrayFromVolume(node).dtype == np.float64
    assert slicer.util.arrayFromVolume(node)[0, 0, 0] == 2**40


def test_vectors_keep_their_components_and_need_a_vector_volume(scene):
    field = displacement_on(texture(*GEOMETRIES["oblique"][0]))
    node = volumes.add_volume(scene, field, "v")
    assert node.IsA("vtkMRMLVectorVolumeNode")
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(volumes.image_from_volume(node)), sitk.GetArrayFromImage(field)
    )
    scalar = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Scalar")
    with pytest.raises(InputError, match="Scalar.*vector"):
        volumes.update_volume(scalar, field)


def test_replacing_a_nodes_voxels_leaves_a_shallow_copy_of_it_alone(scene):
    image = texture(*GEOMETRIES["axial"][0])
    node = node_of(scene, image, "v")
    copy = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "copy")
    copy.SetAndObserveImageData(node.GetImageData())
    volumes.update_volume(node, image * 0)
    assert slicer.util.arrayFromVolume(copy).any() and not slicer.util.arrayFromVolume(node).any()


def test_an_empty_or_flattened_volume_is_named(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    with pytest.raises(InputError, match="Nothing.*no voxels"):
        volumes.image_from_volume(node)
    node = node_of(scene, texture(*GEOMETRIES["axial"][0]), "Flat")
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix([[1, 1, 0], [0, 0, 0], [0, 0, 1]])))
    with pytest.raises(InputError, match="Flat.*axis directions"):
        volumes.image_from_volume(node)


@pytest.mark.parametrize("degrees", [0, 20])
def test_a_slice_flattened_registered_and_lifted_leads_into_the_moving_slice(degrees):
    turn = rotation(degrees)
    fixed = texture((41, 37, 1), (1.5, 1.7, 3.0), turn)
    moving = texture((37, 43, 1), (1.6, 1.4, 3.0), turn @ np.diag([-1, -1, 1]))
    moving.SetOrigin((np.asarray(moving.GetOrigin()) + turn[:, 2] * 4 + turn[:, 0] * 2).tolist())
    on = plane.Plane.of(fixed)
    flat_fixed, flat_moving = on.flatten(fixed, "f"), on.flatten(moving, "m")
    assert flat_fixed.GetDimension() == 2
    if degrees == 0:
        np.testing.assert_allclose(
            flat_fixed.TransformIndexToPhysicalPoint((3, 4)), fixed.TransformIndexToPhysicalPoint((3, 4, 0))[:2]
        )
    shift = sitk.TransformToDisplacementField(
        sitk.TranslationTransform(2, (3.0, -2.0)),
        sitk.sitkVectorFloat32,
        flat_fixed.GetSize(),
        flat_fixed.GetOrigin(),
        flat_fixed.GetSpacing(),
        flat_fixed.GetDirection(),
    )
    lifted = on.lift(shift, Grid.of(fixed), plane.Plane.of(moving).height)
    warped_2d = sitk.GetArrayFromImage(
        sitk.Resample(flat_moving, flat_fixed, sitk.TranslationTransform(2, (3.0, -2.0)))
    )
    transform = sitk.DisplacementFieldTransform(sitk.Cast(lifted, sitk.sitkVectorFloat64))
    warped_3d = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform))[0]
    np.testing.assert_allclose(warped_3d[3:-3, 3:-3], warped_2d[3:-3, 3:-3], atol=1e-3)


def test_a_tilted_slice_is_refused():
    fixed, moving = (texture((20, 20, 1), (1, 1, 1), rotation(angle)) for angle in (0, 20))
    with pytest.raises(InputError, match="tilted.nrrd.*parallel"):
        plane.Plane.of(fixed).flatten(moving, "tilted.nrrd")


@pytest.mark.parametrize("name", ["oblique/CT_pitch.nii.gz", "oblique/10000_1000000_adc.mha", "abdomen_mr/mr.nii.gz"])
def test_a_real_scan_opened_by_slicer_is_the_image_simpleitk_reads(scene, shared_data, name):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(shared_data / name))
    assert storage.ReadData(node) == 1
    expected = sitk.ReadImage(str(shared_data / name))
    image = volumes.image_from_volume(node)
    assert Grid.of(image).same_as(Grid.of(expected), 1e-3)
    np.testing.assert_allclose(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected), rtol=1e-6)
