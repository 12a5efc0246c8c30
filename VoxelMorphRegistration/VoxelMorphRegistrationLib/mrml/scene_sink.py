"""The frames of a propagation that this process computes, as nodes of a scene."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import SimpleITK as sitk
import slicer

from ..files import slicer_attributes
from ..propagation.frame_result import FrameResult
from ..propagation.propagate import Propagation
from ..propagation.table import FrameTable
from .beside import value_of
from .frame_sequences import FrameSequences
from .propagation_nodes import DrawnFrames, SequenceInput, SequenceOutput
from .sequence_frames import SequenceFrames
from .tables import rows_of

FrameDone = Callable[[int, int, FrameResult], "bool | None"]
"""Called with (frames done, frames in all, the last one); False stops the run."""


class SceneSink:
    """A `FrameSink` that fills nodes. Whatever ends the run, what was made until then is linked, shown and told.

    New frames replace old ones as they come. Frames that a person accepted or edited are left as they are, unless the
    run was asked for chosen frames.
    """

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
        self._given = inputs, outputs, frames, drawn
        self._csv, self._progress = scratch / "frames.csv", progress
        self._nodes: FrameSequences | None = None
        self._rows: FrameTable | None = None
        self._done = self._total = 0
        self._ended = False
        self.finished: Collection[int] = frozenset()

    @property
    def output(self) -> slicer.vtkMRMLSequenceNode:
        """The sequence that tells of each frame what became of it (see `frame_sequences`); there once the run began."""
        assert self._nodes is not None
        return self._nodes.output

    def recall(self, index: int) -> sitk.Image | None:
        return None

    def begin(self, propagation: Propagation) -> None:
        self._nodes = FrameSequences(*self._given)
        chosen = propagation.settings.select is not None
        self.finished = frozenset() if chosen else self._nodes.a_persons()
        table = self._nodes.table
        earlier = rows_of(table) if table is not None and self._given[1].segmentation is not None else {}
        names = {one.label: one.name for one in propagation.segments() if not one.is_unnamed}
        self._rows = FrameTable(self._csv, propagation.labels(), names)
        self._rows.start(
            {
                index: row
                for index, row in earlier.items()
                if index < len(propagation.frames) and (index not in propagation.select or index in self.finished)
            }
        )
        self.output.SetAttribute(slicer_attributes.MODEL, propagation.model.name)
        self._total = len(propagation.select)
        self._done = len(self.finished.intersection(propagation.select))

    def frame(self, result: FrameResult) -> bool:
        assert self._nodes is not None and self._rows is not None
        value_of(self._nodes.place(result))
        self._rows.append(result, 0)
        self._done += 1
        return self._progress is None or self._progress(self._done, self._total, result) is not False

    def finish(self) -> None:
        assert self._nodes is not None and self._rows is not None
        self._ended = True
        self._nodes.tell(self._csv, self._rows.finish())
        self._nodes.show()
        self._nodes.hide_drawn()

    def abort(self, error: BaseException) -> None:
        if not self._ended:
            self.finish()
