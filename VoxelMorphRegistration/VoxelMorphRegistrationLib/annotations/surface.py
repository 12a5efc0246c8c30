"""A triangle surface drawn on an image, whatever file or node it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DependencyMissing

if TYPE_CHECKING:
    import vtk


@dataclass(frozen=True)
class Surface:
    """A mesh of vertices in LPS mm; `mesh` is a vtkPolyData with its cells, colours and other arrays."""

    mesh: vtk.vtkPolyData

    @property
    def points(self) -> np.ndarray:
        """Vertices, float64 (n, 3), LPS mm."""
        from vtk.util.numpy_support import vtk_to_numpy

        return np.array(vtk_to_numpy(self.mesh.GetPoints().GetData()), dtype=float)

    def at(self, points: np.ndarray) -> Surface:
        """The same mesh with its vertices elsewhere (n, 3), LPS mm; normals it had are computed anew."""
        vtk = require_vtk()
        from vtk.util.numpy_support import numpy_to_vtk

        old = self.mesh.GetPoints()
        dtype = np.float64 if old.GetDataType() == vtk.VTK_DOUBLE else np.float32
        placed = vtk.vtkPoints()
        placed.SetData(numpy_to_vtk(np.ascontiguousarray(points, dtype=dtype), deep=True))
        mesh = vtk.vtkPolyData()
        mesh.ShallowCopy(self.mesh)
        mesh.SetPoints(placed)
        at_points = mesh.GetPointData().GetNormals() is not None
        at_cells = mesh.GetCellData().GetNormals() is not None
        if not at_points and not at_cells:
            return Surface(mesh)
        # vtkPolyDataNormals passes on the normals it finds instead of computing them.
        mesh.GetPointData().SetNormals(None)
        mesh.GetCellData().SetNormals(None)
        normals = vtk.vtkPolyDataNormals()
        normals.SetInputData(mesh)
        normals.SplittingOff()
        normals.ConsistencyOff()
        normals.SetComputePointNormals(at_points)
        normals.SetComputeCellNormals(at_cells)
        normals.Update()
        return Surface(normals.GetOutput())


def require_vtk() -> Any:
    try:
        import vtk
    except ImportError as error:
        raise DependencyMissing(
            "surfaces need the package vtk, which is not installed; run: pip install vtk"
        ) from error
    return vtk
