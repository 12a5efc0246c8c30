"""Parts of a run that other processes make: they write a frame's files into the run's own folder, and its row into a
table of their own, which the process that holds the folder takes over.

    .resume/00000007.part.csv     rows of frames.csv of one part; its frames' files are in their places
    .resume/00000007.read.txt     numbers of the frames that the process has begun to read, one a line

So that no two processes write into one file, and whatever ends one of them, the frames with a row are finished.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from .frame_files import FrameFiles, Wanted
from .frame_result import FrameResult
from .frame_writer import FrameWriter
from .propagate import Propagation
from .table import FrameTable

_PARTS = ".part.csv"
_READ = ".read.txt"

Rows = dict[int, dict[str, str]]


@dataclass(frozen=True)
class Part:
    """Where one part of a run is written.

    Attributes:
        folder: of the run. number: of the part, given once a folder.
        run: the number of the run in run.json.
        labels: label values with columns in frames.csv; names: of those that have names.
        wanted: what is written of a frame. total: frames of the sequence.
        releases: see `FrameWriter`.
    """

    folder: Path
    number: int
    run: int
    labels: tuple[int, ...]
    names: Mapping[int, str]
    wanted: Wanted
    total: int
    releases: bool = True

    @property
    def table(self) -> Path:
        return self.folder / ".resume" / f"{self.number:08d}{_PARTS}"

    @property
    def read(self) -> Path:
        return self.folder / ".resume" / f"{self.number:08d}{_READ}"

    def begin(self) -> None:
        """Make the files of the part; those who write into them stop when they are gone."""
        FrameTable(self.table, self.labels, self.names).start({})
        self.read.write_text("", encoding="utf-8")

    def is_wanted(self) -> bool:
        """Whether the process that holds the folder still waits for the part."""
        return self.table.is_file()

    def note_read(self, index: int) -> None:
        """Say that a frame is about to be read: should that end the process, it is known which one it was."""
        with open(self.read, "a", encoding="utf-8") as stream:
            stream.write(f"{index}\n")

    def begun(self) -> list[int]:
        """Frames that were begun to be read, in that order."""
        try:
            lines = self.read.read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        return [int(line) for line in lines if line.isdecimal()]

    def rows(self) -> Rows:
        """The frames that are finished, or failed."""
        return FrameTable(self.table, ()).read()

    def remove(self) -> None:
        for path in (self.table, self.read):
            path.unlink(missing_ok=True)


class PartSink:
    """Takes the frames of a propagation in a process that helps a run; see `sinks.FrameSink`.

    Args:
        finished: frames that are not to be made: they are there, or other parts make them.
    """

    def __init__(self, part: Part, finished: Collection[int]) -> None:
        self._part, self.finished = part, finished
        self._files = FrameFiles(part.folder, part.total, part.wanted)
        table = FrameTable(part.table, part.labels, part.names)
        self._writer = FrameWriter(self._files, table, part.run, releases=part.releases)

    def recall(self, index: int) -> sitk.Image | None:
        return self._files.recall(index)

    def begin(self, propagation: Propagation) -> None:
        pass

    def frame(self, result: FrameResult) -> bool:
        if not self._part.is_wanted():
            return False
        self._writer.add(result)
        return True

    def finish(self) -> None:
        self._writer.close()

    def abort(self, error: BaseException) -> None:
        """What was computed is still written; the error that ended the part is the one to be told."""
        try:
            self._writer.close()
        except Exception:
            self._writer.abandon()


def left_parts(folder: Path) -> Rows:
    """The rows of parts that were not taken over, since what ended their run came first."""
    rows: Rows = {}
    for path in sorted((folder / ".resume").glob(f"*{_PARTS}")):
        rows |= FrameTable(path, ()).read()
    return rows


def remove_parts(folder: Path) -> None:
    for kind in (_PARTS, _READ):
        for path in (folder / ".resume").glob(f"*{kind}"):
            path.unlink(missing_ok=True)
