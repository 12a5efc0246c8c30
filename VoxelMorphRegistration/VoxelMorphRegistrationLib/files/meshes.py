"""Surface meshes, in LPS whatever the file was in.

Files of Slicer say `SPACE=LPS` or `SPACE=RAS`: in a field array of a .vtp, in the header line of .vtk and .stl, in a
comment of .ply and .obj. Without it a file is LPS, as in Slicer 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..annotations.surface import Surface, require_vtk
from ..errors import InputError
from ..space.affine import lps_to_ras
from .atomic import atomic_write

if TYPE_CHECKING:
    import vtk

_READERS = {
    ".vtp": "vtkXMLPolyDataReader",
    ".stl": "vtkSTLReader",
    ".obj": "vtkOBJReader",
    ".ply": "vtkPLYReader",
    ".vtk": "vtkPolyDataReader",
}
_SPACE_FIELD = "SPACE"


def read_surface(path: str | Path) -> Surface:
    """The surface of a .vtp, .stl, .obj, .ply or .vtk file.

    Raises InputError, naming the file, when it is missing, of another kind, damaged, or holds no vertices;
    DependencyMissing without vtk.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in _READERS:
        raise InputError(f"{path}: unknown kind of surface; give a {', '.join(_READERS)} file")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    reader = getattr(require_vtk(), _READERS[kind])()
    reader.SetFileName(str(path))
    with _quiet():
        reader.Update()
    mesh = reader.GetOutput()
    if reader.GetErrorCode() or mesh is None or mesh.GetNumberOfPoints() == 0:
        raise InputError(f"{path}: holds no surface that can be read; save or copy it again")
    in_ras = _space(reader, kind, mesh) == "RAS"
    mesh.GetFieldData().RemoveArray(_SPACE_FIELD)
    surface = Surface(mesh)
    if not np.all(np.isfinite(surface.points)):
        raise InputError(f"{path}: has vertices that are not finite numbers; repair the mesh")
    return surface.at(lps_to_ras(surface.points)) if in_ras else surface


def write_surface(surface: Surface, path: str | Path) -> None:
    """Write a .vtp with `SPACE=LPS`, as Slicer does, whole or not at all; InputError when it cannot be written."""
    path = Path(path)
    if path.suffix.lower() != ".vtp":
        raise InputError(f"{path}: surfaces are written as .vtp; end the name so")
    vtk = require_vtk()
    mesh = vtk.vtkPolyData()
    mesh.ShallowCopy(surface.mesh)
    # A shallow copy shares its field data with the surface, which has no marker while in memory.
    fields = vtk.vtkFieldData()
    fields.ShallowCopy(surface.mesh.GetFieldData())
    marker = vtk.vtkStringArray()
    marker.SetName(_SPACE_FIELD)
    marker.InsertNextValue("LPS")
    fields.AddArray(marker)
    mesh.SetFieldData(fields)
    writer = vtk.vtkXMLPolyDataWriter()
    writer.SetInputData(mesh)
    writer.SetDataModeToAppended()
    writer.SetCompressorTypeToZLib()
    with atomic_write(path) as partial, _quiet():
        writer.SetFileName(str(partial))
        if not writer.Write() or writer.GetErrorCode():
            raise OSError("VTK could not write it")


def _space(reader: Any, kind: str, mesh: vtk.vtkPolyData) -> str:
    """'LPS' or 'RAS', from where each format can say so."""
    if kind == ".vtp":
        field = mesh.GetFieldData().GetAbstractArray(_SPACE_FIELD)
        told = [field.GetValue(0)] if field is not None and field.GetNumberOfValues() else []
        return "RAS" if any("RAS" in text for text in told) else "LPS"
    if kind == ".ply":
        comments = reader.GetComments()
        told = [comments.GetValue(number) for number in range(comments.GetNumberOfValues())]
    else:
        told = [(reader.GetComment() if kind == ".obj" else reader.GetHeader()) or ""]
    return "RAS" if any(f"{_SPACE_FIELD}=RAS" in text for text in told) else "LPS"


@contextmanager
def _quiet() -> Iterator[None]:
    """VTK prints what goes wrong to stderr, where a person expects one line that matters."""
    vtk = require_vtk()
    before = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtk.vtkObject.SetGlobalWarningDisplay(before)
