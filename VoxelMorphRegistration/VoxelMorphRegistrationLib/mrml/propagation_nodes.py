"""The nodes that go into a propagation and come out of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import slicer

from ..annotations.segment import Segment
from ..annotations.segmentation import Segmentation


@dataclass(frozen=True)
class SequenceInput:
    """What is carried through which sequence.

    Attributes:
        sequence: of volumes.
        segmentation: a segmentation node or a label volume; several with as many `reference` frames; None where points
            or a surface alone are carried.
        reference: number of the segmented frame, from 0; negative counts from the end.
        points, surface: markups and a model drawn on the reference frame; they become sequences that follow the tissue.
        mask: similarity counts only where this volume is not zero, or in this box of markups.
        leave_out: ids of segments that are not carried, as the first segmentation has them.
    """

    sequence: slicer.vtkMRMLSequenceNode
    segmentation: Any = None
    reference: int | Sequence[int] = 0
    points: slicer.vtkMRMLMarkupsNode | None = None
    surface: slicer.vtkMRMLModelNode | None = None
    mask: slicer.vtkMRMLNode | None = None
    leave_out: Collection[str] = ()


@dataclass(frozen=True)
class SequenceOutput:
    """The nodes that a propagation fills; new ones are made for those that are None.

    Attributes:
        segmentation: the sequence of segmentations or label volumes; of the points, else the surface, where no
            segmentation is carried.
        as_labels: label volumes, which save as one .seq.nrrd, instead of segmentations; None: as the input is.
        transforms: a sequence to fill, or True for a new one: displacements that pull from each frame to its reference.
            It saves as one .seq.nrrd, so all of them lie on the first reference frame's grid.
        points, surface: sequences of the points and the surface, where there are any.
        table: filled with what frames.csv holds. Each label's volume is plotted over the frames.
    """

    segmentation: slicer.vtkMRMLSequenceNode | None = None
    as_labels: bool | None = None
    transforms: slicer.vtkMRMLSequenceNode | bool = False
    points: slicer.vtkMRMLSequenceNode | None = None
    surface: slicer.vtkMRMLSequenceNode | None = None
    table: slicer.vtkMRMLTableNode | None = None


def below_of(
    node: slicer.vtkMRMLNode, parent: slicer.vtkMRMLTransformNode | None
) -> slicer.vtkMRMLTransformNode | None:
    """The transform below which a drawn node counts, `parent` being the volumes': a frame that is taken out of a
    sequence hangs nowhere and lies below theirs already.
    """
    return parent if parent is None or node.GetScene() is parent.GetScene() else None


_SEGMENTATIONS = ("vtkMRMLSegmentationNode", "vtkMRMLLabelMapVolumeNode")


def could_fill(output: slicer.vtkMRMLSequenceNode, drawn: slicer.vtkMRMLNode) -> bool:
    """Whether a sequence that is there holds what is carried: not points in place of segmentations, say."""
    if output.GetNumberOfDataNodes() == 0:
        return True
    kinds = [node.GetClassName() for node in (output.GetNthDataNode(0), drawn)]
    held, carried = ("segmentation" if kind in _SEGMENTATIONS else kind for kind in kinds)
    return held == carried


@dataclass(frozen=True)
class DrawnFrames:
    """What was drawn, by frame number in the order in which it was given.

    Attributes:
        nodes: segmentation nodes or label volumes; the markups, else the model, where no segmentation is carried.
        segmentations: the same on their frames' grids, LPS mm of the coordinates below `parent`, under common segments;
            None where there is none.
        segments: every segment of any of them, once.
        parent: the transform that the sequence's volumes hang under.
        left_out: by frame number, the ids of the node's segments that are not carried.
    """

    nodes: dict[int, slicer.vtkMRMLNode]
    segmentations: dict[int, Segmentation | None]
    segments: tuple[Segment, ...]
    parent: slicer.vtkMRMLTransformNode | None
    left_out: Mapping[int, Collection[str]] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """The reference frame that was named first."""
        return next(iter(self.nodes))

    @property
    def node(self) -> slicer.vtkMRMLNode:
        """What was given for the first one; names and colours are its."""
        return self.nodes[self.first]

    @property
    def segmentation(self) -> Segmentation | None:
        """What was drawn on the first one; None where points or a surface alone are carried."""
        return self.segmentations[self.first]
