"""Every `convert` command that the README shows runs on files like those it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import SimpleITK as sitk

from Testing.support.exchange_scenes import GEOMETRIES, grid, smooth_field, some_affine, texture
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.cli.main import main

_TESTING = Path(__file__).resolve().parents[1]

_README = _TESTING.parent / "README.md"
_TEXT = _README.read_text(encoding="utf-8") if _README.is_file() else ""
COMMANDS = re.findall(r"`slicer-voxelmorph (convert [^`]*--output [^`]*)`", _TEXT)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder, made the current one, with a file of every name that the commands read."""
    monkeypatch.chdir(tmp_path)
    fixed, moving = GEOMETRIES["oblique anisotropic"]
    sitk.WriteImage(texture(fixed), "fixed.nii.gz")
    sitk.WriteImage(texture(moving), "moving.nii.gz")
    field, affine = smooth_field(fixed), some_affine(3)
    large = smooth_field(grid((26, 28, 22), (6.0, 6.0, 6.0), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]))
    sitk.WriteTransform(affine, "0GenericAffine.mat")
    sitk.WriteTransform(sitk.CompositeTransform([affine]), "composite.h5")
    exchange.write(large, "1InverseWarp.nii.gz", "ants")
    for name, convention in (
        ("1Warp.nii.gz", "ants"),
        ("deformationField.nii.gz", "elastix"),
        ("deformation.nii.gz", "niftyreg"),
        ("warp.mgz", "freesurfer"),
        ("warp.nii.gz", "voxelmorph"),
        ("flow.npz", "voxelmorph"),
        ("ddf.npy", "monai"),
        ("node.h5", "slicer"),
        ("transform.nrrd", "slicer"),
    ):
        exchange.write(field, name, convention)
    exchange.write(field, "grid.pt", "torch", moving=moving, align_corners=False)
    straight = exchange.read(affine, reference=fixed)
    for name, convention in (
        ("TransformParameters.1.txt", "elastix"),
        ("affine.txt", "niftyreg"),
        ("register.lta", "freesurfer"),
    ):
        exchange.write(straight, name, convention)
    Path("landmarks.csv").write_text("label,l,p,s\nfirst,10,-20,30\n")


@pytest.mark.parametrize(
    "command", COMMANDS or [pytest.param("", marks=pytest.mark.skip(reason="the README shows none"))]
)
def test_a_command_of_the_readme_runs(command, files):
    assert main(shlex.split(command)) == 0
