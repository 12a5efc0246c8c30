"""The folder a propagation writes: files of each frame, the table, the record, and what resuming needs.

    segmentation/0000.nrrd   the labels of each frame, numbered by input index, on the frame's own grid
    transforms/0000.nrrd     points/0000.mrk.json     surface/0000.vtp       when asked for
    segmentation.seq.nrrd    all of them as one label sequence for Slicer
    segmentation.ctbl        names and colours of its labels, where they have names
    frames.csv  run.json     see `table` and `record`
    motion.csv  motion-model.npz   see `motion_model_store`
    log.txt                  where and why frames failed
    .resume/                 displacements that a run which is continued starts from, and see `parts`

Overlapping segments do not fit one label volume: segmentation/0000.nrrd then shows the later segment where two overlap,
and segmentation/0000.seg.nrrd beside it holds them all.

Each file appears whole or not at all, and a frame's row in frames.csv comes last: whatever ends a run, the frames with
a row are finished and the others are made anew.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import SimpleITK as sitk

from ..annotations.segment import Segment
from ..errors import InputError
from ..files import slicer_attributes
from ..files.detached import check_name
from ..files.label_names import write_colour_table
from ..files.label_sequences import SequenceFrame, write_label_sequence
from ..files.lock import FolderLock
from ..space.grid import Grid
from . import motion_model_store
from .earlier_runs import mixed_grids, other_run
from .frame_files import FOLDERS, FrameFiles, Wanted
from .frame_result import FrameResult
from .frame_writer import FrameWriter
from .frames import FileFrames, Frames
from .parts import Part, Rows, left_parts, remove_parts
from .record import Run, RunRecord
from .table import FrameTable

_LABELS_ONLY = Wanted()
_FILES = ("segmentation.seq.nrrd", "segmentation.ctbl", "frames.csv", "run.json", motion_model_store.CURVE)
#: Columns of frames.csv that a frame's node in Slicer is told.
_TOLD = {
    "status": slicer_attributes.STATUS,
    "similarity_before": slicer_attributes.SIMILARITY_BEFORE,
    "similarity_after": slicer_attributes.SIMILARITY_AFTER,
    "folded_percent": slicer_attributes.FOLDED_PERCENT,
    "flag": slicer_attributes.FLAG,
}


class RunFolder:
    """One output folder, opened for one run. Frames are written in a thread, in the order they are handed in."""

    def __init__(
        self,
        folder: str | Path,
        run: Run,
        frames: Frames,
        segments: Sequence[Segment],
        wanted: Wanted = _LABELS_ONLY,
        overwrite: bool = False,
        chosen: list[int] | None = None,
        written: Callable[[FrameResult, dict[str, str]], None] = lambda result, files: None,
    ) -> None:
        """Open or make the folder, and find out which frames are finished.

        Args:
            segments: every segment of the references, see `Propagation.segments`.
            overwrite: start again; with `chosen` frames only those, whatever settings the others were made with.
            written: called with each frame and its files once all of them, and its row, are on disk; in the thread that
                writes.

        Raises InputError when it holds another run (and `overwrite` is not set), when another process writes there, and
        when its name is not UTF-8 or it cannot be written to.
        """
        self.path = Path(folder)
        check_name(self.path)
        self._frames, self._wanted = frames, wanted
        self._files = FrameFiles(self.path, len(frames), wanted)
        self._named = [segment for segment in segments if not segment.is_unnamed]
        #: What a person should know of the frames that an earlier run left.
        self.notes: list[str] = []
        self._refuse_inputs_inside(frames)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be made ({error.strerror}); choose another output folder") from error
        self._lock = FolderLock(self.path)
        try:
            rows = self._begin(run, segments, overwrite, chosen)
        except BaseException:
            self._lock.release()
            raise
        #: Of stages that the caller timed and of the assembling; `finish` writes them into run.json.
        self.seconds: dict[str, float] = {}
        self.finished = frozenset(index for index, row in rows.items() if row["status"] != "failed")
        self._writer = FrameWriter(self._files, self._table, self._run, written)
        self._parts = 0

    @property
    def adapted_weights(self) -> Path:
        """Where the network adapted to this sequence is kept for the runs that continue."""
        return self.path / "adapted" / "network.pt"

    def recall(self, index: int) -> sitk.Image | None:
        """The displacement that was kept of a frame, exactly as it was; None when there is none."""
        return self._files.recall(index)

    def add(self, result: FrameResult) -> None:
        """Hand in a frame to be written; waits when the disk is behind. Raises what writing an earlier one raised."""
        self._writer.add(result)

    def part(self, releases: bool = True) -> Part:
        """A part of this run for another process to make, its files ready."""
        self._parts += 1
        labels, names = self._table.labels, self._table.names
        part = Part(self.path, self._parts, self._run, labels, names, self._wanted, len(self._frames), releases)
        part.begin()
        return part

    def take(self, rows: Rows) -> None:
        """Take over the rows of frames that another process wrote. Raises InputError when the disk does not take it."""
        self._table.append_rows(rows.values())

    def close(self) -> None:
        """Wait until everything handed in is written; raises what writing raised."""
        self._writer.close()

    def abandon(self) -> None:
        """Finish the file that is being written, and leave the rest."""
        self._writer.abandon()
        self._lock.release()

    def finish(self, reference: Grid) -> dict[int, dict[str, str]]:
        """Flag the frames, assemble the label sequence on the reference's grid, complete the record.

        Returns the rows of frames.csv, by frame.
        """
        self.close()
        started = time.perf_counter()
        self._files.remove_leftovers()
        rows = self._table.finish()
        self._record.frame_runs = {index: int(row["run"]) for index, row in rows.items()}
        self._record.write()
        found = {index: row for index, row in rows.items() if row["status"] != "failed"}
        made = {index: row for index, row in found.items() if self._files.labels(index).is_file()}
        if made:
            write_label_sequence(
                self.path / "segmentation.seq.nrrd",
                [
                    SequenceFrame(self._files.labels(index), self._value(index, row), _attributes(index, row))
                    for index, row in made.items()
                ],
                reference,
                self._frames.index_name,
                self._frames.index_unit,
                self._frames.index_type,
                self._named,
            )
            if self._named:
                write_colour_table(self._named, self.path / "segmentation.ctbl")
        self.seconds["assembling"] = time.perf_counter() - started
        circumstances = self._record.runs[self._run].circumstances
        circumstances["seconds"] = {name: round(value, 3) for name, value in self.seconds.items()}
        self._record.write()
        if len(made) == len(self._frames):
            shutil.rmtree(self.path / ".resume", ignore_errors=True)
        self._lock.release()
        return rows

    def _value(self, index: int, row: Mapping[str, str]) -> str:
        return self._frames.value(index) if index < len(self._frames) else row["index_value"]

    def _begin(
        self, run: Run, segments: Sequence[Segment], overwrite: bool, chosen: list[int] | None
    ) -> dict[int, dict[str, str]]:
        """Make the folder ready; returns the rows to keep.

        The record is written before anything else that is new: a run that is killed here goes on by the same command.
        """
        self._record, self._run, rows = self._opened(run, overwrite, chosen)
        self._record.write()
        if overwrite and chosen is None:
            self._clear()
        try:
            self._files.make_folders()
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written to ({error.strerror}); choose another output folder"
            ) from error
        self._files.remove_leftovers()
        names = {one.label: one.name for one in self._named}
        self._table = FrameTable(self.path / "frames.csv", [one.label for one in segments], names)
        for index, row in rows.items():
            row["index_value"] = self._value(index, row)  # Earlier versions did not know those of Slicer's panel.
        self._table.start(rows)
        remove_parts(self.path)
        return rows

    def _opened(
        self, run: Run, overwrite: bool, chosen: list[int] | None
    ) -> tuple[RunRecord, int, dict[int, dict[str, str]]]:
        """The record, the number of this run in it, and the rows to keep."""
        path = self.path / "run.json"
        if overwrite and chosen is None:
            # Without rows no frame counts as finished, whenever this run is killed.
            (self.path / "frames.csv").unlink(missing_ok=True)
            remove_parts(self.path)
            return RunRecord(path, [run]), 0, {}
        record = RunRecord.read(path)
        if record is None:
            if not overwrite and self._holds_results():
                raise InputError(
                    f"{self.path}: holds results that no run.json describes; give another folder, or --overwrite"
                )
            return RunRecord(path, [run]), 0, {}
        number = record.matching(run)
        if number is None and not overwrite:
            raise other_run(self.path, record, run)
        if number is None:
            number = len(record.runs)
            record.runs.append(run)
        rows = FrameTable(self.path / "frames.csv", ()).read() | left_parts(self.path)
        kept = {index: row for index, row in rows.items() if self._is_kept(index, row, record, run)}
        if overwrite and chosen is not None:
            kept = {index: row for index, row in kept.items() if index not in chosen}
        elif number > 0:
            redone = set(chosen if chosen is not None else range(len(self._frames)))
            kept = {index: row for index, row in kept.items() if index not in redone or int(row["run"]) == number}
        if record.runs[number].says_what_was_seen:
            record.runs[number] = run
        else:
            record.runs[number] = run.without_what_was_seen()
            wanted = range(len(self._frames)) if chosen is None else chosen
            self.notes += mixed_grids(self.path, run, kept, wanted)
        return record, number, kept

    def _is_kept(self, index: int, row: Mapping[str, str], record: RunRecord, run: Run) -> bool:
        """Whether a frame is finished: by a run of the record, from the file it has now, with its results in place."""
        made_by = int(row["run"]) if row["run"].isdigit() else -1
        if row["status"] == "failed" or not 0 <= made_by < len(record.runs):
            return False
        return record.runs[made_by].frame(index) == run.frame(index) and self._files.exist(index)

    def _holds_results(self) -> bool:
        segmentation = self.path / "segmentation"
        drawn = segmentation.is_dir() and any(segmentation.iterdir())
        return drawn or any((self.path / name).exists() for name in _FILES)

    def _clear(self) -> None:
        """Remove what an earlier run wrote but its record, and nothing else."""
        named = [self.path / name for name in _FILES if name != "run.json"]
        for path in [*named, *self.path.glob(motion_model_store.MODELS)]:
            path.unlink(missing_ok=True)
        self._files.clear()

    def _refuse_inputs_inside(self, frames: Frames) -> None:
        """Frames that lie where results go would be overwritten, or the assembled sequence be taken for a frame next
        time.
        """
        taken = [(self.path / name).resolve() for name in (*FOLDERS, *_FILES)]
        for index in {0, len(frames) - 1}:
            file = frames.file(index)
            if file is None:
                continue
            beside = isinstance(frames, FileFrames) and file.resolve().parent == self.path.resolve()
            if beside or any(place in (file.resolve(), *file.resolve().parents) for place in taken):
                raise InputError(
                    f"{file}: this frame lies where the results go; give another output folder than {self.path}"
                )


def _attributes(index: int, row: Mapping[str, str]) -> dict[str, str]:
    """What the frame's node in Slicer is to know."""
    told = {name: row.get(column) for column, name in _TOLD.items()}
    return slicer_attributes.as_text({slicer_attributes.FRAME: index, **told})
