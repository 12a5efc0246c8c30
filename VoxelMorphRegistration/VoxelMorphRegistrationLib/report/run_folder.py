"""What a page needs to know of a propagation's folder, read from its table and its record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..annotations.segment import Segment
from ..errors import InputError
from ..files.segmentations import read_segmentation
from ..propagation.flags import judge
from ..propagation.frames import Frames, open_frames
from ..propagation.record import Run, RunRecord
from ..propagation.table import FrameTable

Row = Mapping[str, str]


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run as it stands.

    Attributes:
        path: of the folder.
        rows: of frames.csv, ascending; with flags, which are provisional while the run is not finished.
        labels: label values that have columns.
        runs: of run.json; the first one and those that redid frames.
        segments: of the reference's segmentation file, by label value; empty where it cannot be read.
        wanted: frames that the run was to make; None where nothing says so.
        total: frames of the sequence, likewise.
    """

    path: Path
    rows: list[dict[str, str]]
    labels: tuple[int, ...]
    runs: list[Run]
    segments: dict[int, Segment] = field(default_factory=dict)
    wanted: int | None = None
    total: int | None = None

    @property
    def latest(self) -> Run:
        """The run that was started last, as far as the record says."""
        return max(self.runs, key=lambda run: str(run.circumstances.get("started", "")))

    @property
    def complete(self) -> bool:
        """Whether every wanted frame has a row."""
        return self.wanted is not None and len(self.rows) >= self.wanted

    @property
    def reference(self) -> Row | None:
        """The row of the first segmented frame."""
        return next((row for row in self.rows if row["status"] == "reference"), None)

    def label_name(self, label: int) -> str:
        segment = self.segments.get(label)
        return f"label {label}" if segment is None or segment.name_generated else segment.name

    def labels_file(self, index: int) -> Path | None:
        """The label volume of a frame; None where there is none."""
        return labels_file(self.path, index)


def read_run_folder(folder: str | Path) -> RunFolder:
    """Raises InputError when the folder holds no run."""
    folder = Path(folder)
    record = RunRecord.read(folder / "run.json")
    if record is None:
        raise InputError(f"{folder}: holds no run.json; give the output folder of a propagation")
    found = FrameTable(folder / "frames.csv", ()).read()
    rows = [found[index] for index in sorted(found)]
    labels = tuple(
        int(name.removeprefix("volume_ml_")) for name in (rows[0] if rows else ()) if name.startswith("volume_ml_")
    )
    latest = max(record.runs, key=lambda run: str(run.circumstances.get("started", "")))
    wanted, total = _count(latest.circumstances.get("wanted")), _count(latest.circumstances.get("total"))
    if total is None and len(latest.frames) > 1:
        total = len(latest.frames)
    if wanted is None and latest.circumstances.get("frames") is None:
        wanted = total
    if not (wanted is not None and len(rows) >= wanted):
        # The flags of frames.csv are filled in at the end of a run.
        for row, judgement in zip(rows, judge(rows, labels)):
            row["flag"] = judgement.reasons
    return RunFolder(folder, rows, labels, record.runs, _segments(folder, rows), wanted, total)


def find_frames(run: RunFolder, sequence: str | Path | None = None) -> Frames | None:
    """The sequence of a run where it lies now (`sequence`), or where the record says that it lay; None when it is not
    there or is another one.

    Raises InputError for a given sequence that cannot be opened or has not the frames of the run.
    """
    if sequence is not None:
        frames = open_frames(sequence)
        if run.rows and int(run.rows[-1]["index"]) >= len(frames):
            raise InputError(
                f"{sequence}: has {len(frames)} frames, the run in {run.path} has one numbered "
                f"{run.rows[-1]['index']}; give the sequence that was propagated"
            )
        return frames
    recorded = run.latest.circumstances.get("sequence")
    if not recorded:
        return None
    for base in (run.latest.circumstances.get("working_folder"), "."):
        if base is None:
            continue
        try:
            frames = open_frames(str(Path(base) / recorded))
        except InputError:
            continue
        if _same_files(frames, run.latest):
            return frames
    return None


def number(row: Row, column: str) -> float:
    """A cell of frames.csv; NaN where it is empty or no number."""
    try:
        return float(row.get(column) or math.nan)
    except ValueError:
        return math.nan


def labels_file(folder: Path, index: int) -> Path | None:
    """The label volume of a frame in the folder of a run; None where there is none."""
    for digits in range(4, 10):
        path = folder / "segmentation" / f"{index:0{digits}d}.nrrd"
        if path.is_file():
            return path
    return None


def _segments(folder: Path, rows: list[dict[str, str]]) -> dict[int, Segment]:
    reference = next((row for row in rows if row["status"] == "reference"), None)
    path = None if reference is None else labels_file(folder, int(reference["index"]))
    if path is None:
        return {}
    try:
        return {segment.label: segment for segment in read_segmentation(path).segments}
    except InputError:
        return {}


def _same_files(frames: Frames, run: Run) -> bool:
    """Whether the names of the frames' files are those of the record."""
    if not run.frames:
        return True
    count = len(frames) if len(run.frames) > 1 else 1
    if count != len(run.frames):
        return False
    names = [frames.file(index) for index in range(count)]
    return all(
        path is not None and known.partition(" | ")[0] == path.name for path, known in zip(names, run.frames) if known
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
