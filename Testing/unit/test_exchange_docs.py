"""Every `convert` command that Docs/exchange.md shows runs on files like those it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.exchange_scenes import GEOMETRIES, grid, smooth_field, some_affine, texture
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.cli.main import main

_PAGE = Path(__file__).resolve().parents[2] / "Docs" / "exchange.md"
_TEXT = _PAGE.read_text(encoding="utf-8")
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
    vectors = sitk.GetArrayFromImage(field)
    along_ijk = np.ascontiguousarray(np.moveaxis(vectors, range(3), range(2, -1, -1)))
    nibabel.save(nibabel.Nifti1Image(along_ijk, fixed.ras_matrix()), "plain.nii.gz")
    np.savez("disp_0001_0002.npz", np.zeros((3, *(n // 2 for n in fixed.size)), np.float16))
    np.save("padded.npy", np.zeros((1, 3, *(-(-n // 16) * 16 for n in fixed.shape)), np.float32))
    one = "Transform: TranslationTransform_double_3_3\nParameters: 1 2 3\nFixedParameters:\n"
    Path("list.tfm").write_text("#Insight Transform File V1.0\n" + 2 * one)
    straight = exchange.read(affine, reference=fixed)
    for name, convention in (
        ("TransformParameters.1.txt", "elastix"),
        ("affine.txt", "niftyreg"),
        ("register.lta", "freesurfer"),
    ):
        exchange.write(straight, name, convention)
    Path("landmarks.csv").write_text("label,l,p,s\nfirst,10,-20,30\n")


def test_the_page_writes_every_convention():
    written = {word for command in COMMANDS for word in re.findall(r"--to (\w+)", command)}
    assert written == set(exchange.CONVENTIONS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_runs(command, files):
    assert main(shlex.split(command)) == 0


def test_the_pages_python_runs(files):
    pytest.importorskip("ants", reason="antspyx is not installed")
    blocks = re.findall(r"^```python\n(.*?)^```", _TEXT, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        if not re.search(r"\blogic\b", block):
            exec(block, names)
    assert tuple(names["theta"].shape) == (1, 3, 4)
    assert names["u"].GetSize() == names["displacement"].GetSize()
