"""What the data node of a frame holds, as a short text that is another when a voxel is."""

from __future__ import annotations

import hashlib

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy

_LABELMAP = "Binary labelmap"
_MOST_KNOWN = 50_000
#: Of what was looked at in this process, by `_stamp`.
_known: dict[tuple[object, ...] | None, str] = {}


def digest(node: slicer.vtkMRMLNode) -> str | None:
    """Of the labelled voxels of a segmentation, however its layers are laid out, of a volume, of where the control
    points of markups are, or of a model's mesh; else None.
    """
    stamp = _stamp(node)
    if stamp is None:
        return None
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[stamp] = _computed(node)
    return _known[stamp]


def digest_by_time(node: slicer.vtkMRMLNode) -> str | None:
    """`digest`, without looking at the voxels again unless VTK was told since that they were changed, as every module
    of Slicer does. A script that writes into an array has to call `arrayFromSegmentModified` or its like.
    """
    known = _known.get(_stamp(node))
    return digest(node) if known is None else known


def is_known(node: slicer.vtkMRMLNode) -> bool:
    """Whether `digest_by_time` has nothing to look at."""
    return _stamp(node) in _known


def _stamp(node: slicer.vtkMRMLNode) -> tuple[object, ...] | None:
    """What is another whenever the contents of any node are: VTK gives each time of a change once in a process."""
    if node.IsA("vtkMRMLSegmentationNode"):
        held, parts = node.GetSegmentation(), []
        for identifier in sorted(held.GetSegmentIDs()):
            segment = held.GetSegment(identifier)
            image = segment.GetRepresentation(_LABELMAP)
            time = None if image is None else image.GetMTime()
            parts.append((identifier, segment.GetLabelValue(), segment.GetMTime(), time))
        return tuple(parts)
    if node.IsA("vtkMRMLMarkupsNode"):
        # A control point that is moved leaves the node's own time as it is.
        return ("points", node.GetNumberOfDefinedControlPoints(), _positions(node))
    if node.IsA("vtkMRMLModelNode"):
        return None if node.GetPolyData() is None else (node.GetPolyData().GetMTime(),)
    image = node.GetImageData() if node.IsA("vtkMRMLVolumeNode") else None
    return None if image is None else (image.GetMTime(),)


def _positions(node: slicer.vtkMRMLMarkupsNode) -> bytes:
    """Of all control points, to a thousandth of a millimetre: a saved scene holds no more."""
    points = vtk.vtkPoints()
    points.SetDataTypeToDouble()
    node.GetControlPointPositionsWorld(points)
    return (np.round(vtk_to_numpy(points.GetData()), 3) + 0.0).tobytes() if points.GetNumberOfPoints() else b""


def _computed(node: slicer.vtkMRMLNode) -> str:
    found = hashlib.blake2b(digest_size=12)
    if node.IsA("vtkMRMLSegmentationNode"):
        held = node.GetSegmentation()
        for identifier in sorted(held.GetSegmentIDs()):
            found.update(identifier.encode())
            _add_segment(found, held.GetSegment(identifier))
    elif node.IsA("vtkMRMLMarkupsNode"):
        found.update(str(node.GetNumberOfDefinedControlPoints()).encode() + _positions(node))
    elif node.IsA("vtkMRMLModelNode"):
        mesh = node.GetPolyData()
        if mesh.GetNumberOfPoints():
            vertices = vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float64)
            found.update((np.round(vertices, 3) + 0.0).tobytes())
        found.update(str(mesh.GetNumberOfCells()).encode())
    else:
        found.update(np.ascontiguousarray(slicer.util.arrayFromVolume(node)).data)
    return found.hexdigest()


def _add_segment(found: hashlib.blake2b, segment: slicer.vtkSegment) -> None:
    image = segment.GetRepresentation(_LABELMAP)
    if image is None or image.IsEmpty():
        return
    inside = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    inside = inside == segment.GetLabelValue()
    starts = image.GetExtent()[4::-2]
    box = []
    for axis, start in enumerate(starts):
        taken = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        if not taken.size:
            return
        box.append((int(taken[0]), int(taken[-1]) + 1, start))
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    place = [round(matrix.GetElement(row, column), 4) + 0.0 for row in range(3) for column in range(4)]
    found.update(repr(([start + first for first, _, start in box], place)).encode())
    found.update(np.packbits(inside[tuple(slice(first, last) for first, last, _ in box)]).tobytes())
