from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import torch

from Testing.support.scenery import GEOMETRIES, displacement_on, node_of, slicer_resampled, texture
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml import transforms
from VoxelMorphRegistrationLib.mrml.exchange import export_displacement, import_displacement


@pytest.fixture
def fixed(scene):
    image = texture(*GEOMETRIES["anisotropic"][0])
    return image, node_of(scene, image, "fixed")


def voxel_field(image, size=1.5):
    """(3, k, j, i) in voxels, channel along array axis, smooth."""
    shape = image.GetSize()[::-1]
    axes = np.meshgrid(*[np.linspace(0, 5, n) for n in shape], indexing="ij")
    return np.stack([size * np.sin(axes[1]), size * np.cos(axes[2]), size * np.sin(axes[0] + 1)]).astype(np.float32)


def pulled_lps(node, point_lps):
    return np.array(node.GetTransformFromParent().TransformPoint(np.asarray(point_lps) * (-1, -1, 1))) * (-1, -1, 1)


def expected(image, field, index):
    """Where SimpleITK says the voxel i + u lies."""
    u = field[:, index[2], index[1], index[0]][::-1]
    return image.TransformContinuousIndexToPhysicalPoint((np.array(index) + u).tolist())


def given(field, how, tmp_path):
    if how == "array (3, D, H, W)":
        return field
    if how == "tensor (1, 3, D, H, W)":
        return torch.from_numpy(field)[None]
    if how == "channels last":
        return np.moveaxis(field, 0, -1)
    np.savez(tmp_path / "voxelmorph.npz", field[None])
    np.save(tmp_path / "voxelmorph.npy", field[None])
    torch.save(torch.from_numpy(field)[None], tmp_path / "voxelmorph.pt")
    if how == "opened .npz":
        return np.load(tmp_path / "voxelmorph.npz")
    return tmp_path / f"voxelmorph{how}"


@pytest.mark.parametrize("existing", [None, "vtkMRMLTransformNode", "vtkMRMLGridTransformNode"])
@pytest.mark.parametrize(
    "how", ["array (3, D, H, W)", "tensor (1, 3, D, H, W)", "channels last", "opened .npz", ".npz", ".npy", ".pt"]
)
def test_what_voxelmorph_gave_becomes_a_transform_that_pulls(scene, fixed, how, existing, tmp_path):
    image, fixed_node = fixed
    field = voxel_field(image)
    node = None if existing is None else scene.AddNewNodeByClass(existing, "mine")
    result = import_displacement(given(field, how, tmp_path), node, fixed_node)
    assert node is None or result is node
    for index in ((5, 6, 2), (30, 20, 8), (44, 40, 5)):
        at = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(pulled_lps(result, at), expected(image, field, index), atol=1e-3)
    assert result.GetNodeReference("spatialRegistrationFixed") is fixed_node


def test_a_tensor_warps_in_slicer_as_grid_sample_warps_it(scene, fixed):
    image, fixed_node = fixed
    moving_node = node_of(scene, image, "moving")
    field = torch.from_numpy(voxel_field(image))[None]
    node = import_displacement(field, None, fixed_node)
    array = torch.from_numpy(sitk.GetArrayFromImage(image))[None, None]
    shape = array.shape[2:]
    where = (
        torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in shape], indexing="ij")) + field[0]
    )
    grid = torch.stack([2 * where[axis] / (shape[axis] - 1) - 1 for axis in (2, 1, 0)], dim=-1)[None]
    by_torch = torch.nn.functional.grid_sample(array, grid, align_corners=True)[0, 0].numpy()
    by_slicer = slicer_resampled(moving_node, node, fixed_node)
    interior = np.all([(where[a].numpy() > 1) & (where[a].numpy() < shape[a] - 2) for a in range(3)], axis=0)
    assert interior.mean() > 0.5
    assert np.abs(by_torch - by_slicer)[interior].max() < 1e-4 * np.ptp(by_torch)


def test_a_cubes_array_is_taken_as_slicers_arrays_run(scene):
    image = texture((20, 20, 20), (2, 2, 2), np.eye(3))
    field = voxel_field(image)
    node = import_displacement(field, None, node_of(scene, image, "cube"))
    at = image.TransformIndexToPhysicalPoint((5, 9, 12))
    np.testing.assert_allclose(pulled_lps(node, at), expected(image, field, (5, 9, 12)), atol=1e-3)
    other = import_displacement(field, None, node_of(scene, image, "cube"), array_axes="ijk")
    assert np.abs(pulled_lps(other, at) - pulled_lps(node, at)).max() > 0.1


