"""Faults of files and drives, of what is read and of what is written."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.soak.small_cohort import LIMIT, Left, SmallCohort, frames_in, table_of, wait_for_frames
from Testing.support.cohort_cases import write_cohort_case
from Testing.support.propagation_cases import breathing, frame


def output_removed(soak: SmallCohort) -> Left:
    """A patient's folder is taken away while it is written."""
    output = soak.output("removed")
    process = soak.start(output)
    assert wait_for_frames(process, output, 6)
    shutil.rmtree(output / "p0", ignore_errors=True)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode in (0, 4), err
    named = next(row for row in csv.DictReader(open(output / "cohort.csv", newline="")) if row["case"] == "p0")
    soak.check_whole(output, ("p1", "p2", "p3"))
    assert soak.run(output).returncode == 0
    soak.check_whole(output)
    why = named["message"].rpartition("/")[2][:60]
    return Left(f"named ({why or 'its folder was made again'}); the others are whole; the same command makes it again")


def read_only(soak: SmallCohort) -> Left:
    """An output that cannot be written to."""
    with mounted(soak.output("read-only"), "ro,size=1m") as output:
        done = soak.run(output / "out")
    assert done.returncode == 1 and "choose another output folder" in done.stderr, done.stderr
    return Left("refused in one line")


def disk_full(soak: SmallCohort) -> Left:
    """The disk is full half-way, and then grows."""
    blocks = sum(-(-path.stat().st_size // 4096) for path in soak.whole.rglob("*") if path.is_file())
    with mounted(soak.output("full"), f"size={2 * blocks}k") as output:
        done = soak.run(output / "out")
        kept = frames_in(output / "out")
        assert done.returncode in (1, 4), done.stderr
        table = output / "out" / "cohort.csv"
        said = done.stderr + (table.read_text(encoding="utf-8") if table.is_file() else "")
        assert "cannot be written" in said, said
        subprocess.run(["mount", "-o", "remount,size=50m", str(output)], check=True)
        assert soak.run(output / "out").returncode == 0
        soak.check_whole(output / "out")
    return Left(f"named; {kept} frames stay, and it goes on when there is room, labels and rows equal")


def input_replaced(soak: SmallCohort) -> Left:
    """A frame's file is replaced while the cohort runs."""
    output, path = soak.output("replaced"), soak.folder / "p0" / "frames" / "frame15.nrrd"
    before, status = path.read_bytes(), path.stat()
    process = soak.start(output)
    assert wait_for_frames(process, output, 6)
    sitk.WriteImage(frame(1), str(path))
    process.communicate(timeout=LIMIT)
    written = {file: file.stat().st_mtime_ns for file in output.glob("p0/segmentation/*.nrrd")}
    assert soak.run(output).returncode == 0
    changed = [file.name for file, when in written.items() if file.stat().st_mtime_ns != when]
    path.write_bytes(before)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert changed == ["0015.nrrd"], changed
    assert soak.run(output).returncode == 0
    soak.check_whole(output)
    return Left("the frame, and it alone, is made again by the same command")


def damaged_frames(soak: SmallCohort) -> Left:
    """A frame in a hundred is truncated, one of another size, one not numbers."""
    folder, count = soak.output("damaged"), 100
    folder.mkdir()
    table = write_cohort_case(folder, ("direct", "keyframes"), count, breathing)
    for patient in ("p0", "p1"):
        frames = folder / patient / "frames"
        (frames / "frame7.nrrd").write_bytes((frames / "frame7.nrrd").read_bytes()[:2000])
        sitk.WriteImage(sitk.Image(9, 9, 9, sitk.sitkFloat32), str(frames / "frame11.nrrd"))
        image = frame(breathing(15))
        values = sitk.GetArrayFromImage(image)
        values[5:9] = np.nan
        damaged = sitk.GetImageFromArray(values)
        damaged.CopyInformation(image)
        sitk.WriteImage(damaged, str(frames / "frame15.nrrd"))
    done = soak.run(folder / "out", table=table)
    assert done.returncode == 4, done.stderr
    for patient in ("p0", "p1"):
        rows = {int(row["index"]): row for row in table_of(folder / "out" / patient)}
        assert len(rows) == count and rows[7]["status"] == "failed" and "frame7.nrrd" in rows[7]["message"]
        for index in (11, 15):
            assert rows[index]["message"] or rows[index]["flag"], f"frame {index} says nothing"
        assert [index for index, row in rows.items() if row["status"] == "failed" and index not in (7, 11, 15)] == []
    return Left("each is named in frames.csv, the others are done", frames=2 * count)


@contextmanager
def mounted(folder: Path, options: str):
    """A small drive of its own, where this process may mount one."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True).returncode:
        raise NotImplementedError("a drive cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True)
