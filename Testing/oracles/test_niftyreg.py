"""Fields and affines of NiftyReg warp the same image as reg_resample.

NiftyReg cannot be installed from PyPI or Debian, so what it made is committed in `niftyreg_files/`
(`make_niftyreg_files.py` says how). What it makes of OUR files is tested where its programs are on the PATH.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.exchange_scenes import inside, smooth_field, some_affine, worst
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.space.affine import lps_to_ras
from VoxelMorphRegistrationLib.space.displacement import warp
from VoxelMorphRegistrationLib.space.grid import Grid

FILES = Path(__file__).with_name("niftyreg_files")
GEOMETRIES = ("oblique", "left-handed", "2D")
EQUAL = 1e-3


def image(name: str, which: str) -> sitk.Image:
    return sitk.ReadImage(str(FILES / name / f"{which}.nii.gz"))


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize(
    ("transform", "result"),
    [("affine.txt", "affine"), ("deformation.nii.gz", "deformation"), ("displacement.nii.gz", "deformation")],
)
def test_what_niftyreg_made_warps_as_reg_resample_does(name, transform, result):
    fixed, moving = image(name, "fixed"), image(name, "moving")
    convention = "niftyreg" if transform.endswith(".txt") else None
    displacement = exchange.read(FILES / name / transform, convention, fixed)
    theirs = np.squeeze(sitk.GetArrayFromImage(image(name, f"warped_by_{result}")))
    where = inside(displacement, Grid.of(moving))
    assert np.abs(sitk.GetArrayViewFromImage(displacement)).max() > 2
    assert worst(sitk.GetArrayFromImage(warp(moving, displacement)), theirs, where) < EQUAL


@pytest.mark.parametrize("name", GEOMETRIES[:2])
def test_landmarks_go_where_reg_transform_takes_them(name):
    points, theirs = (np.loadtxt(FILES / name / f"{which}.txt") for which in ("points", "points_moved"))
    mapping = exchange.read_mapping(FILES / name / "affine.txt", "niftyreg", image(name, "fixed"))
    ours = lps_to_ras(exchange.points_to_moving(mapping, lps_to_ras(points)))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_control_point_grid_is_refused_with_the_command_that_turns_it_into_a_field():
    with pytest.raises(InputError, match="reg_transform -ref REFERENCE -def"):
        exchange.read(FILES / "oblique" / "control_points.nii.gz", reference=image("oblique", "fixed"))


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("kind", ["field.nii.gz", "affine.txt"])
def test_reg_resample_warps_with_the_files_we_write(name, kind, tmp_path):
    if shutil.which("reg_resample") is None:
        pytest.skip("NiftyReg's reg_resample is not on the PATH")
    fixed, moving = image(name, "fixed"), image(name, "moving")
    grid = Grid.of(fixed)
    displacement = smooth_field(grid) if "field" in kind else exchange.read(some_affine(grid.dimension), reference=grid)
    exchange.write(displacement, tmp_path / kind, "niftyreg")
    images = ["-ref", FILES / name / "fixed.nii.gz", "-flo", FILES / name / "moving.nii.gz"]
    command = ["reg_resample", *images, "-trans", tmp_path / kind, "-res", tmp_path / "result.nii.gz", "-inter", 1]
    subprocess.run([*map(str, command), "-pad", "0"], check=True, capture_output=True)
    theirs = np.squeeze(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "result.nii.gz"))))
    where = inside(displacement, Grid.of(moving))
    assert worst(sitk.GetArrayFromImage(warp(moving, displacement)), theirs, where) < EQUAL
