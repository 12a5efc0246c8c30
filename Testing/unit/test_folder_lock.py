"""One run a folder: who holds it is told, and the lock of a run that is no more is taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.lock import FolderLock


def lock_of(folder, **changes) -> dict:
    """Write a lock as another process would have; returns what it says."""
    content = {"host": socket.gethostname(), "pid": 1, "process_started": "", "since": "yesterday", "key": "k"}
    (folder / ".lock").write_text(json.dumps({**content, **changes}))
    return content


def made_long_ago(folder) -> None:
    os.utime(folder / ".lock", (time.time() - 600,) * 2)


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def test_a_second_run_is_told_who_holds_the_folder_and_may_go_on_once_it_is_free(tmp_path):
    lock = FolderLock(tmp_path)
    who = f"process {os.getpid()} on {socket.gethostname()}"
    with pytest.raises(InputError, match=f"{tmp_path}: another run writes there .{who}.*{tmp_path / '.lock'}"):
        FolderLock(tmp_path)
    lock.release()
    assert list(tmp_path.iterdir()) == []
    FolderLock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_nothing_refers_to_any_more_is_released(tmp_path):
    FolderLock(tmp_path)
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize(
    "ended", ["crashed", "number used again", "restarted in a container", "other host", "unreadable"]
)
def test_the_lock_of_a_run_that_is_no_more_is_taken_over(tmp_path, ended):
    if ended == "crashed":
        lock_of(tmp_path, pid=ended_process())
    elif ended == "number used again":
        if not os.path.exists("/proc/1/stat"):
            pytest.skip("the start of another process is known here only on Linux")
        lock_of(tmp_path, process_started="another-boot 17")
    elif ended == "restarted in a container":
        lock_of(tmp_path, pid=os.getpid())
    elif ended == "other host":
        lock_of(tmp_path, host="elsewhere")
        made_long_ago(tmp_path)
    else:
        (tmp_path / ".lock").write_text("{")
        made_long_ago(tmp_path)
    lock = FolderLock(tmp_path)
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    lock.release()


@pytest.mark.parametrize("holder", [{"pid": os.getppid()}, {"host": "elsewhere"}])
def test_a_run_that_is_alive_keeps_its_lock(tmp_path, holder):
    lock_of(tmp_path, **holder)
    text = (tmp_path / ".lock").read_text()
    with pytest.raises(InputError, match="another run writes there"):
        FolderLock(tmp_path)
    assert (tmp_path / ".lock").read_text() == text


def test_of_many_that_find_a_dead_lock_one_gets_it(tmp_path):
    lock_of(tmp_path, pid=ended_process())
    code = (
        "import sys, time; from VoxelMorphRegistrationLib.files.lock import FolderLock\n"
        "from VoxelMorphRegistrationLib.errors import InputError\n"
        "try: lock = FolderLock(sys.argv[1])\n"
        "except InputError: print('refused')\n"
        "else: print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    runs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [run.stdout.readline().strip() for run in runs]
    for run in runs:
        run.communicate()
    assert sorted(said) == ["held", "refused", "refused", "refused"]


def test_a_folder_that_takes_no_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none: cannot be written to"):
        FolderLock(tmp_path / "none")
