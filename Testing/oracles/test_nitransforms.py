"""FreeSurfer's .lta as nitransforms (NiPreps) reads and writes it: a second reader beside surfa."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.exchange_scenes import GEOMETRIES, some_affine, texture
from Testing.support.oracle_tools import tool
from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.space.affine import lps_to_ras
from VoxelMorphRegistrationLib.space.displacement import from_transform

linear = tool("nitransforms.linear", "nitransforms")
MM = 1e-3
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(params=[name for name in GEOMETRIES if name != "2D"])
def scene(request, tmp_path):
    """(fixed grid, moving grid, folder with fixed.nii.gz and moving.nii.gz)."""
    fixed, moving = GEOMETRIES[request.param]
    sitk.WriteImage(texture(fixed), str(tmp_path / "fixed.nii.gz"))
    sitk.WriteImage(texture(moving), str(tmp_path / "moving.nii.gz"))
    return fixed, moving, tmp_path


def test_nitransforms_maps_points_with_our_lta_as_the_affine_does(scene):
    fixed, moving, folder = scene
    affine = some_affine(3)
    exchange.write(from_transform(affine, fixed), folder / "a.lta", "freesurfer", moving=moving)
    theirs = linear.load(str(folder / "a.lta"), fmt="fs", reference=str(folder / "fixed.nii.gz"))
    points = fixed.lattice(4)
    expected = np.array([affine.TransformPoint(point) for point in points.tolist()])
    np.testing.assert_allclose(lps_to_ras(theirs.map(lps_to_ras(points))), expected, atol=MM)


def of_nitransforms(affine: sitk.AffineTransform, folder: Path, **geometry) -> linear.Affine:
    """The affine as nitransforms has it (RAS), written to a.lta."""
    lps = np.eye(4)
    lps[:3, 3] = affine.TransformPoint((0.0, 0.0, 0.0))
    lps[:3, :3] = np.reshape(affine.GetMatrix(), (3, 3))
    theirs = linear.Affine(FLIP @ lps @ FLIP, reference=nibabel.load(folder / "fixed.nii.gz"))
    theirs.to_filename(str(folder / "a.lta"), fmt="fs", **geometry)
    return theirs


def test_the_lta_of_nitransforms_moves_points_here_as_it_does_there(scene):
    fixed, _, folder = scene
    theirs = of_nitransforms(some_affine(3), folder)
    mapping = exchange.read_mapping(folder / "a.lta", "freesurfer", folder / "fixed.nii.gz")
    points = fixed.lattice(4)
    expected = lps_to_ras(theirs.map(lps_to_ras(points)))
    np.testing.assert_allclose(exchange.points_to_moving(mapping, points), expected, atol=MM)


def test_an_lta_whose_geometries_contradict_its_matrix_is_refused(scene):
    # nitransforms 25.1 names the fixed image as the source of a matrix that leads from the moving image to the fixed.
    _, _, folder = scene
    of_nitransforms(some_affine(3), folder, moving=nibabel.load(folder / "moving.nii.gz"))
    with pytest.raises(InputError, match="takes the reference image to another one"):
        exchange.read_mapping(folder / "a.lta", "freesurfer", folder / "fixed.nii.gz")
