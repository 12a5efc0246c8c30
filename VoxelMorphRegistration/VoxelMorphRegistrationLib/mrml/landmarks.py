"""Markups and model nodes to the library's points and surfaces (LPS), and new nodes of the same kind back (RAS)."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from ..annotations.points import MOVABLE_MARKUPS, PLACED, Points
from ..annotations.surface import Surface
from ..errors import InputError
from ..space.affine import lps_to_ras
from .geometry import apply_to_lps, transform_between
from .volumes import describe


def points_from_markups(node: slicer.vtkMRMLMarkupsNode, below: slicer.vtkMRMLTransformNode | None = None) -> Points:
    """The placed control points of a point list, line, curve or angle, LPS mm of the world (or of the coordinates below
    a transform node).

    Raises InputError when none is placed, and for planes and regions of interest: moving their control points does not
    move what else they are made of.
    """
    if node.GetMarkupType() not in MOVABLE_MARKUPS:
        raise InputError(
            f"{describe(node)}: a markup of type {node.GetMarkupType()} is not moved point by point; "
            "choose a point list, line or curve"
        )
    placed = _placed(node)
    if not placed:
        raise InputError(f"{describe(node)}: no control point is placed; place at least one")
    positions = np.array([node.GetNthControlPointPosition(number) for number in placed], dtype=float)
    positions = apply_to_lps(transform_between(node.GetParentTransformNode(), below), lps_to_ras(positions))
    control_points = [
        {
            "id": node.GetNthControlPointID(number),
            "label": node.GetNthControlPointLabel(number),
            "description": node.GetNthControlPointDescription(number),
            "position": position,
            "positionStatus": "defined",
        }
        for number, position in zip(placed, positions.tolist())
    ]
    markup = {"type": node.GetMarkupType(), "coordinateSystem": "LPS", "controlPoints": control_points}
    return Points(positions, {"markups": [markup]})


def markups_at(node: slicer.vtkMRMLMarkupsNode, points: Points) -> slicer.vtkMRMLMarkupsNode:
    """A copy of a markups node, in no scene, with its placed control points at other positions; the rest is kept."""
    copy = _copy(node)
    for number, position in zip(_placed(node), lps_to_ras(points.positions)):
        copy.SetNthControlPointPosition(number, *position, copy.GetNthControlPointPositionStatus(number))
    return copy


def markups_missing(node: slicer.vtkMRMLMarkupsNode) -> slicer.vtkMRMLMarkupsNode:
    """A copy of a markups node, in no scene, whose placed control points are marked as not to be seen in this image."""
    copy = _copy(node)
    for number in _placed(node):
        copy.SetNthControlPointPositionMissing(number)
    return copy


def model_without_mesh(node: slicer.vtkMRMLModelNode) -> slicer.vtkMRMLModelNode:
    """A model node of the same name, in no scene, with nothing in it."""
    return _model(node, vtk.vtkPolyData())


def surface_from_model(node: slicer.vtkMRMLModelNode, below: slicer.vtkMRMLTransformNode | None = None) -> Surface:
    """The mesh of a model node, LPS mm of the world (or below a transform node). Raises InputError when it has no
    points.
    """
    mesh = node.GetPolyData()
    if mesh is None or mesh.GetNumberOfPoints() == 0:
        raise InputError(f"{describe(node)}: has no surface mesh; choose another model")
    to_frame = transform_between(node.GetParentTransformNode(), below)
    return Surface(_moved(mesh, to_frame, _flip()))


def model_at(node: slicer.vtkMRMLModelNode, surface: Surface) -> slicer.vtkMRMLModelNode:
    """A new model node, in no scene, with a surface (LPS) as its mesh."""
    return _model(node, _moved(surface.mesh, _flip()))


def _model(node: slicer.vtkMRMLModelNode, mesh: vtk.vtkPolyData) -> slicer.vtkMRMLModelNode:
    made = slicer.vtkMRMLModelNode()
    made.SetName(node.GetName())
    made.SetAndObservePolyData(mesh)
    return made


def _copy(node: slicer.vtkMRMLMarkupsNode) -> slicer.vtkMRMLMarkupsNode:
    copy = node.CreateNodeInstance()
    copy.UnRegister(None)
    copy.CopyContent(node)
    copy.SetName(node.GetName())
    return copy


def _placed(node: slicer.vtkMRMLMarkupsNode) -> list[int]:
    return [
        number
        for number in range(node.GetNumberOfControlPoints())
        if node.GetPositionStatusAsString(node.GetNthControlPointPositionStatus(number)) in PLACED
    ]


def _flip() -> vtk.vtkTransform:
    flip = vtk.vtkTransform()
    flip.Scale(-1, -1, 1)
    return flip


def _moved(mesh: vtk.vtkPolyData, *transforms: vtk.vtkAbstractTransform) -> vtk.vtkPolyData:
    chain = vtk.vtkGeneralTransform()
    chain.PostMultiply()
    for transform in transforms:
        chain.Concatenate(transform)
    # The filter turns normals and vectors along with the points.
    move = vtk.vtkTransformPolyDataFilter()
    move.SetOutputPointsPrecision(vtk.vtkAlgorithm.DOUBLE_PRECISION)
    move.SetTransform(chain)
    move.SetInputData(mesh)
    move.Update()
    return move.GetOutput()
