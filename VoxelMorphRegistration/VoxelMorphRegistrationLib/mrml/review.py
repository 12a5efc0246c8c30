"""What a person makes of the frames of a propagation: which need a look, which were accepted, which were edited."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..files import slicer_attributes
from .sequences import browsers_of
from .tables import rows_of

_LABELMAP = "Binary labelmap"


@dataclass(frozen=True)
class FrameState:
    """One frame of an output sequence.

    Attributes:
        index: of the table's row, value: of the sequence.
        status: reference, done or failed.
        reasons: why a person should look at it, '' where nothing speaks against it.
        accepted, edited: by a person.
    """

    index: int
    value: str
    status: str
    reasons: str
    accepted: bool
    edited: bool

    @property
    def needs_look(self) -> bool:
        """Whether it is flagged and nobody has accepted or edited it."""
        return bool(self.reasons) and not self.accepted and not self.edited


def frame_states(output: slicer.vtkMRMLSequenceNode) -> list[FrameState]:
    """The frames of an output sequence, ascending."""
    table = output.GetNodeReference(slicer_attributes.TABLE)
    rows = rows_of(table) if table is not None else {}
    states = []
    for number in range(output.GetNumberOfDataNodes()):
        node = output.GetNthDataNode(number)
        index = int(node.GetAttribute(slicer_attributes.FRAME) or number)
        status = node.GetAttribute(slicer_attributes.STATUS) or ""
        flag = rows[index]["flag"] if index in rows else node.GetAttribute(slicer_attributes.FLAG)
        reasons = flag or ""
        if status == "failed":
            reasons = node.GetAttribute(slicer_attributes.MESSAGE) or reasons or "failed"
        value = output.GetNthIndexValue(number)
        states.append(FrameState(index, value, status, reasons, is_accepted(node), is_edited(node)))
    return sorted(states, key=lambda state: state.index)


def accept(output: slicer.vtkMRMLSequenceNode, value: str, accepted: bool = True) -> None:
    """Mark the frame of an index value as looked at and right (or no longer); it is then kept by later runs."""
    nodes = [output.GetDataNodeAtValue(value)]
    for browser in browsers_of(output):
        master = browser.GetMasterSequenceNode()
        if master is not None and master.GetNthIndexValue(browser.GetSelectedItemNumber()) == value:
            # The proxy saves itself into the frame when it is edited, with its own attributes.
            nodes.append(browser.GetProxyNode(output))
    for node in filter(None, nodes):
        node.SetAttribute(slicer_attributes.ACCEPTED, "1" if accepted else None)


def is_accepted(node: slicer.vtkMRMLNode | None) -> bool:
    return node is not None and node.GetAttribute(slicer_attributes.ACCEPTED) == "1"


def is_edited(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a frame holds something else than a run put there; False for one of a version that kept no digest."""
    sealed = node.GetAttribute(slicer_attributes.CONTENT) if node is not None else None
    return sealed is not None and sealed != _digest(node)


def is_a_persons(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a frame was accepted or edited, so that only a person may have it replaced."""
    return is_accepted(node) or is_edited(node)


def seal(node: slicer.vtkMRMLNode) -> None:
    """Note what a frame holds, so that edits are seen."""
    node.SetAttribute(slicer_attributes.CONTENT, _digest(node))


def _digest(node: slicer.vtkMRMLNode) -> str | None:
    """Of the labelled voxels of a segmentation, however its layers are laid out, or of a volume; else None."""
    found = hashlib.blake2b(digest_size=12)
    if node.IsA("vtkMRMLSegmentationNode"):
        held = node.GetSegmentation()
        for identifier in sorted(held.GetSegmentIDs()):
            found.update(identifier.encode())
            _add_segment(found, held.GetSegment(identifier))
    elif node.IsA("vtkMRMLVolumeNode") and node.GetImageData() is not None:
        found.update(np.ascontiguousarray(slicer.util.arrayFromVolume(node)).data)
    else:
        return None
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
