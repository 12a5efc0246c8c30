"""The frames of a run folder as nodes of a scene, while another process computes them."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import slicer

from ..files import slicer_attributes
from ..files.displacements import read_displacement
from ..files.markups import read_points
from ..files.meshes import read_surface
from ..files.segmentations import read_segmentation
from ..propagation.frame_files import FrameFiles, Wanted
from ..propagation.frame_result import FrameResult, Quality
from ..propagation.record import describe_file
from ..propagation.table import FrameTable
from .beside import Beside
from .browsing import browser_of, update_proxies
from .frame_sequences import FrameSequences
from .prepared_sequence import PreparedSequence


class LiveRun:
    """Puts frames into the input's browser as their files appear.

    Frames that a person accepted or edited stay as they are, but for those in `asked`. The table is what frames.csv
    holds. No node is made before the first frame is there.
    """

    def __init__(self, prepared: PreparedSequence, folder: Path, asked: Collection[int] = ()) -> None:
        wanted = Wanted(
            1 if prepared.outputs.transforms else 0,
            prepared.inputs.points is not None,
            prepared.inputs.surface is not None,
        )
        self._prepared, self._asked = prepared, frozenset(asked)
        self._files = FrameFiles(folder, len(prepared.frames), wanted)
        self._table = FrameTable(folder / "frames.csv", ())
        self._nodes: FrameSequences | None = None
        self._linked = False
        self._kept: frozenset[int] = frozenset()

    @property
    def output(self) -> slicer.vtkMRMLSequenceNode | None:
        """The sequence that tells of each frame what became of it (see `frame_sequences`); None before the first."""
        return None if self._nodes is None else self._nodes.output

    def frame(self, index: int) -> Generator[Any, Any, bool]:
        """Show a frame that is finished or failed, in pieces (see `beside`); whether it is new to the scene."""

        def finished() -> _Finished | None:
            row = self._table.read().get(index)
            return None if row is None else _Finished.of(self._files, index, row)

        one = yield Beside(finished)
        return False if one is None else (yield from self._place(one))

    def catch_up(self) -> Generator[Any, Any, None]:
        """Show the frames that an earlier run finished and the scene does not hold; yields each one's number, and
        pieces (see `beside`).
        """
        there = len(self._prepared.frames)

        def finished() -> list[_Finished]:
            rows = self._table.read()
            return [_Finished.of(self._files, index, row) for index, row in rows.items() if index < there]

        for one in (yield Beside(finished)):
            if (yield from self._place(one)):
                yield one.index

    def finish(self) -> None:
        """Fill the table and the plot, and tell each frame why a person should look at it; more frames may follow."""
        if self._nodes is None:
            return
        if not self._linked:
            self._link()  # Nothing was new; edits of the frame that is shown go into it again.
        rows = self._table.read()
        if rows:
            self._nodes.tell(self._table.path, rows)

    def _place(self, one: _Finished) -> Generator[Any, Any, bool]:
        """Whether the frame is new to the scene."""
        nodes = self._begun()
        value = self._prepared.frames.value(one.index)
        held = nodes.output.GetDataNodeAtValue(value)
        if one.index in self._kept and one.index not in self._asked:
            return False
        if held is not None and one.stamp and held.GetAttribute(slicer_attributes.FILE) == one.stamp:
            return False
        yield from nodes.place((yield Beside(partial(one.result, value))))
        nodes.output.GetDataNodeAtValue(value).SetAttribute(slicer_attributes.FILE, one.stamp or None)
        if not self._linked:
            self._link()
            nodes.hide_drawn()
        else:
            browser = browser_of(nodes.output)
            if browser is not None and self._prepared.frames.value(browser.GetSelectedItemNumber()) == value:
                update_proxies(browser)
        return True

    def _begun(self) -> FrameSequences:
        if self._nodes is None:
            self._nodes = FrameSequences(*self._prepared.parts)
            self._kept = self._nodes.a_persons(by_time=True)
        return self._nodes

    def _link(self) -> None:
        """Into the input's browser, once a frame is there: whoever shows a frame may be stopped before it is."""
        assert self._nodes is not None
        self._nodes.show()
        self._linked = True


@dataclass(frozen=True)
class _Finished:
    """A frame of the run folder: its row of frames.csv, its files, and what tells whether the scene holds them."""

    index: int
    row: Mapping[str, str]
    files: Mapping[str, Path]
    stamp: str

    @classmethod
    def of(cls, folder: FrameFiles, index: int, row: Mapping[str, str]) -> _Finished:
        files = folder.found(index) if row["status"] != "failed" else {}
        first = next((files[what] for what in ("segmentation", "points", "surface") if what in files), None)
        return cls(index, row, files, describe_file(first))

    def result(self, value: str) -> FrameResult:
        """With what the files hold; `value`: of the sequence's index."""
        row, found = self.row, self.files.get
        quality = Quality(
            metric=row.get("similarity_metric") or "ncc",
            similarity_before=_number(row, "similarity_before"),
            similarity_after=_number(row, "similarity_after"),
            inverse_consistency_mm=_number(row, "inverse_consistency_mm"),
        )
        segmentation, transform, points, surface = (
            found(what) for what in ("segmentation", "transform", "points", "surface")
        )
        status = row["status"]
        assert status in ("reference", "done", "failed")
        return FrameResult(
            self.index,
            value,
            status,  # type: ignore[arg-type]
            int(row["reference_frame"] or 0),
            segmentation=None if segmentation is None else read_segmentation(segmentation),
            displacement=None if transform is None else read_displacement(transform),
            points=None if points is None else read_points(points),
            surface=None if surface is None else read_surface(surface),
            quality=quality,
            folded_percent=_number(row, "folded_percent"),
            message=row["message"],
        )


def _number(row: Mapping[str, str], name: str) -> float:
    return float(row.get(name) or "nan")
