"""Nodes of no scene from the files that a run writes of each frame."""

from __future__ import annotations

import json
from pathlib import Path

import slicer

from ..annotations.segmentation import Segmentation
from ..errors import InputError
from ..files.displacements import read_displacement
from ..files.segmentations import read_segmentation
from .segmentations import update_segmentation_node
from .transforms import update_transform

_MARKUPS = {
    "Fiducial": "Fiducial",
    "PointList": "Fiducial",
    "Line": "Line",
    "Curve": "Curve",
    "ClosedCurve": "ClosedCurve",
    "Angle": "Angle",
}


def segmentation_of(path: Path) -> Segmentation:
    """The file with all layers where segments overlap, else the label volume."""
    layered = path.with_suffix(".seg.nrrd")
    return read_segmentation(layered if layered.is_file() else path)


def segmentation_node(path: Path) -> slicer.vtkMRMLSegmentationNode:
    """A segmentation node, which Segment Editor edits, from the file of a frame's labels."""
    node = slicer.vtkMRMLSegmentationNode()
    update_segmentation_node(node, segmentation_of(path))
    return node


def transform_node(path: Path) -> slicer.vtkMRMLTransformNode:
    """A transform node from the file of a frame's displacement."""
    node = slicer.vtkMRMLTransformNode()
    update_transform(node, read_displacement(path), interpolation="linear")
    return node


def markups_node(path: Path) -> slicer.vtkMRMLMarkupsNode:
    """Points of whatever kind from a frame's file. Raises InputError for a file that is none of markups."""
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["markups"][0]["type"]
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise InputError(f"{path}: is no markups file; run the propagation again") from error
    node = getattr(slicer, f"vtkMRMLMarkups{_MARKUPS.get(kind, 'Fiducial')}Node")()
    return read_by(node, slicer.vtkMRMLMarkupsJsonStorageNode(), path)


def model_node(path: Path) -> slicer.vtkMRMLModelNode:
    """A model node from the file of a frame's surface."""
    return read_by(slicer.vtkMRMLModelNode(), slicer.vtkMRMLModelStorageNode(), path)


def read_by(
    node: slicer.vtkMRMLStorableNode, storage: slicer.vtkMRMLStorageNode, path: Path
) -> slicer.vtkMRMLStorableNode:
    """The node, read from a file by one of Slicer's storage nodes. Raises InputError where that cannot."""
    storage.SetFileName(str(path))
    if not storage.ReadData(node):
        raise InputError(f"{path}: Slicer cannot read it; run the propagation again, it completes what is missing")
    return node
