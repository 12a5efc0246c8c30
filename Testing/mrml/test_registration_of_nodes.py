from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
import torch

from Testing.support.scenery import (
    GEOMETRIES,
    blank,
    displacement_on,
    inside,
    node_of,
    points_of,
    rotation,
    slicer_resampled,
)
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.models.loading import Model
from VoxelMorphRegistrationLib.mrml import transforms
from VoxelMorphRegistrationLib.mrml.registration import register_volumes
from VoxelMorphRegistrationLib.mrml.registration_nodes import RegistrationNodes
from VoxelMorphRegistrationLib.mrml.volumes import image_from_volume
from VoxelMorphRegistrationLib.network_space.space import Space
from VoxelMorphRegistrationLib.networks import build_network
from VoxelMorphRegistrationLib.registration.settings import Settings
from VoxelMorphRegistrationLib.space.grid import Grid

CENTRE = np.array([10.0, -20.0, 30.0])


def network(dimension=3, reach=2.0):
    """A VxmPairwise of random weights that moves voxels by about `reach`."""
    torch.manual_seed(3)
    architecture = {"class": "VxmPairwise", "ndim": dimension, "features": [8, 8], "integration_steps": 5}
    built = build_network(architecture)
    axes = torch.meshgrid(*[torch.linspace(0, 6, 32)] * dimension, indexing="ij")
    picture = torch.stack([torch.sin(axis) for axis in axes]).prod(0)[None, None] * 0.5 + 0.5
    with torch.no_grad():
        largest = built.flow(picture, picture.flip(2)).field.abs().max()
        for name, parameter in built.module.named_parameters():
            if name.startswith("flow_layer") and name.endswith("weight"):
                parameter *= reach / largest
    space = Space("SPL"[3 - dimension :], multiple=8)
    return Model(Card("random", architecture, space=space), built, "0" * 64, Path("random.pt"))


def still(dimension=3):
    """A network that moves nothing, so that only the alignment shows."""
    return network(dimension, reach=0.0)


def registered(fixed, moving, transform=None, volume=None, *, model, align="rigid", dump_network_inputs=None, **nodes):
    chosen = RegistrationNodes(fixed, moving, transform=transform, warped_volume=volume, **nodes)
    return register_volumes(chosen, model, Settings(align=align), dump_network_inputs)


UNMOVED = np.eye(4)


def anatomy(image, moved=UNMOVED):
    """A lopsided body on an image's grid, after it was moved by a 4 x 4 matrix in LPS mm."""
    back = np.linalg.inv(moved)
    x = points_of(image) @ back[:3, :3].T + back[:3, 3] - CENTRE
    body = 1 / (1 + np.exp(np.linalg.norm(x / [20, 15, 17 if image.GetSize()[2] > 1 else 1e6], axis=-1) * 12 - 12))
    value = body * (
        150 + 60 * np.sin(x[..., 0] / 4 + 0.5) * np.cos(x[..., 1] / 5) + 3 * x[..., 0] + 2 * x[..., 2] - x[..., 1]
    )
    out = sitk.GetImageFromArray(value.astype(np.float32))
    out.CopyInformation(image)
    return out


def pair(scene, geometry="oblique", moved=UNMOVED):
    first, second = (blank(*one) for one in GEOMETRIES[geometry])
    fixed, moving = anatomy(first), anatomy(second, moved)
    return fixed, moving, node_of(scene, fixed, "fixed"), node_of(scene, moving, "moving")


def motion(degrees, translation):
    """A rotation about the body's centre and a shift: (4, 4), LPS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(degrees, (0, 0, 1))
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ CENTRE + translation
    return matrix


def hang(scene, node, matrix_lps):
    flip = np.diag([-1.0, -1, 1, 1])
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "parent")
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(flip @ matrix_lps @ flip))
    node.SetAndObserveTransformNodeID(parent.GetID())
    return parent


def as_shown(moving, fixed):
    """The moving volume where it hangs now, at the fixed volume's voxels, as Slicer shows it."""
    return slicer_resampled(moving, moving.GetParentTransformNode(), fixed)


def off(fixed_node, array):
    return np.abs(array - slicer.util.arrayFromVolume(fixed_node)).mean()


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_node_and_the_output_volume_show_the_same_warp(scene, geometry):
    fixed, moving, fixed_node, moving_node = pair(scene, geometry, motion(4, (3, -2, 0)))
    output = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "warped")
    dimension = 2 if geometry == "single slice" else 3
    node = registered(fixed_node, moving_node, None, output, model=network(dimension), align="rigid")
    displacement = transforms.displacement_from_transform(node)
    assert Grid.of(displacement).same_as(Grid.of(fixed)) and Grid.of(image_from_volume(output)).same_as(Grid.of(fixed))
    assert np.abs(sitk.GetArrayFromImage(displacement)).max() > 2
    transforms.hang_under(moving_node, node)
    difference = np.abs(as_shown(moving_node, fixed_node) - slicer.util.arrayFromVolume(output))
    where = inside(displacement, moving)
    assert where.mean() > 0.3
    assert difference[where].max() < 1e-4 * np.ptp(sitk.GetArrayFromImage(moving))


