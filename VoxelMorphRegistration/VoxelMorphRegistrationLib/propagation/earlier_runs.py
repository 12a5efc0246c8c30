"""What a folder holds of earlier runs, and what that means for the one that is to come."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..errors import InputError
from .frame_files import FrameFiles, Wanted
from .parts import Rows
from .propagate import Propagation
from .record import Run, RunRecord
from .table import FrameTable


def check_run(folder: Path, run: Run) -> None:
    """Raises InputError when a folder holds a run that this one does not go on from."""
    record = RunRecord.read(folder / "run.json")
    if record is not None and record.matching(run) is None:
        raise other_run(folder, record, run)


def finished_rows(folder: Path, run: Run, propagation: Propagation) -> Rows | None:
    """The rows of a run that wants nothing more: every frame is there, made of the file it has now, and it was put
    together; None for any other.
    """
    record = RunRecord.read(folder / "run.json")
    number = None if record is None else record.matching(run)
    if record is None or number is None:
        return None
    earlier = record.runs[number]
    rows = FrameTable(folder / "frames.csv", ()).read()
    files = FrameFiles(folder, len(propagation.frames), Wanted())
    made = all(
        index in rows
        and rows[index]["status"] != "failed"
        and earlier.frame(index) == run.frame(index)
        and files.exist(index)
        for index in propagation.select
    )
    whole = earlier.circumstances.get("wanted") == len(propagation.select) and "seconds" in earlier.circumstances
    return rows if made and whole else None


def other_run(folder: Path, record: RunRecord, run: Run) -> InputError:
    """The error that names the first difference between a folder's run and another one."""
    if not record.runs[0].says_what_was_seen:
        run = run.without_what_was_seen()
    return InputError(
        f"{folder}: holds a run with other settings ({run.difference(record.runs[0])}); "
        "give another folder, --overwrite to start again, "
        "or --overwrite with --frames to redo only those frames"
    )


def mixed_grids(folder: Path, run: Run, kept: Collection[int], wanted: Collection[int]) -> list[str]:
    """What to say where an earlier version, which did not write what its network saw, began what this run goes on
    with: nothing where no frame is made or none is kept.
    """
    if not kept or set(wanted).issubset(kept) or not run.says_what_was_seen:
        return []
    return [
        f"{folder}: was begun by an earlier version, which did not write on what grid its network saw the frames; "
        f"{len(kept)} finished frames stay as they are, the others are made on {run.settings['network_grid']}; "
        "--overwrite makes all of them alike"
    ]
