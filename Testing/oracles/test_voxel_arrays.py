"""VoxelMorph's and MONAI's own warping of a field in voxels equals ours of the displacement it becomes."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from Testing.support.exchange_scenes import GEOMETRIES, inside, smooth_field, texture, worst
from Testing.support.oracle_tools import tool
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.space.displacement import to_voxel_flow, warp

EQUAL = 1e-4


@pytest.fixture(params=GEOMETRIES)
def scene(request):
    """(grid, image on it, displacement on it): these tools know one grid for both images."""
    grid = GEOMETRIES[request.param][0]
    return grid, texture(grid), smooth_field(grid)


def in_order(image: sitk.Image, axes: str) -> torch.Tensor:
    array = sitk.GetArrayFromImage(image)
    return torch.from_numpy(np.ascontiguousarray(array.T if axes == "ijk" else array))[None, None]


@pytest.mark.parametrize("axes", ["kji", "ijk"])
def test_voxelmorphs_spatial_transform_warps_alike(scene, axes, tmp_path):
    spatial_transform = tool("voxelmorph.nn.functional", "voxelmorph").spatial_transform
    grid, image, displacement = scene
    exchange.write(displacement, tmp_path / "flow.pt", "voxelmorph", array_axes=axes)
    flow = torch.load(tmp_path / "flow.pt", weights_only=True)
    theirs = spatial_transform(in_order(image, axes), flow[0])[0, 0].numpy()
    theirs = theirs.T if axes == "ijk" else theirs
    where = inside(displacement, grid)
    assert worst(sitk.GetArrayFromImage(warp(image, displacement)), theirs, where) < EQUAL
    again = exchange.read(flow, "voxelmorph", grid, array_axes=axes)
    assert worst(sitk.GetArrayFromImage(warp(image, again)), theirs, where) < EQUAL


@pytest.mark.parametrize("axes", ["ijk", "kji"])
def test_monais_warp_block_warps_alike(scene, axes, tmp_path):
    tool("monai", "monai")
    from monai.networks.blocks import Warp

    grid, image, displacement = scene
    exchange.write(displacement, tmp_path / "ddf.npy", "monai", array_axes=axes)
    ddf = torch.from_numpy(np.load(tmp_path / "ddf.npy"))
    theirs = Warp(mode="bilinear", padding_mode="zeros")(in_order(image, axes), ddf)[0, 0].numpy()
    theirs = theirs.T if axes == "ijk" else theirs
    where = inside(displacement, grid)
    assert worst(sitk.GetArrayFromImage(warp(image, displacement)), theirs, where) < EQUAL
    again = exchange.read(ddf, "monai", grid, array_axes=axes)
    assert worst(sitk.GetArrayFromImage(warp(image, again)), theirs, where) < EQUAL


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_half_resolution_field_is_resized_as_voxelmorph_does(dimension):
    """`resize_disp` by 2: align_corners, and values times 2."""
    resize = tool("voxelmorph", "voxelmorph").resize_disp
    size = (12, 10, 8)[:dimension]
    grid = exchange.grid_of(sitk.Image([2 * n for n in size], sitk.sitkFloat32))
    half = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (dimension, *reversed(size))).astype(np.float32))
    theirs = resize(half, 2).numpy()
    displacement = exchange.read(half[None], "voxelmorph", grid, array_axes="kji")
    np.testing.assert_allclose(to_voxel_flow(displacement), theirs, atol=1e-5)


def test_the_nifti_of_voxelmorphs_register_scripts_is_read_by_its_geometry(scene, tmp_path):
    """Its scripts save the field in nibabel's axes, without a vector intent, channels last (TensorFlow) or first
    (torch).
    """
    import nibabel

    grid, image, displacement = scene
    exchange.write(displacement, tmp_path / "ijk.npy", "voxelmorph", array_axes="ijk")
    flow = np.load(tmp_path / "ijk.npy")[0]
    sitk.WriteImage(image, str(tmp_path / "image.nii.gz"))
    affine = nibabel.load(tmp_path / "image.nii.gz").affine
    for name, stored in (("last", np.moveaxis(flow, 0, -1)), ("first", flow)):
        nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / f"{name}.nii.gz")
        again = exchange.read(tmp_path / f"{name}.nii.gz", "voxelmorph", grid)
        np.testing.assert_allclose(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(displacement), atol=1e-4)