def test_what_the_network_saw_warps_through_the_node_as_the_network_warped_it(scene, tmp_path):
    _, _, fixed_node, moving_node = pair(scene, "anisotropic")
    node = registered(fixed_node, moving_node, model=network(), align="none", dump_network_inputs=tmp_path)
    seen, warped = (sitk.ReadImage(str(tmp_path / f"{name}.nrrd")) for name in ("moving", "warped"))
    ours = slicer_resampled(node_of(scene, seen, "seen"), node, node_of(scene, warped, "on"))
    moved = sitk.ReadImage(str(tmp_path / "displacement.nrrd"))
    fixed_grid = Grid.of(image_from_volume(fixed_node))
    points = points_of(moved).reshape(-1, 3)
    where = inside(moved, seen) & fixed_grid.contains(points, margin=0.0).reshape(moved.GetSize()[::-1])
    assert where.mean() > 0.1
    assert np.abs(ours - sitk.GetArrayFromImage(warped))[where].max() < 1e-4


@pytest.mark.parametrize("fixed_under", [False, True], ids=["fixed free", "fixed under a parent"])
@pytest.mark.parametrize("moving_under", ["rigid", "shear", "warp"])
def test_the_result_is_valid_for_the_moving_volume_where_it_hangs(scene, fixed_under, moving_under):
    _, moving, fixed_node, moving_node = pair(scene, "oblique")
    if fixed_under:
        hang(scene, fixed_node, motion(5, (12, 3, 0)))
    if moving_under == "warp":
        bend = displacement_on(moving, 2.0)
        parent = transforms.add_transform(scene, bend, "bend")
        moving_node.SetAndObserveTransformNodeID(parent.GetID())
    else:
        matrix = motion(7, (6, -5, 4))
        if moving_under == "shear":
            matrix = matrix @ np.array([[1, 0.15, 0, 3.0], [0, 1, 0, 0], [0, 0.1, 0.95, 0], [0, 0, 0, 1]])
        parent = hang(scene, moving_node, matrix)
    output = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "warped")
    before = off(fixed_node, as_shown(moving_node, fixed_node))
    node = registered(fixed_node, moving_node, None, output, model=still(), align="affine")
    assert moving_node.GetParentTransformNode() is parent and parent.GetParentTransformNode() is None
    assert output.GetParentTransformNode() is fixed_node.GetParentTransformNode()
    assert node.GetParentTransformNode() is None
    transforms.hang_under(moving_node, node)
    shown = as_shown(moving_node, fixed_node)
    assert off(fixed_node, shown) < 0.5 * before
    assert off(fixed_node, slicer.util.arrayFromVolume(output)) < 0.5 * before


def test_a_second_run_into_the_transform_the_moving_volume_follows_already_is_right_again(scene):
    _, _, fixed_node, moving_node = pair(scene, "axial", motion(5, (6, -4, 3)))
    parent = hang(scene, moving_node, motion(3, (2, 0, 0)))
    before = off(fixed_node, as_shown(moving_node, fixed_node))
    node = registered(fixed_node, moving_node, model=still(), align="rigid")
    transforms.hang_under(moving_node, node)
    first = off(fixed_node, as_shown(moving_node, fixed_node))
    again = registered(fixed_node, moving_node, node, model=still(), align="rigid")
    assert again is node and parent.GetParentTransformNode() is node
    assert off(fixed_node, as_shown(moving_node, fixed_node)) == pytest.approx(first, rel=0.05)
    assert first < 0.2 * before


def test_the_inverse_leads_back_on_the_moving_grid(scene):
    _, moving, fixed_node, moving_node = pair(scene, "anisotropic", motion(4, (3, -2, 1)))
    inverse = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "inverse")
    node = registered(fixed_node, moving_node, inverse=inverse, model=network(), align="rigid")
    for offset in ((0, 0, 0), (8, -6, 5), (-9, 4, -7)):
        start = (CENTRE + offset) * (-1, -1, 1)
        there = inverse.GetTransformFromParent().TransformPoint(start)
        np.testing.assert_allclose(node.GetTransformFromParent().TransformPoint(there), start, atol=0.2)
    assert Grid.of(transforms.displacement_from_transform(inverse)).same_as(Grid.of(moving))


