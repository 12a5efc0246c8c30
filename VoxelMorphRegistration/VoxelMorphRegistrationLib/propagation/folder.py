"""The folder a propagation writes: files of each frame, the table, the record, and what resuming needs.

    segmentation/0000.nrrd   the labels of each frame, numbered by input index, on the frame's own grid
    transforms/0000.nrrd     points/0000.mrk.json     surface/0000.vtp       when asked for
    segmentation.seq.nrrd    all of them as one label sequence for Slicer
    frames.csv  run.json     see `frame_table` and `run_record`
    .resume/                 displacements that a run which is continued starts from

Overlapping segments do not fit one label volume: segmentation/0000.nrrd then shows the later segment where two overlap,
    and
segmentation/0000.seg.nrrd beside it holds them all.

Each file appears whole or not at all, and a frame's row in frames.csv comes last: whatever ends a run, the frames with
a row are finished and the others are made anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..annotations.segmentation import Segmentation
from ..errors import InputError
from ..files.atomic import atomic_write
from ..files.displacements import write_displacement
from ..files.images import write_image
from ..files.label_sequences import SequenceFrame, write_label_sequence
from ..files.markups import write_points
from ..files.meshes import write_surface
from ..files.segmentations import write_segmentation
from ..space.grid import Grid
from .frames import FileFrames, Frames
from .propagate import FrameResult
from .record import Run, RunRecord
from .table import FrameTable

_FOLDERS = ("segmentation", "transforms", "points", "surface", ".resume", "adapted")
_FILES = ("segmentation.seq.nrrd", "frames.csv", "run.json")
_WAITING = 2  # finished frames that may wait for the disk


@dataclass(frozen=True)
class Wanted:
    """What is written of a frame besides its segmentation.

    `transforms` is 0 for none, n for every n-th voxel an axis.
    """

    transforms: int = 0
    points: bool = False
    surface: bool = False


class RunFolder:
    """One output folder, opened for one run. Frames are written in a thread, in the order they are handed in."""

    def __init__(
        self,
        folder: str | Path,
        run: Run,
        frames: Frames,
        labels: tuple[int, ...],
        wanted: Wanted = Wanted(),
        overwrite: bool = False,
        chosen: list[int] | None = None,
    ) -> None:
        """Open or make the folder, and find out which frames are finished.

        Args:
            overwrite: start again; with `chosen` frames only those, whatever settings the others were made with.

        Raises InputError when it holds another run (and `overwrite` is not set) or cannot be written to.
        """
        self.path = Path(folder)
        self._wanted = wanted
        self._frames = frames
        self._digits = max(4, len(str(len(frames) - 1)))
        self._refuse_inputs_inside(frames)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be made ({error.strerror}); choose another output folder") from error
        self._record, self._run, rows = self._opened(run, overwrite, chosen)
        try:
            for name in ("segmentation", *[n for n in ("points", "surface") if getattr(wanted, n)], ".resume"):
                (self.path / name).mkdir(exist_ok=True)
            if wanted.transforms:
                (self.path / "transforms").mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written to ({error.strerror}); choose another output folder"
            ) from error
        self._remove_leftovers()
        self._table = FrameTable(self.path / "frames.csv", labels)
        self._table.start(rows)
        self._record.write()
        self.finished = frozenset(index for index, row in rows.items() if row["status"] != "failed")
        self._writer = ThreadPoolExecutor(1, "voxelmorph-write")
        self._waiting: list[Future] = []

    @property
    def adapted_weights(self) -> Path:
        """Where the network adapted to this sequence is kept for the runs that continue."""
        return self.path / "adapted" / "network.pt"

    def name(self, index: int) -> str:
        return f"{index:0{self._digits}d}"

    def recall(self, index: int) -> sitk.Image | None:
        """The displacement that was kept of a frame, exactly as it was; None when there is none."""
        path = self._kept(index)
        if not path.is_file():
            return None
        with np.load(path) as kept:
            grid = Grid(*(tuple(kept[name].tolist()) for name in ("size", "spacing", "origin", "direction")))
            return grid.image(kept["vectors"], vector=True)

    def add(self, result: FrameResult) -> None:
        """Hand in a frame to be written; waits when the disk is behind. Raises what writing an earlier one raised."""
        while len(self._waiting) >= _WAITING:
            self._waiting.pop(0).result()
        self._waiting.append(self._writer.submit(self._write, result))

    def close(self) -> None:
        """Wait until everything handed in is written; raises what writing raised."""
        self._writer.shutdown(wait=True)
        waiting, self._waiting = self._waiting, []
        for pending in waiting:
            pending.result()

    def abandon(self) -> None:
        """Finish the file that is being written, and leave the rest."""
        self._writer.shutdown(wait=True, cancel_futures=True)

    def finish(self, reference: Grid) -> dict[int, dict[str, str]]:
        """Flag the frames, assemble the label sequence on the reference's grid, complete the record; gives the
        table.
        """
        self.close()
        rows = self._table.finish()
        self._record.frame_runs = {index: int(row["run"]) for index, row in rows.items()}
        self._record.write()
        made = {
            index: row for index, row in rows.items() if self._labels(index).is_file() and row["status"] != "failed"
        }
        if made:
            write_label_sequence(
                self.path / "segmentation.seq.nrrd",
                [
                    SequenceFrame(self._labels(index), self._value(index, row), _attributes(index, row))
                    for index, row in made.items()
                ],
                reference,
                self._frames.index_name,
                self._frames.index_unit,
                self._frames.index_type,
            )
        if len(made) == len(self._frames):
            shutil.rmtree(self.path / ".resume", ignore_errors=True)
        return rows

    def _value(self, index: int, row: Mapping[str, str]) -> str:
        return self._frames.value(index) if index < len(self._frames) else row["index_value"]

    def _write(self, result: FrameResult) -> None:
        if result.status != "failed":
            name = self.name(result.index)
            if self._wanted.transforms:
                field = every_nth(result.displacement, self._wanted.transforms)
                write_displacement(field, self.path / "transforms" / f"{name}.nrrd")
            if result.points is not None:
                write_points(result.points, self.path / "points" / f"{name}.mrk.json")
            if result.surface is not None:
                write_surface(result.surface, self.path / "surface" / f"{name}.vtp")
            if result.segmentation is not None:
                self._write_segmentation(result.segmentation, result.index)
            if result.keep:
                self._keep(result)
        self._table.append(result, self._run)
        for index in result.release:
            self._kept(index).unlink(missing_ok=True)

    def _write_segmentation(self, segmentation: Segmentation, index: int) -> None:
        flat = segmentation.flattened()
        if len(segmentation.layers) > 1:
            write_segmentation(segmentation, self._labels(index).with_suffix(".seg.nrrd"))
        if all(segment.name_generated for segment in flat.segments):
            write_image(flat.layers[0], self._labels(index))
        else:
            write_segmentation(flat, self._labels(index))

    def _keep(self, result: FrameResult) -> None:
        grid = Grid.of(result.displacement)
        with atomic_write(self._kept(result.index)) as partial, open(partial, "wb") as stream:
            np.savez(
                stream,
                vectors=sitk.GetArrayViewFromImage(result.displacement),
                size=grid.size,
                spacing=grid.spacing,
                origin=grid.origin,
                direction=grid.direction,
            )

    def _labels(self, index: int) -> Path:
        return self.path / "segmentation" / f"{self.name(index)}.nrrd"

    def _kept(self, index: int) -> Path:
        return self.path / ".resume" / f"{self.name(index)}.npz"

    def _opened(
        self, run: Run, overwrite: bool, chosen: list[int] | None
    ) -> tuple[RunRecord, int, dict[int, dict[str, str]]]:
        """The record, the number of this run in it, and the rows to keep."""
        path = self.path / "run.json"
        if overwrite and chosen is None:
            self._clear()
        record = RunRecord.read(path)
        if record is None:
            if not overwrite and any((self.path / name).exists() for name in ("segmentation", *_FILES)):
                raise InputError(
                    f"{self.path}: holds results that no run.json describes; give another folder, or --overwrite"
                )
            return RunRecord(path, [run]), 0, {}
        number = record.matching(run)
        if number is None and not overwrite:
            raise InputError(
                f"{self.path}: holds a run with other settings ({run.difference(record.runs[0])}); "
                "give another folder, --overwrite to start again, "
                "or --overwrite with --frames to redo only those frames"
            )
        if number is None:
            number = len(record.runs)
            record.runs.append(run)
        rows = FrameTable(self.path / "frames.csv", ()).read()
        kept = {index: row for index, row in rows.items() if self._is_kept(index, row, record, number, run)}
        if overwrite:
            kept = {index: row for index, row in kept.items() if index not in chosen}
        elif number > 0:
            redone = set(chosen if chosen is not None else range(len(self._frames)))
            kept = {index: row for index, row in kept.items() if index not in redone or int(row["run"]) == number}
        record.runs[number] = run
        return record, number, kept

    def _is_kept(self, index: int, row: Mapping[str, str], record: RunRecord, number: int, run: Run) -> bool:
        made_by = int(row["run"]) if row["run"].isdigit() else -1
        if row["status"] == "failed" or not 0 <= made_by < len(record.runs):
            return False
        if record.runs[made_by].frame(index) != run.frame(index):
            return False
        return (
            self._labels(index).is_file()
            or (self.path / "points" / f"{self.name(index)}.mrk.json").is_file()
            or (self.path / "surface" / f"{self.name(index)}.vtp").is_file()
        )

    def _clear(self) -> None:
        """Remove what an earlier run wrote, and nothing else."""
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)
        for folder in _FOLDERS:
            for entry in (self.path / folder).glob("*"):
                if entry.is_file() and (entry.name[:1].isdigit() or entry.name.startswith((".", "network."))):
                    entry.unlink()

    def _remove_leftovers(self) -> None:
        """Temporary files of a run that was killed while it wrote them."""
        leftovers = [*self.path.glob(".partial-*"), *(e for name in _FOLDERS for e in (self.path / name).glob(".*-*"))]
        for entry in leftovers:
            entry.unlink(missing_ok=True)

    def _refuse_inputs_inside(self, frames: Frames) -> None:
        """Frames that lie where results go would be overwritten, or the assembled sequence be taken for a frame next
        time.
        """
        taken = [(self.path / name).resolve() for name in (*_FOLDERS, *_FILES)]
        for index in {0, len(frames) - 1}:
            file = frames.file(index)
            if file is None:
                continue
            beside = isinstance(frames, FileFrames) and file.resolve().parent == self.path.resolve()
            if beside or any(place in (file.resolve(), *file.resolve().parents) for place in taken):
                raise InputError(
                    f"{file}: this frame lies where the results go; give another output folder than {self.path}"
                )


def every_nth(displacement: sitk.Image, step: int) -> sitk.Image:
    """The displacement at every `step`-th voxel along each axis, from the first."""
    if step == 1:
        return displacement
    every = tuple(slice(None, None, step) for _ in range(displacement.GetDimension()))
    array = sitk.GetArrayViewFromImage(displacement)[every]
    grid = Grid.of(displacement)
    size = tuple(reversed(array.shape[:-1]))
    return Grid(size, tuple(s * step for s in grid.spacing), grid.origin, grid.direction).image(array, vector=True)


def free_bytes(folder: Path) -> int:
    """Free space where the folder is, or would be."""
    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def _attributes(index: int, row: Mapping[str, str]) -> dict[str, str]:
    """What the frame's node in Slicer is to know."""
    found = {"VoxelMorph.Frame": str(index), "VoxelMorph.Status": row["status"]}
    for name, column in (
        ("SimilarityBefore", "similarity_before"),
        ("SimilarityAfter", "similarity_after"),
        ("FoldedPercent", "folded_percent"),
        ("Flag", "flag"),
    ):
        if row.get(column):
            found[f"VoxelMorph.{name}"] = row[column]
    return found
