"""Fields and affines of ANTs warp the same image, labels and points as ANTs itself, also through torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F

from Testing.support.exchange_scenes import GEOMETRIES, dice, inside, labels, smooth_field, some_affine, texture, worst
from Testing.support.oracle_tools import tool
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.displacements import write_displacement
from VoxelMorphRegistrationLib.files.itk_transforms import read_transform
from VoxelMorphRegistrationLib.space.displacement import transform_points, warp
from VoxelMorphRegistrationLib.space.grid import Grid

ants = tool("ants", "antspyx")
pandas = tool("pandas", "pandas")

#: "equals ANTs": of the intensity range, inside the field of view.
EQUAL = 1e-3
#: The directions of the forum thread's images (indices run to the left, down and forwards, as FreeSurfer conforms them)
#: and their origin; the spacing is fourfold and the size a quarter, so that the field of view is the thread's.
THREAD = Grid((40, 48, 56), (4.0, 4.0, 4.0), (-80.0, 112.0, 96.0), (1.0, 0, 0, 0, 0, -1, 0, -1, 0))


def to_ants(image: sitk.Image):
    """An ANTs image; ANTsPy's arrays are (i, j, k)."""
    dimension = image.GetDimension()
    return ants.from_numpy(
        sitk.GetArrayFromImage(image).astype(np.float32).T,
        origin=image.GetOrigin(),
        spacing=image.GetSpacing(),
        direction=np.reshape(image.GetDirection(), (dimension, dimension)),
    )


def ants_warp(fixed, moving, transforms, invert=None, interpolator="linear") -> np.ndarray:
    """(k, j, i) of `moving` as ANTs warps it onto `fixed`."""
    warped = ants.apply_transforms(
        to_ants(fixed), to_ants(moving), transforms, whichtoinvert=invert, interpolator=interpolator
    )
    return warped.numpy().T


@pytest.fixture(scope="module", params=GEOMETRIES, ids=str)
def registered(request, tmp_path_factory):
    """SyN of two images on different grids: (fixed, moving, fwdtransforms, invtransforms)."""
    fixed_grid, moving_grid = GEOMETRIES[request.param]
    fixed, moving = texture(fixed_grid), texture(moving_grid, shift=3.0, bend=2.0)
    prefix = tmp_path_factory.mktemp("syn")
    found = ants.registration(
        to_ants(fixed), to_ants(moving), "SyN", reg_iterations=(20, 10), outprefix=f"{prefix}/", random_seed=1
    )
    return fixed, moving, found["fwdtransforms"], found["invtransforms"]


def test_a_syn_list_warps_as_ants_does(registered):
    fixed, moving, forward, _ = registered
    displacement = exchange.read(forward, reference=fixed)
    where = inside(displacement, Grid.of(moving))
    assert worst(sitk.GetArrayFromImage(warp(moving, displacement)), ants_warp(fixed, moving, forward), where) < EQUAL


def test_the_inverse_list_with_its_flag_warps_the_fixed_image_as_ants_does(registered):
    fixed, moving, _, (affine, field) = registered
    displacement = exchange.read([f"[{affine},1]", field], "ants", moving)
    theirs = ants_warp(moving, fixed, [affine, field], [True, False])
    where = inside(displacement, Grid.of(fixed))
    assert worst(sitk.GetArrayFromImage(warp(fixed, displacement)), theirs, where) < EQUAL


def test_the_affine_alone_warps_as_ants_does(registered):
    fixed, moving, (_, affine), _ = registered
    displacement = exchange.read(affine, reference=fixed)
    where = inside(displacement, Grid.of(moving))
    assert worst(sitk.GetArrayFromImage(warp(moving, displacement)), ants_warp(fixed, moving, [affine]), where) < EQUAL