def test_labels_of_the_moving_volume_come_out_on_the_fixed_grid_unmixed(scene):
    fixed, moving, fixed_node, moving_node = pair(scene, "oblique", motion(5, (6, -4, 3)))
    labels = sitk.Cast(moving > 60, sitk.sitkInt16) * 5 + sitk.Cast(moving > 160, sitk.sitkInt16) * 300
    moving_labels = node_of(scene, labels, "labels", "vtkMRMLLabelMapVolumeNode")
    warped = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "warped labels")
    mask = node_of(scene, sitk.Cast(fixed > 20, sitk.sitkUInt8), "mask", "vtkMRMLLabelMapVolumeNode")
    registered(fixed_node, moving_node, moving_labels=moving_labels, warped_labels=warped, mask=mask, model=still())
    array = slicer.util.arrayFromVolume(warped)
    assert array.dtype == np.int16 and set(np.unique(array)) == {0, 5, 305}
    body = sitk.GetArrayFromImage(fixed > 60)
    assert 2 * (body & (array > 0)).sum() / (body.sum() + (array > 0).sum()) > 0.95


def test_a_transform_node_can_be_the_start(scene):
    shift = np.eye(4)
    shift[:3, 3] = 60, 0, 0
    _, _, fixed_node, moving_node = pair(scene, "axial", shift)
    start = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "start")
    flip = np.diag([-1.0, -1, 1, 1])
    start.SetMatrixTransformFromParent(slicer.util.vtkMatrixFromArray(flip @ shift @ flip))
    moving_node.SetOrigin(np.array(moving_node.GetOrigin()) + (-60, 0, 0))
    slicer.util.updateVolumeFromArray(moving_node, slicer.util.arrayFromVolume(fixed_node))
    node = registered(fixed_node, moving_node, initial_transform=start, model=still(), align="none")
    pulled = node.GetTransformFromParent().TransformPoint(CENTRE * (-1, -1, 1))
    np.testing.assert_allclose(np.array(pulled) * (-1, -1, 1) - CENTRE, (60, 0, 0), atol=1e-3)


def test_how_the_transform_came_about_is_written_into_its_node(scene):
    _, _, fixed_node, moving_node = pair(scene, "axial", motion(0, (4, 0, 0)))
    node = registered(fixed_node, moving_node, model=still(), align="rigid")
    assert node.GetName() == "moving to fixed"
    assert node.GetAttribute("VoxelMorph.Model") == "random" and node.GetAttribute("VoxelMorph.ModelSha256") == "0" * 64
    assert 0 <= float(node.GetAttribute("VoxelMorph.FoldedPercent")) < 1
    assert float(node.GetAttribute("VoxelMorph.SimilarityAfter")) > 0.9


def test_a_choice_that_cannot_work_is_told_and_changes_no_node(scene):
    _, moving, fixed_node, moving_node = pair(scene, "axial")
    outputs = (
        scene.AddNewNodeByClass("vtkMRMLTransformNode", "out"),
        scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "w"),
    )
    colour = node_of(scene, sitk.Compose(moving, moving, moving), "colour", "vtkMRMLVectorVolumeNode")
    slice_node = node_of(scene, anatomy(blank((20, 20, 1), (2, 2, 2), np.eye(3))), "slice")
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    under = node_of(scene, moving, "under")
    under.SetAndObserveTransformNodeID(outputs[0].GetID())
    times = [node.GetMTime() for node in outputs]
    for message, arguments in {
        "both fixed and moving": (fixed_node, fixed_node, *outputs),
        "fixed volume: none is chosen": (None, moving_node, *outputs),
        "input and as output": (fixed_node, moving_node, outputs[0], moving_node),
        "colour.*3 numbers.*Vector to Scalar": (fixed_node, colour, *outputs),
        "slice.*two volumes or two slices": (slice_node, moving_node, *outputs),
        "empty.*no voxels": (fixed_node, empty, *outputs),
        "fixed volume under.*hangs under it": (under, moving_node, *outputs),
    }.items():
        with pytest.raises(InputError, match=message):
            registered(*arguments, model=still())
    assert [node.GetMTime() for node in outputs] == times


def test_slices_that_face_opposite_ways_are_parallel_and_their_distance_is_kept(scene):
    sagittal = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    fixed = anatomy(blank((40, 36, 1), (2, 2, 2), sagittal))
    fixed.SetOrigin((12.0, *fixed.GetOrigin()[1:]))
    facing = sagittal @ np.diag([1.0, 1, -1])
    moving = sitk.Image(fixed)
    moving.SetDirection(facing.ravel().tolist())
    moving.SetOrigin((15.0, *fixed.GetOrigin()[1:]))
    inverse = scene.AddNewNodeByClass("vtkMRMLTransformNode", "inverse")
    node = registered(
        node_of(scene, fixed, "fixed"), node_of(scene, moving, "moving"), inverse=inverse, model=still(2), align="none"
    )
    there, back = (sitk.GetArrayFromImage(transforms.displacement_from_transform(one)) for one in (node, inverse))
    np.testing.assert_allclose(there, np.broadcast_to((3.0, 0, 0), there.shape), atol=1e-3)
    np.testing.assert_allclose(back, np.broadcast_to((-3.0, 0, 0), back.shape), atol=1e-3)
