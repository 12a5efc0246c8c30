"""Atomic writes: files appear complete or not at all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.atomic import atomic_write
from VoxelMorphRegistrationLib.files.displacements import write_displacement


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path):
    with atomic_write(tmp_path / "0000.nii.gz") as partial:
        partial.write_text("half")
        assert not (tmp_path / "0000.nii.gz").exists()
        assert partial.name.endswith(".nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["0000.nii.gz"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_gets_the_permissions_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        (tmp_path / "other").write_text("")
        with atomic_write(tmp_path / "mine") as partial:
            partial.write_text("")
    finally:
        os.umask(before)
    assert (tmp_path / "mine").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_permissions_of_the_process_are_never_switched(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask belongs to the whole process"))
    with atomic_write(tmp_path / "mine"):
        pass


def test_two_writers_of_one_name_do_not_meet(tmp_path):
    with atomic_write(tmp_path / "mine") as first, atomic_write(tmp_path / "mine") as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "first"


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("ITK says\nNo space left on device")]
)
def test_what_was_there_stays_when_writing_fails(tmp_path, error):
    (tmp_path / "0000.nrrd").write_text("old")
    with pytest.raises(InputError, match="0000.nrrd: cannot be written .No space left on device.;"):
        with atomic_write(tmp_path / "0000.nrrd") as partial:
            partial.write_text("new")
            raise error
    assert [path.name for path in tmp_path.iterdir()] == ["0000.nrrd"]
    assert (tmp_path / "0000.nrrd").read_text(encoding="utf-8") == "old"


def test_an_interrupted_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with atomic_write(tmp_path / "0000.nrrd"):
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii.gz", "a.h5"])
def test_a_folder_that_cannot_be_made_is_said_with_the_file_and_what_to_do(tmp_path, name):
    (tmp_path / "taken").write_text("")
    path = tmp_path / "taken" / "below" / name
    with pytest.raises(InputError, match=f"{name}: its folder cannot be made .*; choose another folder"):
        write_displacement(sitk.Image([4, 4, 4], sitk.sitkVectorFloat32), path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("limit", [1000, 100_000])
def test_a_disk_that_fills_does_not_end_the_process_over_an_hdf5_file(tmp_path, limit):
    """ITK's HDF5 does, or prints a screen of its own."""
    script = (
        "import resource, signal, sys, SimpleITK as sitk\n"
        "from VoxelMorphRegistrationLib import errors\n"
        "from VoxelMorphRegistrationLib.files.displacements import write_displacement\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try:\n    write_displacement(sitk.Image([20, 20, 20], sitk.sitkVectorFloat32), sys.argv[1])\n"
        "except errors.InputError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path / "a.h5")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'a.h5'}: cannot be written (File too large)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
@pytest.mark.parametrize("name", ["a.mha", "a.nii", "a.nii.gz"])
def test_a_disk_that_fills_is_told_in_one_line_whatever_the_writer_prints(tmp_path, name):
    """MetaImage and NIfTI print lines of their own."""
    script = (
        "import collections, resource, shutil, signal, sys, numpy, SimpleITK as sitk\n"
        "from VoxelMorphRegistrationLib import errors\n"
        "from VoxelMorphRegistrationLib.files.images import write_image\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "shutil.disk_usage = lambda path: collections.namedtuple('usage', 'free')(1000)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "noise = numpy.random.default_rng(0).random((20, 20, 20))\n"
        "try:\n    write_image(sitk.GetImageFromArray(noise), sys.argv[1])\n"
        "except errors.InputError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith(f"{tmp_path / name}: cannot be written (File too large)")
    assert list(tmp_path.iterdir()) == []