def test_a_reference_under_a_parent_counts_where_it_lies_in_the_world(scene, fixed):
    image, fixed_node = fixed
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "parent")
    parent.SetMatrixTransformToParent(
        slicer.util.vtkMatrixFromArray(np.array([[0.0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]]))
    )
    fixed_node.SetAndObserveTransformNodeID(parent.GetID())
    field = np.zeros((3, *image.GetSize()[::-1]), np.float32)
    field[2] = 1
    node = import_displacement(field, None, fixed_node)
    axes = np.reshape(image.GetDirection(), (3, 3))[:, 0] * image.GetSpacing()[0] * (-1, -1, 1)
    point = np.array(
        parent.GetTransformToParent().TransformPoint(
            np.array(image.TransformIndexToPhysicalPoint((9, 9, 4))) * (-1, -1, 1)
        )
    )
    moved = np.array(node.GetTransformFromParent().TransformPoint(point))
    np.testing.assert_allclose(moved - point, (-axes[1], axes[0], axes[2]), atol=1e-4)


def test_a_2d_tensor_moves_within_a_single_slice(scene):
    image = texture(*GEOMETRIES["single slice"][1])
    fixed_node = node_of(scene, image, "slice")
    field = np.zeros((1, 2, image.GetSize()[1], image.GetSize()[0]), np.float32)
    field[:, 1], field[:, 0] = 2.0, -1.0
    node = import_displacement(field, None, fixed_node)
    at = np.array(image.TransformIndexToPhysicalPoint((9, 9, 0)))
    np.testing.assert_allclose(
        pulled_lps(node, at), image.TransformContinuousIndexToPhysicalPoint((11.0, 8.0, 0.0)), atol=1e-4
    )


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha", ".h5"])
def test_what_is_exported_is_the_same_warp_when_imported(scene, fixed, suffix, tmp_path):
    image, fixed_node = fixed
    displacement = displacement_on(image)
    node = transforms.add_transform(scene, displacement, "t", fixed=fixed_node)
    assert export_displacement(node, tmp_path / f"t{suffix}") == []
    for reference in (None, fixed_node):
        again = import_displacement(tmp_path / f"t{suffix}", None, reference)
        back = transforms.displacement_from_transform(again)
        np.testing.assert_allclose(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(displacement), atol=1e-4)
        assert again.GetName().startswith("t")


def test_a_node_stored_to_parent_is_exported_as_the_field_that_pulls(scene, fixed, tmp_path):
    image, fixed_node = fixed
    forward = displacement_on(image, 3.0)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "to")
    node.SetAndObserveTransformToParent(transforms.add_transform(scene, forward, "from").GetTransformFromParent())
    export_displacement(node, tmp_path / "t.nrrd", "itk", fixed_node)
    pulled = sitk.DisplacementFieldTransform(sitk.ReadImage(str(tmp_path / "t.nrrd"), sitk.sitkVectorFloat64))
    point = image.TransformIndexToPhysicalPoint((25, 22, 5))
    back = node.GetTransformFromParent().TransformPoint(np.array(point) * (-1, -1, 1))
    np.testing.assert_allclose(pulled.TransformPoint(point), np.array(back) * (-1, -1, 1), atol=0.02)


def test_a_linear_transform_is_exported_on_its_reference_with_a_warning(scene, fixed, tmp_path):
    image, fixed_node = fixed
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    matrix = np.eye(4)
    matrix[:3, 3] = 5, 6, 7
    node.SetMatrixTransformFromParent(slicer.util.vtkMatrixFromArray(matrix))
    messages = export_displacement(node, tmp_path / "shift.nrrd", "itk", fixed_node)
    assert len(messages) == 1 and "affine" in messages[0]
    np.testing.assert_allclose(sitk.ReadImage(str(tmp_path / "shift.nrrd"))[3, 4, 5], (-5, -6, 7), atol=1e-4)


def test_a_source_that_cannot_be_read_changes_no_node(scene, fixed, tmp_path):
    image, fixed_node = fixed
    node = transforms.add_transform(scene, displacement_on(image), "t")
    time = node.GetMTime()
    np.savez(tmp_path / "two.npz", a=np.zeros((3, 4, 5, 6)), b=np.zeros((3, 4, 5, 6)))
    broken = voxel_field(image)
    broken[0, 0, 0, 0] = np.nan
    for message, arguments in {
        "fixed volume as the reference": (voxel_field(image), node),
        "no field of 3 channels": (np.zeros((3, 4, 5, 6), np.float32), node, fixed_node),
        "NaN": (broken, node, fixed_node),
        "which is the field is not clear": (np.load(tmp_path / "two.npz"), node, fixed_node),
        "no such file": (tmp_path / "none.nrrd", node, fixed_node),
        "unknown": (voxel_field(image), node, fixed_node, "nonsense"),
    }.items():
        with pytest.raises(InputError, match=message):
            import_displacement(*arguments)
    assert node.GetMTime() == time
