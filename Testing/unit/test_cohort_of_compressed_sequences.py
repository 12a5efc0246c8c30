"""A cohort of sequences that are compressed: what the check of the table unpacks, and what the workers read."""

from __future__ import annotations

import gc
import shutil

import pytest
import SimpleITK as sitk

from Testing.support.cohort_cases import run_cohort, write_cohort_case
from VoxelMorphRegistrationLib.cli.cohort import RowReader
from VoxelMorphRegistrationLib.cohort import work as cohort_work
from VoxelMorphRegistrationLib.cohort.cases import read_cases
from VoxelMorphRegistrationLib.cohort.first_sequence import FirstSequence
from VoxelMorphRegistrationLib.cohort.models import Models
from VoxelMorphRegistrationLib.cohort.work import work
from VoxelMorphRegistrationLib.files import temporary

pytest.importorskip("distributed", reason="dask distributed is not installed")


def compressed_cohort(folder, patients):
    """As `write_cohort_case`, with the frames of each patient in one compressed file."""
    given = write_cohort_case(folder, ["direct"] * patients, 5)
    for n in range(patients):
        frames = [sitk.ReadImage(str(path)) for path in sorted((folder / f"p{n}" / "frames").iterdir())]
        sitk.WriteImage(sitk.JoinSeries(frames), str(folder / f"p{n}" / f"cine{n}.nii.gz"), True)
        given.write_text(given.read_text().replace(f"p{n}/frames", f"p{n}/cine{n}.nii.gz"))
    return given


def test_a_compressed_sequence_is_told_of_and_unpacked_once_for_all_who_work_on_it(tmp_path, scratch, passes):
    given, opened = compressed_cohort(tmp_path, 1), []

    def watched(unit):
        cohort_work._opened = None  # As each process has its own.
        work(unit)
        opened.append([path.name for path in scratch.rglob("*.voxels")])

    told = []
    read_cases(given, tmp_path / "out", RowReader(given.parent, []), Models(), told=told.append)
    assert len(told) == 1 and told[0].startswith("p0: compressed: unpacked once into a temporary file of ")
    passes.clear()
    (result,) = run_cohort(given, tmp_path / "out", work=watched)
    assert [row["status"] for _, row in sorted(result.rows.items())] == ["done", "done", "reference", "done", "done"]
    assert len(opened) == 2 and opened[0] == opened[1] and len(opened[0]) == 1
    assert passes == ["cine0.nii.gz"]  # When the table is checked; the run reads what that has left.
    cohort_work._opened = None
    gc.collect()
    assert not list(scratch.rglob("*.voxels"))


@pytest.mark.skipif(temporary.fcntl is None, reason="this system has no locks that end with a process")
def test_of_several_compressed_sequences_the_check_keeps_the_first_ones_room_as_long_as_it_is_free(
    tmp_path, scratch, passes, monkeypatch
):
    given = compressed_cohort(tmp_path, 2)
    usage, first = shutil.disk_usage(scratch), FirstSequence()

    def check():
        return read_cases(given, tmp_path / "out", RowReader(given.parent, []), Models(), first=first)

    assert [case.frames for case in check()] == [5, 5] and passes == ["cine0.nii.gz", "cine1.nii.gz"]
    assert first.take("p1") is None and len(list(scratch.rglob("*.voxels"))) == 1
    assert len(first.take("p0")) == 5 and first.take("p0") is None
    assert not list(scratch.rglob("*.voxels"))
    first = FirstSequence()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=0 if filled(scratch) else 10**9))
    assert [case.frames for case in check()] == [5, 5] and first.take("p0") is None


def filled(scratch):
    """Whether a temporary file takes room."""
    return any(path.stat().st_size for path in scratch.rglob("*.voxels"))
