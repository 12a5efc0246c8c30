"""FreeSurfer's affines and warps, through surfa: the library with which mri_synthmorph reads and writes them."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.exchange_scenes import GEOMETRIES, inside, smooth_field, some_affine, texture, worst
from Testing.support.oracle_tools import tool
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.space.affine import lps_to_ras
from VoxelMorphRegistrationLib.space.displacement import warp

surfa = tool("surfa", "surfa")
THREE_DIMENSIONS = [name for name in GEOMETRIES if name != "2D"]
EQUAL = 1e-3


@pytest.fixture(autouse=True)
def old_fromstring(monkeypatch):
    """surfa 0.6.3 reads MGZ with the binary mode of `numpy.fromstring`, which newer numpy has no more."""
    monkeypatch.setattr(np, "fromstring", lambda data, dtype=float: np.frombuffer(data, dtype=dtype).copy())


@pytest.fixture(params=THREE_DIMENSIONS)
def scene(request, tmp_path):
    """(fixed grid, moving grid, moving image, surfa's fixed and moving volume, folder)."""
    fixed, moving = GEOMETRIES[request.param]
    image = texture(moving, shift=3.0)
    sitk.WriteImage(texture(fixed), str(tmp_path / "fixed.nii.gz"))
    sitk.WriteImage(image, str(tmp_path / "moving.nii.gz"))
    volumes = [surfa.load_volume(str(tmp_path / f"{name}.nii.gz")) for name in ("fixed", "moving")]
    return fixed, moving, image, *volumes, tmp_path


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def surfa_array(volume) -> np.ndarray:
    return np.asarray(volume.data).squeeze().T


@pytest.mark.parametrize("suffix", [".mgz", ".nii.gz"])
def test_surfa_warps_with_the_files_we_write(scene, suffix):
    fixed, moving, image, _, volume, folder = scene
    displacement = smooth_field(fixed)
    exchange.write(displacement, folder / f"warp{suffix}", "freesurfer", moving=moving)
    loaded = surfa.load_warp(str(folder / f"warp{suffix}"))
    if loaded.source is None:  # A NIfTI without FreeSurfer's own header extension does not name the moving image.
        loaded.source = volume.geom
    theirs = surfa_array(loaded.transform(volume))
    assert worst(array(warp(image, displacement)), theirs, inside(displacement, moving)) < EQUAL


@pytest.mark.parametrize("suffix", [".mgz", ".nii.gz"])
@pytest.mark.parametrize("content", ["abs_crs", "disp_crs", "abs_ras", "disp_ras"])
def test_every_content_of_a_warp_is_the_same_displacement(scene, content, suffix):
    fixed, _, _, target, source, folder = scene
    displacement = smooth_field(fixed)
    vectors = lps_to_ras(array(displacement)).transpose(2, 1, 0, 3)
    stored = surfa.Warp(vectors, source=source, target=target, format=surfa.Warp.Format.disp_ras)
    stored.convert(getattr(surfa.Warp.Format, content)).save(str(folder / f"warp{suffix}"))
    convention = None if suffix == ".mgz" else "freesurfer"
    again = exchange.read(folder / f"warp{suffix}", convention, fixed)
    np.testing.assert_allclose(array(again), array(displacement), atol=1e-4)


@pytest.mark.parametrize("suffix", [".mgz", ".nii.gz"])
def test_the_plain_displacement_image_of_older_mri_synthmorph_is_read(scene, suffix):
    fixed, _, _, target, _, folder = scene
    displacement = smooth_field(fixed)
    target.new(lps_to_ras(array(displacement)).transpose(2, 1, 0, 3)).save(str(folder / f"trans{suffix}"))
    again = exchange.read(folder / f"trans{suffix}", "freesurfer", fixed)
    np.testing.assert_allclose(array(again), array(displacement), atol=1e-4)


def test_an_lta_warps_as_surfa_does_from_voxels_and_from_ras(scene):
    fixed, moving, image, _, volume, folder = scene
    displacement = exchange.read(some_affine(3), reference=fixed)
    exchange.write(displacement, folder / "ours.lta", "freesurfer", moving=moving)
    loaded = surfa.load_affine(str(folder / "ours.lta"))
    theirs = surfa_array(volume.transform(loaded))
    assert worst(array(warp(image, displacement)), theirs, inside(displacement, moving)) < EQUAL
    for space in ("vox", "world"):
        loaded.convert(space=space).save(str(folder / f"{space}.lta"))
        again = exchange.read(folder / f"{space}.lta", reference=fixed)
        np.testing.assert_allclose(array(again), array(displacement), atol=1e-4)
        with pytest.raises(InputError, match="lta_convert --invert"):
            exchange.read(folder / f"{space}.lta", reference=moving)
