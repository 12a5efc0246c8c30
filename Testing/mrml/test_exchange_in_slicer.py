"""A field of every convention warps in Slicer as SimpleITK warps with it; what Slicer saves is read in either
direction.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from Testing.support.scenery import GEOMETRIES, displacement_on, inside, node_of, slicer_resampled, texture
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.mrml.exchange import import_displacement
from VoxelMorphRegistrationLib.mrml.transforms import add_transform
from VoxelMorphRegistrationLib.space.displacement import warp
from VoxelMorphRegistrationLib.space.grid import Grid

#: convention, file name, options of writing and reading.
FILES = [
    ("itk", "field.nrrd", {}),
    ("itk", "field.nii.gz", {}),
    ("itk", "field.h5", {}),
    ("slicer", "field.mha", {}),
    ("ants", "1Warp.nii.gz", {}),
    ("elastix", "deformationField.mha", {}),
    ("elastix", "TransformParameters.0.txt", {}),
    ("niftyreg", "field.nii.gz", {}),
    ("freesurfer", "warp.mgz", {}),
    ("freesurfer", "warp.nii.gz", {}),
    ("voxelmorph", "flow.npz", {}),
    ("voxelmorph", "flow.nii.gz", {}),
    ("torch", "grid.pt", {"align_corners": False}),
    ("monai", "ddf.npy", {}),
]


@pytest.fixture(params=["oblique", "anisotropic", "left-handed"])
def scenario(request, scene):
    """(displacement, moving image, fixed node, moving node)."""
    fixed, moving = (texture(*geometry) for geometry in GEOMETRIES[request.param])
    return displacement_on(fixed), moving, node_of(scene, fixed, "fixed"), node_of(scene, moving, "moving")


def agree(node, displacement, moving, fixed_node, moving_node, margin=1.0):
    expected = sitk.GetArrayFromImage(warp(moving, displacement))
    where = inside(displacement, moving, margin)
    assert where.mean() > 0.3
    difference = np.abs(slicer_resampled(moving_node, node, fixed_node) - expected)[where].max()
    assert difference < 1e-4 * np.ptp(sitk.GetArrayViewFromImage(moving))


@pytest.mark.parametrize(("convention", "name", "options"), FILES)
def test_a_node_from_each_convention_warps_in_slicer_as_simpleitk_does(scenario, convention, name, options, tmp_path):
    displacement, moving, fixed_node, moving_node = scenario
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exchange.ExchangeWarning)
        axes = {"array_axes": "kji"} if name.endswith((".npz", ".npy", ".pt")) else {}
        exchange.write(displacement, tmp_path / name, convention, moving=moving, **options, **axes)
    node = import_displacement(tmp_path / name, None, fixed_node, convention, moving_node, **options, **axes)
    agree(node, displacement, moving, fixed_node, moving_node)


def test_an_ants_list_in_a_node_warps_as_the_chain_does(scenario, tmp_path):
    displacement, moving, fixed_node, moving_node = scenario
    exchange.write(displacement, tmp_path / "1Warp.nii.gz", "ants")
    affine = sitk.AffineTransform(3)
    affine.SetMatrix((1.02, 0.03, 0, -0.03, 0.99, 0, 0, 0.02, 1.01))
    affine.SetTranslation((1.0, -2.0, 1.5))
    affine.SetCenter((10.0, -20.0, 30.0))
    sitk.WriteTransform(affine, str(tmp_path / "0GenericAffine.mat"))
    node = import_displacement([tmp_path / "1Warp.nii.gz", tmp_path / "0GenericAffine.mat"], None, fixed_node)
    field = sitk.DisplacementFieldTransform(sitk.Cast(displacement, sitk.sitkVectorFloat64))
    chain = sitk.CompositeTransform([affine, field])
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, displacement, chain))
    where = inside(exchange.read(chain, reference=displacement), moving)
    assert where.mean() > 0.3
    difference = np.abs(slicer_resampled(moving_node, node, fixed_node) - expected)[where].max()
    assert difference < 1e-4 * np.ptp(sitk.GetArrayViewFromImage(moving))


def saved_by_slicer(node, path) -> bool:
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(path))
    return bool(storage.WriteData(node))


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha", ".h5", ".tfm"])
def test_what_slicer_saves_from_parent_is_read_as_it_is(scenario, scene, suffix, tmp_path):
    displacement, _, fixed_node, _ = scenario
    node = add_transform(scene, displacement, "from parent", fixed=fixed_node)
    assert saved_by_slicer(node, tmp_path / f"node{suffix}")
    again = exchange.read(tmp_path / f"node{suffix}")
    np.testing.assert_allclose(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(displacement), atol=1e-4)


@pytest.mark.parametrize("suffix", [".nrrd", ".h5", ".tfm"])
def test_what_slicer_saves_to_parent_is_inverted(scenario, scene, suffix, tmp_path):
    """Slicer marks the file; read as an ordinary field it would be the inverse warp."""
    displacement, _, fixed_node, _ = scenario
    grid = add_transform(scene, displacement, "from parent", fixed=fixed_node).GetTransformFromParent()
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "to parent")
    node.SetAndObserveTransformToParent(grid)
    saved_by_slicer(node, tmp_path / f"node{suffix}")
    reference = Grid.of(displacement)
    pulled = sitk.GetArrayFromImage(exchange.read(tmp_path / f"node{suffix}", "slicer", reference))
    points = reference.points()
    inner = tuple(slice(n // 3, n - n // 3, 3) for n in reference.shape)
    inverse = node.GetTransformFromParent()
    for point, vector in zip(points[inner].reshape(-1, 3), pulled[inner].reshape(-1, 3)):
        moved = np.array(inverse.TransformPoint(point * (-1, -1, 1))) * (-1, -1, 1)
        # Slicer interpolates a grid with cubic splines and inverts it to 0.01 mm; both show here.
        np.testing.assert_allclose(point + vector, moved, atol=0.1)


def test_a_chain_with_an_inverse_inside_is_read_in_its_order(scenario, scene, tmp_path):
    displacement, _, fixed_node, _ = scenario
    grid = add_transform(scene, displacement, "from parent", fixed=fixed_node).GetTransformFromParent()
    shift = vtk.vtkTransform()
    shift.RotateZ(5)
    shift.Translate(3, -2, 1)
    general = vtk.vtkGeneralTransform()
    general.PostMultiply()
    general.Concatenate(grid)
    general.Concatenate(shift)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "chain")
    node.SetAndObserveTransformToParent(general)
    assert saved_by_slicer(node, tmp_path / "chain.h5") or (tmp_path / "chain.h5").exists()
    reference = Grid.of(displacement)
    pulled = sitk.GetArrayFromImage(exchange.read(tmp_path / "chain.h5", "slicer", reference))
    inner = tuple(slice(n // 3, n - n // 3, 3) for n in reference.shape)
    from_parent = node.GetTransformFromParent()
    for point, vector in zip(reference.points()[inner].reshape(-1, 3), pulled[inner].reshape(-1, 3)):
        moved = np.array(from_parent.TransformPoint(point * (-1, -1, 1))) * (-1, -1, 1)
        np.testing.assert_allclose(point + vector, moved, atol=0.1)


def test_a_linear_node_that_slicer_saved_is_read_on_the_reference(scene, tmp_path):
    fixed = texture(*GEOMETRIES["oblique"][0])
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "linear")
    matrix = vtk.vtkMatrix4x4()
    for row, values in enumerate(((0.9, -0.1, 0.0, 5.0), (0.1, 1.1, 0.0, -6.0), (0.0, 0.05, 1.0, 7.0))):
        for column, value in enumerate(values):
            matrix.SetElement(row, column, value)
    node.SetMatrixTransformToParent(matrix)
    for suffix in (".h5", ".tfm", ".mat"):
        assert saved_by_slicer(node, tmp_path / f"linear{suffix}")
        displacement = exchange.read(tmp_path / f"linear{suffix}", reference=fixed)
        index = (7, 11, 5)
        point = np.array(fixed.TransformIndexToPhysicalPoint(index))
        moved = np.array(node.GetTransformFromParent().TransformPoint(point * (-1, -1, 1))) * (-1, -1, 1)
        np.testing.assert_allclose(point + displacement[index], moved, atol=1e-3)


def test_a_thin_plate_spline_saved_to_parent_is_refused_with_what_to_do(scene, tmp_path):
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    for name, shift in (("SetSourceLandmarks", 0.0), ("SetTargetLandmarks", 2.0)):
        points = vtk.vtkPoints()
        for corner in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (30, 30, 20 + shift)):
            points.InsertNextPoint(corner)
        getattr(spline, name)(points)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "spline")
    node.SetAndObserveTransformToParent(spline)
    saved_by_slicer(node, tmp_path / "spline.h5")
    with pytest.raises(InputError, match="convert it to a grid transform") as refused:
        exchange.read(tmp_path / "spline.h5", "slicer", texture(*GEOMETRIES["oblique"][0]))
    assert "\n" not in str(refused.value)
