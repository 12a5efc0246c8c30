"""The frames of a propagation as nodes of a scene: sequences in the input's own browser, a table and a plot."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
import slicer

from ..files import slicer_attributes
from ..propagation.propagate import Propagation
from ..propagation.results import FrameResult
from ..propagation.table import FrameTable
from .frame_nodes import FrameNodes, describe_frame
from .landmarks import markups_at, model_at
from .propagation_nodes import DrawnFrames, SequenceInput, SequenceOutput
from .segmentations import colour_table
from .sequences import SequenceFrames, browse_along, save_as_one_file, sequence_like
from .tables import plot_volumes, rows_of, table_from_csv

_LOG = logging.getLogger(__name__)

FrameDone = Callable[[int, int, FrameResult], "bool | None"]
"""Called with (frames done, frames in all, the last one); False stops the run."""


@dataclass(frozen=True)
class _Part:
    """One of the sequences that are filled.

    Attributes:
        make: the data node of a frame.
        like: the node that was given, whose display it gets; None for transforms.
        role: the node reference under which the sequence of segmentations names it; '' for that one itself.
    """

    sequence: slicer.vtkMRMLSequenceNode
    make: Callable[[FrameResult], slicer.vtkMRMLNode]
    like: slicer.vtkMRMLNode | None
    role: str = ""


class SceneSink:
    """A `FrameSink` that fills nodes. Whatever ends the run, what was made until then is linked, shown and told."""

    finished: Collection[int] = frozenset()

    def __init__(
        self,
        inputs: SequenceInput,
        outputs: SequenceOutput,
        frames: SequenceFrames,
        drawn: DrawnFrames,
        scratch: Path,
        progress: FrameDone | None = None,
    ) -> None:
        """No node is made or changed before `begin`. `scratch` is an empty folder that stays until the run ends."""
        self._inputs, self._outputs, self._frames, self._drawn = inputs, outputs, frames, drawn
        self._nodes = FrameNodes(frames, drawn, bool(outputs.as_labels))
        self._csv, self._progress = scratch / "frames.csv", progress
        self._parts: list[_Part] = []
        self._table: slicer.vtkMRMLTableNode | None = None
        self._rows: FrameTable | None = None
        self._done = self._total = 0
        self._ended = False

    @property
    def output(self) -> slicer.vtkMRMLSequenceNode:
        """The sequence of segmentations; there once the run has begun."""
        return self._parts[0].sequence

    def recall(self, index: int) -> sitk.Image | None:
        return None

    def begin(self, propagation: Propagation) -> None:
        """Make the sequences that were not given; empty those that were, unless only chosen frames are made anew."""
        keep = self._outputs.segmentation is not None and propagation.settings.select is not None
        self._parts = self._made_parts(keep)
        self._table = self._outputs.table
        if self._table is None and keep:
            self._table = self.output.GetNodeReference(slicer_attributes.TABLE)
        earlier = rows_of(self._table) if keep and self._table is not None else {}
        self._rows = FrameTable(self._csv, propagation.labels())
        self._rows.start({index: row for index, row in earlier.items() if index not in propagation.select})
        self.output.SetAttribute(slicer_attributes.MODEL, propagation.model.name)
        self._total = len(propagation.select)

    def frame(self, result: FrameResult) -> bool:
        value = self._frames.value(result.index)
        if result.failure is not None:
            _LOG.warning("%s\n%s", result.message, result.failure.traceback.rstrip())
            self.output.SetDataNodeAtValue(self._nodes.empty(result), value)
        else:
            for part in self._parts:
                node = part.make(result)
                describe_frame(node, result)
                part.sequence.SetDataNodeAtValue(node, value)
        if self._rows is not None:
            self._rows.append(result, 0)
        self._done += 1
        return self._progress is None or self._progress(self._done, self._total, result) is not False

    def finish(self) -> None:
        self._ended = True
        self._tell()
        for part in self._parts:
            self._show(part)

    def abort(self, error: BaseException) -> None:
        if not self._ended:
            self.finish()

    def _made_parts(self, keep: bool) -> list[_Part]:
        inputs, outputs, drawn = self._inputs, self._outputs, self._drawn
        sequence, points, surface = inputs.sequence, inputs.points, inputs.surface
        filled = sequence_like(sequence, f"{drawn.node.GetName()} sequence", outputs.segmentation, keep)
        parts = [_Part(filled, self._nodes.segmentation, drawn.node)]
        if outputs.transforms:
            given = None if isinstance(outputs.transforms, bool) else outputs.transforms
            filled = sequence_like(sequence, f"{sequence.GetName()} to frame {drawn.first}", given, keep)
            parts.append(_Part(filled, self._nodes.transform, None, slicer_attributes.TRANSFORMS))
        if points is not None:
            filled = sequence_like(sequence, f"{points.GetName()} sequence", outputs.points, keep)
            parts.append(_Part(filled, self._points_at, points, slicer_attributes.POINTS))
        if surface is not None:
            filled = sequence_like(sequence, f"{surface.GetName()} sequence", outputs.surface, keep)
            parts.append(_Part(filled, self._surface_at, surface, slicer_attributes.SURFACE))
        return parts

    def _points_at(self, result: FrameResult) -> slicer.vtkMRMLMarkupsNode:
        assert result.points is not None
        return markups_at(self._inputs.points, result.points)

    def _surface_at(self, result: FrameResult) -> slicer.vtkMRMLModelNode:
        assert result.surface is not None
        return model_at(self._inputs.surface, result.surface)

    def _show(self, part: _Part) -> None:
        """Link a sequence into the input's browser, looking as its source does; what can be one file is told so."""
        if part.role:
            self.output.SetNodeReferenceID(part.role, part.sequence.GetID())
        if part.sequence.GetNumberOfDataNodes() == 0:
            return
        is_transforms = part.role == slicer_attributes.TRANSFORMS
        is_labels = not part.role and bool(self._outputs.as_labels)
        if is_transforms or is_labels:
            save_as_one_file(part.sequence)
        colours = self._colours() if is_labels else None
        browse_along(part.sequence, self._inputs.sequence, part.like, colours, editable=not is_transforms)

    def _colours(self) -> slicer.vtkMRMLColorNode:
        """The colour table of the label volume that was given, else one of the segments' names and colours."""
        node = self._drawn.node
        shown = None if node.IsA("vtkMRMLSegmentationNode") else node.GetDisplayNode()
        colours = shown.GetColorNode() if shown is not None else None
        scene = self._inputs.sequence.GetScene()
        return colours or colour_table(scene, self._drawn.segmentation, f"{node.GetName()} labels")

    def _tell(self) -> None:
        """The table of frames, the plot of each label's volume, and on each frame why a person should look at it."""
        if self._rows is None:
            return
        output, rows = self.output, self._rows.finish()
        failed = [str(index) for index, row in rows.items() if row["status"] == "failed"]
        output.SetAttribute(slicer_attributes.FAILED_FRAMES, " ".join(failed))
        for row in rows.values():
            data = output.GetDataNodeAtValue(row["index_value"])
            if data is not None and row["flag"]:
                data.SetAttribute(slicer_attributes.FLAG, row["flag"])
        name = f"{self._drawn.node.GetName()} frames"
        table = table_from_csv(output.GetScene(), self._csv, name, self._table)
        segments = self._drawn.segmentation.with_distinct_labels().segments
        chart = plot_volumes(table, {segment.label: segment.name for segment in segments})
        output.SetNodeReferenceID(slicer_attributes.TABLE, table.GetID())
        output.SetNodeReferenceID(slicer_attributes.PLOT, chart.GetID() if chart is not None else None)