def test_landmarks_go_where_ants_takes_them(registered):
    pandas = pytest.importorskip("pandas")
    fixed, _, forward, _ = registered
    dimension = fixed.GetDimension()
    random = np.random.default_rng(3)
    index = random.uniform(0.2, 0.8, (6, dimension)) * (np.asarray(fixed.GetSize()) - 1)
    grid = Grid.of(fixed)
    points = index @ grid.axes.T + np.asarray(grid.origin)
    table = pandas.DataFrame(points, columns=list("xyz")[:dimension])
    theirs = ants.apply_transforms_to_points(dimension, table, forward)[list("xyz")[:dimension]].to_numpy()
    mapping = exchange.read_mapping(forward, reference=fixed)
    np.testing.assert_allclose(exchange.points_to_moving(mapping, points), theirs, atol=1e-3)


def test_the_2d_affine_of_a_mat_file_becomes_the_displacement_ants_prints():
    """A user who has only the .mat: matrix, translation and center as they stand in the file."""
    fixed_grid, moving_grid = GEOMETRIES["2D"]
    fixed, moving = texture(fixed_grid), texture(moving_grid, shift=3.0)
    found = ants.registration(to_ants(fixed), to_ants(moving), "Affine", random_seed=1)
    transform = ants.read_transform(found["fwdtransforms"][0])
    parameters = np.asarray(transform.parameters)
    displacement = exchange.affine_to_displacement(parameters[:4], parameters[4:], transform.fixed_parameters, fixed)
    printed = ants.apply_transforms(
        to_ants(fixed), to_ants(moving), found["fwdtransforms"], compose=found["fwdtransforms"][0].removesuffix(".mat")
    )
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(printed))
    np.testing.assert_allclose(sitk.GetArrayFromImage(displacement), theirs, atol=1e-4)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_ants_warps_with_the_files_we_write_for_it(name, tmp_path):
    fixed_grid, moving_grid = GEOMETRIES[name]
    moving, displacement = texture(moving_grid), smooth_field(fixed_grid)
    fixed = fixed_grid.empty_image()
    exchange.write(displacement, tmp_path / "field.nii.gz", "ants")
    ours = sitk.GetArrayFromImage(warp(moving, displacement))
    where = inside(displacement, moving_grid)
    assert worst(ours, ants_warp(fixed, moving, [str(tmp_path / "field.nii.gz")]), where) < EQUAL
    affine = exchange.read(some_affine(fixed_grid.dimension), reference=fixed_grid)
    exchange.write(affine, tmp_path / "affine.mat", "ants")
    ours, where = sitk.GetArrayFromImage(warp(moving, affine)), inside(affine, moving_grid)
    assert worst(ours, ants_warp(fixed, moving, [str(tmp_path / "affine.mat")]), where) < EQUAL


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
def test_ants_warps_with_the_transform_that_slicer_opens(suffix, tmp_path):
    """One file for both: the displacement that `register` writes, NIfTI in its RAS form included."""
    fixed_grid, moving_grid = GEOMETRIES["oblique anisotropic"]
    moving, displacement = texture(moving_grid), smooth_field(fixed_grid)
    write_displacement(displacement, tmp_path / f"transform{suffix}")
    theirs = ants_warp(fixed_grid.empty_image(), moving, [str(tmp_path / f"transform{suffix}")])
    where = inside(displacement, moving_grid)
    assert worst(sitk.GetArrayFromImage(warp(moving, displacement)), theirs, where) < EQUAL


@pytest.fixture(scope="module")
def thread(tmp_path_factory):
    """The forum thread's situation: its geometry, a SyN registration, labels on the moving image."""
    there, here = {"scale": 2.5}, {"shift": 8.0, "bend": 4.0, "scale": 2.5}
    fixed, moving = texture(THREAD, **there), texture(THREAD, **here)
    fixed_labels, moving_labels = labels(THREAD, **there), labels(THREAD, **here)
    prefix = tmp_path_factory.mktemp("thread")
    found = ants.registration(
        to_ants(fixed), to_ants(moving), "SyN", reg_iterations=(30, 15), outprefix=f"{prefix}/", random_seed=1
    )
    return fixed, moving, fixed_labels, moving_labels, found["fwdtransforms"]


