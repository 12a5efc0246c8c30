"""What a person makes of the frames of a propagation: which need a look, which were accepted, which were edited."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

import slicer

from ..files import slicer_attributes
from .browsing import browsers_of
from .frame_digests import digest, digest_by_time, is_known
from .tables import flags_of


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


def frame_states(output: slicer.vtkMRMLSequenceNode, by_time: bool = False) -> list[FrameState]:
    """The frames of an output sequence, ascending.

    `by_time`: look only at voxels that VTK was told were changed; a window asks often, for thousands of frames.
    """
    flags = flags_of(output.GetNodeReference(slicer_attributes.TABLE))
    states = [_state(output, number, flags, by_time) for number in range(output.GetNumberOfDataNodes())]
    return sorted(states, key=lambda state: state.index)


def state_again(output: slicer.vtkMRMLSequenceNode, known: FrameState) -> FrameState:
    """What is known now of a frame whose flag is as before, by time: faster than asking for all of them."""
    node = output.GetDataNodeAtValue(known.value)
    return known if node is None else replace(known, accepted=is_accepted(node), edited=is_edited(node, by_time=True))


def look_for_edits(output: slicer.vtkMRMLSequenceNode) -> Generator[int, None, None]:
    """Look at one frame after the other, so that `frame_states` by time has nothing to look at; yields the number of
    each that it did not know. All voxels of thousands of frames take longer than a window may stand still.
    """
    number = 0
    while number < output.GetNumberOfDataNodes():
        node = output.GetNthDataNode(number)
        if node.GetAttribute(slicer_attributes.CONTENT) is not None and not is_known(node):
            digest(node)
            yield number
        number += 1


def _state(output: slicer.vtkMRMLSequenceNode, number: int, flags: Mapping[int, str], by_time: bool) -> FrameState:
    node, value = output.GetNthDataNode(number), output.GetNthIndexValue(number)
    index = int(node.GetAttribute(slicer_attributes.FRAME) or number)
    status = node.GetAttribute(slicer_attributes.STATUS) or ""
    reasons = flags[index] if index in flags else node.GetAttribute(slicer_attributes.FLAG) or ""
    if status == "failed":
        reasons = node.GetAttribute(slicer_attributes.MESSAGE) or reasons or "failed"
    return FrameState(index, value, status, reasons, is_accepted(node), is_edited(node, by_time))


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


def is_edited(node: slicer.vtkMRMLNode | None, by_time: bool = False) -> bool:
    """Whether a frame holds something else than a run put there; False for one of a version that kept no digest.

    `by_time`: as for `frame_states`.
    """
    sealed = node.GetAttribute(slicer_attributes.CONTENT) if node is not None else None
    return sealed is not None and sealed != (digest_by_time if by_time else digest)(node)


def is_a_persons(node: slicer.vtkMRMLNode | None, by_time: bool = False) -> bool:
    """Whether a frame was accepted or edited, so that only a person may have it replaced."""
    return is_accepted(node) or is_edited(node, by_time)


def seal(node: slicer.vtkMRMLNode) -> None:
    """Note what a frame holds, so that edits are seen."""
    node.SetAttribute(slicer_attributes.CONTENT, digest(node))
