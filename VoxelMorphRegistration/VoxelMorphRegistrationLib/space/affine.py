"""Affine maps as homogeneous matrices: of ITK transforms, between LPS and RAS, applied to points, fitted to points.

A homogeneous matrix is (d+1, d+1), float64, d = 2 or 3, and maps the point x to `M[:d, :d] @ x + M[:d, d]`.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..errors import InputError

_LARGEST_CONDITION = 1e8


def lps_to_ras(vectors: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Points or displacements (..., d) from LPS to RAS mm, or back: both first components change sign.

    `out`: an array of the same shape that is filled and returned, where another copy would be large.
    """
    vectors = np.asarray(vectors)
    signs = np.ones(vectors.shape[-1], vectors.dtype)
    signs[:2] = -1
    return np.multiply(vectors, signs, out=out)


def flip_ras_lps(matrix: np.ndarray) -> np.ndarray:
    """The homogeneous matrix of a map between RAS points as one between LPS points, or back."""
    flip = np.diag([-1.0, -1.0, 1.0, 1.0][: matrix.shape[0] - 1] + [1.0])
    return flip @ matrix @ flip


def array_order(matrix: np.ndarray) -> np.ndarray:
    """The homogeneous matrix between indices (i, j, k) as one between array indices (k, j, i), or back."""
    turned = np.array(matrix, dtype=float)
    turned[:-1, :-1], turned[:-1, -1] = turned[:-1, :-1][::-1, ::-1].copy(), turned[:-1, -1][::-1].copy()
    return turned


def homogeneous(matrix: np.ndarray, translation: np.ndarray, center: np.ndarray | None = None) -> np.ndarray:
    """(d+1, d+1) matrix of `x -> matrix (x - center) + center + translation`, ITK's MatrixOffsetTransformBase.

    Raises InputError when the shapes do not agree, a value is not finite, or the matrix has no inverse.
    """
    translation = np.asarray(translation, dtype=float).ravel()
    dimension = translation.size
    center = np.zeros(dimension) if center is None else np.asarray(center, dtype=float).ravel()
    matrix = np.asarray(matrix, dtype=float)
    if matrix.size != dimension**2 or center.size != dimension or dimension not in (2, 3):
        raise InputError(
            f"affine: a matrix of shape {matrix.shape}, a translation of {dimension} and a center of {center.size} "
            "numbers do not fit together; all must be 2D or all 3D"
        )
    matrix = matrix.reshape(dimension, dimension)
    whole = np.eye(dimension + 1)
    whole[:-1, :-1] = matrix
    whole[:-1, -1] = center + translation - matrix @ center
    return check_affine(whole, "affine")


def check_affine(matrix: np.ndarray, name: str) -> np.ndarray:
    """The homogeneous matrix itself; raises InputError when it holds non-finite values or cannot be inverted."""
    if not np.isfinite(matrix).all():
        raise InputError(f"{name}: the affine holds NaN or infinite values; export it again")
    if np.linalg.cond(matrix[:-1, :-1]) > _LARGEST_CONDITION:
        raise InputError(f"{name}: the affine is singular (it squeezes space flat) and maps no image; export it again")
    return matrix


def apply_affine(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., d) mapped by a homogeneous matrix: float64 (..., d).

    >>> apply_affine(np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0]]), [[1, 1], [0, 2]]).tolist()
    [[3.0, 3.0], [1.0, 6.0]]
    """
    return np.asarray(points, dtype=float) @ matrix[:-1, :-1].T + matrix[:-1, -1]


def itk_transform(matrix: np.ndarray) -> sitk.AffineTransform:
    """The ITK transform of a homogeneous matrix between LPS points."""
    return sitk.AffineTransform(matrix[:-1, :-1].ravel().tolist(), matrix[:-1, -1].tolist())


def linear_parts(transform: sitk.Transform) -> tuple[np.ndarray, np.ndarray] | None:
    """(M, t) of a linear ITK transform `x -> M x + t` of any class, LPS mm; None for a transform that is not linear."""
    if not transform.IsLinear():
        return None
    dimension = transform.GetDimension()
    offset = np.asarray(transform.TransformPoint((0.0,) * dimension))
    columns = [np.asarray(transform.TransformPoint(tuple(axis))) - offset for axis in np.eye(dimension)]
    return np.stack(columns, axis=1), offset


def matrix_of(transform: sitk.Transform) -> np.ndarray | None:
    """The homogeneous matrix of a linear ITK transform of any class, LPS mm; None for one that is not linear."""
    parts = linear_parts(transform)
    if parts is None:
        return None
    matrix = np.eye(transform.GetDimension() + 1)
    matrix[:-1, :-1], matrix[:-1, -1] = parts
    return matrix


def apply_transform(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """ITK's TransformPoint for LPS points (..., d); a linear transform is applied as its matrix."""
    flat = points.reshape(-1, points.shape[-1])
    parts = linear_parts(transform)
    if parts is None:
        moved = np.asarray([transform.TransformPoint(point) for point in flat.tolist()])
    else:
        moved = flat @ parts[0].T + parts[1]
    return moved.reshape(points.shape)


def fit_affine(points: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The homogeneous matrix that takes points (n, d) to `moved` (n, d) with the least sum of squared distances.

    Where the points do not determine it (all in one plane, fewer than d + 1) it is singular: see `check_affine`.

    >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> (fit_affine(corners, 2 * corners + (5.0, 0.0)).round(6) + 0.0).tolist()
    [[2.0, 0.0, 5.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]
    """
    middle = points.mean(axis=0)
    design = np.hstack([points - middle, np.ones((len(points), 1))])
    solution, *_ = np.linalg.lstsq(design, moved, rcond=None)
    linear = solution[:-1].T
    matrix = np.eye(points.shape[1] + 1)
    matrix[:-1, :-1] = linear
    matrix[:-1, -1] = middle + (solution[-1] - middle) - linear @ middle
    return matrix
