"""Surface meshes, in LPS whatever the file was in.

Files of Slicer say `SPACE=LPS` or `SPACE=RAS`: in a field array of a .vtp, in the header line of .vtk and .stl, in a
comment of .ply and .obj. Without it a file is LPS, as in Slicer 5.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..annotations.surface import Surface, require_vtk
from ..errors import InputError
from ..space.affine import lps_to_ras
from .atomic import atomic_write
from .detached import check_readable
from .guarded import check_surface
from .mesh_checks import check_ply, check_stl

if TYPE_CHECKING:
    import vtk

_READERS = {
    ".vtp": "vtkXMLPolyDataReader",
    ".stl": "vtkSTLReader",
    ".obj": "vtkOBJReader",
    ".ply": "vtkPLYReader",
    ".vtk": "vtkPolyDataReader",
}
_CHECKS = {".stl": check_stl, ".ply": check_ply}
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
    check_readable(path)
    vtk = require_vtk()
    if kind in _CHECKS:
        _CHECKS[kind](path)
    check_surface(path, _READERS[kind])
    reader = getattr(vtk, _READERS[kind])()
    reader.SetFileName(str(path))
    complaints = _heard(reader)
    reader.Update()
    mesh = reader.GetOutput()
    if complaints or reader.GetErrorCode() or mesh is None or mesh.GetNumberOfPoints() == 0:
        raise InputError(f"{path}: holds no surface that can be read; save or copy it again")
    if kind in (".vtk", ".obj") and mesh.GetNumberOfCells() == 0:
        raise InputError(f"{path}: holds points that nothing joins, so it may be cut short; save or copy it again")
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
    # Writing notes ranges in the arrays it is given; frames that shared them would differ by the order of writing.
    mesh.DeepCopy(surface.mesh)
    fields = mesh.GetFieldData()
    marker = vtk.vtkStringArray()
    marker.SetName(_SPACE_FIELD)
    marker.InsertNextValue("LPS")
    fields.AddArray(marker)
    writer = vtk.vtkXMLPolyDataWriter()
    writer.SetInputData(mesh)
    writer.SetDataModeToAppended()
    writer.SetCompressorTypeToZLib()
    with atomic_write(path) as partial:
        writer.SetFileName(str(partial))
        complaints = _heard(writer)
        if not writer.Write() or complaints or writer.GetErrorCode():
            raise OSError("VTK could not write it")


def _space(reader: Any, kind: str, mesh: vtk.vtkPolyData) -> str:
    """'LPS' or 'RAS', from where each format can say so."""
    if kind == ".vtp":
        field = mesh.GetFieldData().GetAbstractArray(_SPACE_FIELD)
        told = [field.GetValue(0)] if field is not None and field.GetNumberOfValues() else []
        return "RAS" if any("RAS" in _text(one) for one in told) else "LPS"
    if kind == ".ply":
        comments = reader.GetComments()
        told = [comments.GetValue(number) for number in range(comments.GetNumberOfValues())]
    else:
        told = [(reader.GetComment() if kind == ".obj" else reader.GetHeader()) or ""]
    return "RAS" if any(f"{_SPACE_FIELD}=RAS" in _text(one) for one in told) else "LPS"


def _text(told: str | bytes) -> str:
    """VTK hands out bytes where a remark is not UTF-8."""
    return told.decode("latin-1") if isinstance(told, bytes) else told


def _heard(filter: vtk.vtkAlgorithm) -> list[str]:
    """A list that fills with the errors of a reader or writer while it works.

    VTK prints an error that nobody observes, where a person expects one line that matters. Its switch for all messages
    belongs to the application.
    """
    complaints: list[str] = []

    def hear(_object: object, _event: str, message: str) -> None:
        complaints.append(message)

    hear.CallDataType = require_vtk().VTK_STRING  # type: ignore[attr-defined]
    for source in (filter, filter.GetExecutive()):
        source.AddObserver("ErrorEvent", hear)
        source.AddObserver("WarningEvent", lambda *_: None)
    if hasattr(filter, "SetParserErrorObserver"):
        # The parser is made while reading and takes a command that listens; its failure is one of the reader's too.
        filter.SetParserErrorObserver(require_vtk().vtkEventForwarderCommand())
    return complaints