@pytest.mark.parametrize("array_axes", ["ijk", "kji"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_the_threads_labels_overlap_through_torch_as_through_ants(thread, align_corners, array_axes):
    fixed, moving, fixed_labels, moving_labels, forward = thread
    displacement = exchange.read(forward, reference=fixed)
    grid = exchange.to_sampling_grid(displacement, fixed, moving, align_corners, array_axes)
    values = sitk.GetArrayFromImage(moving_labels).astype(np.float32)
    values = values.T if array_axes == "ijk" else values
    warped = F.grid_sample(
        torch.from_numpy(values.copy())[None, None], grid, mode="nearest", align_corners=align_corners
    )[0, 0].numpy()
    warped = warped.T if array_axes == "ijk" else warped
    theirs = ants_warp(fixed, moving_labels, forward, interpolator="nearestNeighbor")
    truth = sitk.GetArrayFromImage(fixed_labels)
    before = sitk.GetArrayFromImage(moving_labels)
    for label in (1, 2, 3):
        through_torch, through_ants = dice(warped, truth, label), dice(theirs, truth, label)
        assert through_ants > dice(before, truth, label)
        assert through_torch == pytest.approx(through_ants, abs=2e-3)


@pytest.mark.parametrize("array_axes", ["ijk", "kji"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_the_affine_alone_through_affine_grid_equals_ants(registered, align_corners, array_axes):
    fixed, moving, (_, path), _ = registered
    dimension = fixed.GetDimension()
    affine = ants.read_transform(path)
    parameters = np.asarray(affine.parameters)
    theta = exchange.affine_to_theta(
        parameters[: dimension**2],
        parameters[dimension**2 :],
        affine.fixed_parameters,
        fixed,
        moving,
        align_corners,
        array_axes,
    )
    values = sitk.GetArrayFromImage(moving)
    values, shape = (values.T, fixed.GetSize()) if array_axes == "ijk" else (values, fixed.GetSize()[::-1])
    grid = F.affine_grid(theta, (1, 1, *shape), align_corners=align_corners)
    warped = F.grid_sample(torch.from_numpy(values.copy())[None, None], grid, align_corners=align_corners)[0, 0].numpy()
    warped = warped.T if array_axes == "ijk" else warped
    where = inside(exchange.read(path, reference=fixed), Grid.of(moving))
    assert worst(warped, ants_warp(fixed, moving, [path]), where) < EQUAL


def test_lists_in_an_order_ants_never_makes_are_refused(registered):
    fixed, moving, (field, affine), (_, inverse_field) = registered
    for wrong, reference in (
        ([affine, field], fixed),
        ([field, f"[{affine},1]"], fixed),
        ([inverse_field, f"[{affine},1]"], moving),
        ([affine, inverse_field], moving),
        ([field, inverse_field], fixed),
        ([f"[{field},1]"], fixed),
    ):
        with pytest.raises(InputError) as refused:
            exchange.read(wrong, "ants", reference)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["itk_list/list.txt", "itk_list/bulk.tfm", "matrix_offset/moc.txt", "matrix_offset/moc.mat"]
)
def test_one_file_of_several_transforms_and_the_base_class_move_points_as_in_ants(name):
    path = Path(__file__).resolve().parents[1] / "fixtures" / "cases" / name
    points = np.random.default_rng(0).uniform((-5, -10, 30), (25, 10, 60), (20, 3))
    table = {axis: points[:, number] for number, axis in enumerate("xyz")}
    theirs = ants.apply_transforms_to_points(3, pandas.DataFrame(table), [str(path)]).to_numpy()
    transform, _ = read_transform(path)
    np.testing.assert_allclose(transform_points(transform, points), theirs, atol=1e-4)
