"""Affines and displacements: the field of an affine, and the affine that a field is. Fixed to moving points, LPS mm."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.affine import apply_affine, check_affine, homogeneous
from ..space.displacement import SPARSE, best_affine, correspondences, from_array
from ..space.grid import Grid
from .context import ImageLike, grid_of

#: mm; float32 vectors of some hundred millimetres are exact to about 1e-5.
_AFFINE_TOLERANCE = 1e-3


def affine_to_displacement(
    matrix: np.ndarray, translation: np.ndarray, center: np.ndarray | None, reference: ImageLike
) -> sitk.Image:
    """The canonical displacement of an affine at the voxels of the reference (fixed) image.

    `x -> matrix (x - center) + center + translation` in LPS mm, which is how ITK and ANTs keep an affine: in a
    GenericAffine.mat the first d*d parameters are the matrix row by row, the last d the translation, and the *fixed*
    parameters the center of rotation. Works in 2D and 3D.
    Raises InputError when the shapes do not agree or the matrix is singular.
    """
    grid = grid_of(reference)
    affine = homogeneous(matrix, translation, center)
    if affine.shape[0] != grid.dimension + 1:
        raise InputError(
            f"affine: it is {affine.shape[0] - 1}D and the reference is {grid.dimension}D; give images of its dimension"
        )
    points = grid.points()
    return from_array(points @ (affine[:-1, :-1] - np.eye(grid.dimension)).T + affine[:-1, -1], grid)


def affine_of(displacement: sitk.Image) -> tuple[np.ndarray, float]:
    """The least-squares affine of a displacement as a homogeneous matrix, and the largest distance from it in mm.

    Raises InputError when the grid is too thin (one voxel along an axis) to determine an affine.
    """
    grid = Grid.of(displacement)
    if min(grid.size) < 2:
        raise InputError(
            f"displacement: a grid of size {grid.size} does not determine an affine; use an image with more slices"
        )
    matrix = check_affine(best_affine(displacement), "affine")
    return matrix, _farthest(matrix, *correspondences(displacement))


def is_affine(displacement: sitk.Image) -> bool:
    """Whether the displacement is an affine other than no motion at all (to 1e-3 mm)."""
    if min(displacement.GetSize()) < 3 or not np.any(sitk.GetArrayViewFromImage(displacement)):
        return False
    try:
        # A field that bends shows it on some thousand voxels already.
        matrix = check_affine(best_affine(displacement), "affine")
        bends = _farthest(matrix, *correspondences(displacement, SPARSE)) >= _AFFINE_TOLERANCE
        return not bends and affine_of(displacement)[1] < _AFFINE_TOLERANCE
    except InputError:
        return False


def _farthest(matrix: np.ndarray, points: np.ndarray, moved: np.ndarray) -> float:
    return float(np.abs(apply_affine(matrix, points) - moved).max())


def exact_affine(displacement: sitk.Image, path: object) -> np.ndarray:
    """The homogeneous matrix of a displacement to be written as an affine file; raises InputError when it is none."""
    matrix, residual = affine_of(displacement)
    if residual > _AFFINE_TOLERANCE:
        raise InputError(
            f"{path}: the displacement bends up to {residual:.3g} mm away from any affine, and this file type holds "
            "only an affine; write an image instead, such as .nii.gz"
        )
    return matrix
