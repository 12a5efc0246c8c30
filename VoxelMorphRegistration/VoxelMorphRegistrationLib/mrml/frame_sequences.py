"""The sequences that the frames of a propagation go into, in the input's own browser, with a table and a plot."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import slicer

from ..files import slicer_attributes
from ..propagation.frame_result import FrameResult
from .beside import Beside
from .browsing import browse_along, browsers_of
from .frame_nodes import FrameNodes, describe_frame
from .landmarks import markups_at, markups_missing, model_at, model_without_mesh
from .propagation_nodes import DrawnFrames, SequenceInput, SequenceOutput
from .review import is_a_persons, seal
from .segmentations import colour_table
from .sequence_frames import SequenceFrames
from .sequences import put_without_copy, remove_other_values, save_as_one_file, sequence_like
from .study import put_beside
from .tables import plot_volumes, table_from_csv

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    """One of the sequences that are filled.

    Attributes:
        make: the data node of a frame. empty: that of one that failed; None where it has none.
        like: the node that was given, whose display it gets; None for transforms.
        role: the node reference under which the first of them names it; '' for the first, which tells of each frame
            what became of it: the sequence of segmentations, without one that of the points, else of the surfaces.
        reads_no_scene: whether `make` may work beside the window (see `beside`).
    """

    sequence: slicer.vtkMRMLSequenceNode
    make: Callable[[FrameResult], slicer.vtkMRMLNode]
    like: slicer.vtkMRMLNode | None
    role: str = ""
    reads_no_scene: bool = False
    empty: Callable[[FrameResult], slicer.vtkMRMLNode] | None = None


class FrameSequences:
    """The nodes of one propagation. A new frame replaces the old one of the same index value and leaves the others."""

    def __init__(
        self,
        inputs: SequenceInput,
        outputs: SequenceOutput,
        frames: SequenceFrames,
        drawn: DrawnFrames,
    ) -> None:
        """Makes the sequences that were not given; what those that were given hold stays until frames replace it."""
        self._inputs, self._outputs, self._frames, self._drawn = inputs, outputs, frames, drawn
        self._nodes = FrameNodes(frames, drawn, bool(outputs.as_labels))
        self._parts = self._made_parts()

    @property
    def output(self) -> slicer.vtkMRMLSequenceNode:
        """The first of the sequences."""
        return self._parts[0].sequence

    @property
    def table(self) -> slicer.vtkMRMLTableNode | None:
        """The table that will be filled; None where a new one is made."""
        return self._outputs.table or self.output.GetNodeReference(slicer_attributes.TABLE)

    def a_persons(self, by_time: bool = False) -> frozenset[int]:
        """The frames that hold what a person accepted or edited; `by_time` as for `review.frame_states`."""
        held = self.output.GetDataNodeAtValue
        values = ((index, self._frames.value(index)) for index in range(len(self._frames)))
        return frozenset(index for index, value in values if is_a_persons(held(value), by_time))

    def place(self, result: FrameResult) -> Generator[Any, Any, None]:
        """Put a frame into each sequence, in pieces (see `beside`). Of one that failed the first sequence gets the
        segments without voxels, the points as missing, or a model without a mesh.
        """
        value = self._frames.value(result.index)
        if result.status == "failed":
            if result.failure is not None:
                _LOG.warning("%s\n%s", result.message, result.failure.traceback.rstrip())
            first = self._parts[0]
            assert first.empty is not None
            put_without_copy(first.sequence, _described(replace(first, make=first.empty), result), value)
            return
        for part in self._parts:
            made = partial(_described, part, result)
            node = (yield Beside(made)) if part.reads_no_scene else made()
            put_without_copy(part.sequence, node, value)

    def show(self) -> None:
        """Link each sequence that has frames into the input's browser, looking as its source does."""
        for part in self._parts:
            if part.role:
                self.output.SetNodeReferenceID(part.role, part.sequence.GetID())
            if part.sequence.GetNumberOfDataNodes():
                self._show(part)

    def tell(self, csv: Path, rows: Mapping[int, Mapping[str, str]]) -> None:
        """The table of frames, the plot of each label's volume, and on each frame why a person should look at it."""
        output = self.output
        failed = [str(index) for index, row in rows.items() if row["status"] == "failed"]
        output.SetAttribute(slicer_attributes.FAILED_FRAMES, " ".join(failed))
        for index, row in rows.items():
            data = output.GetDataNodeAtValue(self._frames.value(index)) if index < len(self._frames) else None
            if data is not None:
                data.SetAttribute(slicer_attributes.FLAG, row["flag"] or None)
        table = table_from_csv(output.GetScene(), csv, f"{self._drawn.node.GetName()} frames", self.table)
        segments = self._drawn.segments
        chart = plot_volumes(
            table,
            {segment.label: segment.name for segment in segments},
            output.GetNodeReference(slicer_attributes.PLOT),
        )
        output.SetNodeReferenceID(slicer_attributes.TABLE, table.GetID())
        output.SetNodeReferenceID(slicer_attributes.PLOT, chart.GetID() if chart is not None else None)
        put_beside(self._inputs.sequence, [table, chart])

    def hide_drawn(self) -> None:
        """Hide the segmentations, points and the model that were drawn: the output shows the same on its frame, and
        theirs on every frame would lie over the others'.
        """
        shown = {browser.GetProxyNode(part.sequence) for part in self._parts for browser in browsers_of(part.sequence)}
        for node in [*self._drawn.nodes.values(), self._inputs.points, self._inputs.surface]:
            if node is None or node in shown or node.IsA("vtkMRMLVolumeNode"):
                continue
            if node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(False)

    def _show(self, part: _Part) -> None:
        is_transforms = part.role == slicer_attributes.TRANSFORMS
        is_labels = not part.role and bool(self._outputs.as_labels)
        if is_transforms or is_labels:
            save_as_one_file(part.sequence)
        # A person may have changed how it looks since it was first shown, by this run or an earlier one.
        is_new = not browsers_of(part.sequence)
        colours = self._colours() if is_labels and is_new else None
        browser = browse_along(part.sequence, self._inputs.sequence, part.like if is_new else None, colours)
        put_beside(self._inputs.sequence, [part.sequence, browser.GetProxyNode(part.sequence)])

    def _made_parts(self) -> list[_Part]:
        outputs, drawn, sequence = self._outputs, self._drawn, self._inputs.sequence
        points, surface = self._inputs.points, self._inputs.surface
        landmarks = (
            (points, self._points_at, lambda result: markups_missing(points), slicer_attributes.POINTS, outputs.points),
            (
                surface,
                self._surface_at,
                lambda result: model_without_mesh(surface),
                slicer_attributes.SURFACE,
                outputs.surface,
            ),
        )
        alone_in = next((given for node, *_, given in landmarks if node is drawn.node), None)
        first = sequence_like(sequence, f"{drawn.node.GetName()} sequence", outputs.segmentation or alone_in)
        # Of single slices, whose planes are looked up in the scene, a frame is made in no time.
        alone = self._frames.plane is None
        parts = []
        if drawn.segmentation is not None:
            nodes = self._nodes
            parts.append(_Part(first, nodes.segmentation, drawn.node, reads_no_scene=alone, empty=nodes.empty))
        if outputs.transforms:
            given = None if isinstance(outputs.transforms, bool) else outputs.transforms
            given = given or first.GetNodeReference(slicer_attributes.TRANSFORMS)
            made = sequence_like(sequence, f"{sequence.GetName()} to frame {drawn.first}", given)
            parts.append(_Part(made, self._nodes.transform, None, slicer_attributes.TRANSFORMS, alone))
        for node, make, empty, role, given in landmarks:
            if node is None:
                continue
            if node is drawn.node:
                parts.insert(0, _Part(first, make, node, empty=empty))
                continue
            made = sequence_like(sequence, f"{node.GetName()} sequence", given or first.GetNodeReference(role))
            parts.append(_Part(made, make, node, role))
        for part in parts:
            remove_other_values(part.sequence, sequence)
        return parts

    def _points_at(self, result: FrameResult) -> slicer.vtkMRMLMarkupsNode:
        assert result.points is not None
        return markups_at(self._inputs.points, result.points)

    def _surface_at(self, result: FrameResult) -> slicer.vtkMRMLModelNode:
        assert result.surface is not None
        return model_at(self._inputs.surface, result.surface)

    def _colours(self) -> slicer.vtkMRMLColorNode:
        """The colour table of the label volume that was given, else one of the segments' names and colours."""
        node = self._drawn.node
        shown = None if node.IsA("vtkMRMLSegmentationNode") else node.GetDisplayNode()
        colours = shown.GetColorNode() if shown is not None else None
        if colours is not None and len(self._drawn.nodes) == 1:
            return colours
        scene = self._inputs.sequence.GetScene()
        return colour_table(scene, self._drawn.segments, f"{node.GetName()} labels")


def _described(part: _Part, result: FrameResult) -> slicer.vtkMRMLNode:
    """The data node of a frame, with how it was found."""
    node = part.make(result)
    describe_frame(node, result)
    if not part.role:
        seal(node)
    return node
