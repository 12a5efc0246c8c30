"""Points, matrices and VTK transforms between Slicer (RAS) and the library (LPS)."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..space.affine import lps_to_ras

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def matrix_from_vtk(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """(4, 4) copy of a vtkMatrix4x4."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrix_to_vtk(array: np.ndarray) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, dtype=float).ravel().tolist())
    return matrix


def flip_lps_ras(matrix: np.ndarray) -> np.ndarray:
    """A matrix whose result is in LPS made one whose result is in RAS, or back: the first two rows change sign."""
    return _FLIP @ matrix


def sheared(axes: np.ndarray, tolerance: float = 1e-4) -> bool:
    """Whether the columns of a (3, 3) matrix are not perpendicular, so that no image direction can express them."""
    unit = axes / np.linalg.norm(axes, axis=0)
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() > tolerance)


def nearest_rotation(axes: np.ndarray) -> np.ndarray:
    """The orthonormal (3, 3) matrix, reflection kept, nearest to the unit columns of `axes` (orthogonal Procrustes)."""
    left, _, right = np.linalg.svd(axes / np.linalg.norm(axes, axis=0))
    return left @ right


def transform_between(
    node_from: slicer.vtkMRMLNode | None, node_to: slicer.vtkMRMLNode | None
) -> vtk.vtkGeneralTransform:
    """RAS points of one transform node's coordinates (None: world) to those of another's."""
    general = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node_from, node_to, general)
    return general


def linear_matrix(transform: vtk.vtkGeneralTransform) -> np.ndarray | None:
    """(4, 4) RAS to RAS of a transform, or None when it is not linear."""
    linear = vtk.vtkTransform()
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(transform, linear):
        return None
    return matrix_from_vtk(linear.GetMatrix())


def apply_to_lps(transform: vtk.vtkAbstractTransform, points: np.ndarray) -> np.ndarray:
    """LPS points (..., 3) through a VTK transform that maps RAS to RAS; the result is LPS again."""
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    source.SetDataTypeToDouble()
    target.SetDataTypeToDouble()
    flat = np.ascontiguousarray(lps_to_ras(np.asarray(points, dtype=float)).reshape(-1, 3))
    source.SetData(numpy_to_vtk(flat))
    transform.TransformPoints(source, target)
    return lps_to_ras(vtk_to_numpy(target.GetData())).reshape(np.shape(points))
