"""One writer a folder: a file `.lock` in it names the process that writes, and a dead process' lock is taken over.

The lock holds host, process id and start of the process. On the same host the process is looked up. From another host
(a folder on a network drive) it cannot be: there a lock counts as given up once its holder, who touches it every half
minute, has not done so for some minutes by the drive's own clock.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, error_summary

_NAME = ".lock"
_TOUCHED_EVERY = 30.0  # seconds
_GIVEN_UP_AFTER = 180.0
_held: set[str] = set()  # by this process, to know its own locks from those of an earlier process of the same id
_held_guard = threading.Lock()


class FolderLock:
    """Held from when it is made until `release`, the end of the process, or until nothing refers to it any more.

        lock = FolderLock(output)
        try:
            ...
        finally:
            lock.release()

    Raises InputError, naming the folder and who holds it, when another run writes there, or when nothing can be written
    there.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self._path = folder / _NAME
        key = secrets.token_hex(8)
        content = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_started": _started(os.getpid()),
            "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            "key": key,
        }
        text = json.dumps(content)
        try:
            while not _created(self._path, text):
                found = _read(self._path)
                if found is None:
                    continue  # Released between the two looks.
                if not _is_given_up(self._path, found[1]):
                    raise InputError(_told(folder, self._path, found[1]))
                _remove_given_up(self._path, found[0])
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be written to ({error_summary(error)}); choose another output folder"
            ) from error
        with _held_guard:
            _held.add(key)
        stop = threading.Event()
        threading.Thread(target=_touch, args=(self._path, stop), name="voxelmorph-lock", daemon=True).start()
        self.release = weakref.finalize(self, _release, self._path, key, stop)


def _created(path: Path, text: str) -> bool:
    """Whether the lock was made, whole at once; False when there is one."""
    whole = path.parent / f".partial-{secrets.token_hex(8)}.lock"
    whole.write_text(text, encoding="utf-8")
    try:
        os.link(whole, path)
    except FileExistsError:
        return False
    except OSError:  # Drives without links.
        try:
            with open(path, "x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            return False
    finally:
        whole.unlink(missing_ok=True)
    return True


def _read(path: Path) -> tuple[str, dict[str, Any]] | None:
    """The lock's text and what it says ({} where that cannot be understood); None when there is no lock."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    try:
        content = json.loads(text)
    except ValueError:
        content = {}
    return text, content if isinstance(content, dict) else {}


def _is_given_up(path: Path, holder: Mapping[str, Any]) -> bool:
    pid = holder.get("pid")
    if holder.get("host") == socket.gethostname() and isinstance(pid, int) and pid > 0:
        if pid == os.getpid():
            with _held_guard:
                return holder.get("key") not in _held
        if not _is_running(pid):
            return True
        started = _started(pid)
        if started and holder.get("process_started"):
            # Numbers of processes are used again, after a restart of the machine for instance.
            return started != holder["process_started"]
    return _seconds_untouched(path) > _GIVEN_UP_AFTER


def _seconds_untouched(path: Path) -> float:
    """By the clock of the drive: that of another host may differ from this one's."""
    probe = path.parent / f".partial-{secrets.token_hex(8)}.clock"
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def _remove_given_up(path: Path, text: str) -> None:
    """Remove a lock, unless another process took it over meanwhile."""
    aside = path.parent / f".partial-{secrets.token_hex(8)}.lock"
    try:
        os.replace(path, aside)
    except FileNotFoundError:
        return
    if aside.read_text(encoding="utf-8", errors="replace") != text:
        os.replace(aside, path)
        return
    aside.unlink(missing_ok=True)


def _told(folder: Path, path: Path, holder: Mapping[str, Any]) -> str:
    if not holder:
        return f"{folder}: another run has just begun to write there; wait for it, or give another output folder"
    who = f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"
    return (
        f"{folder}: another run writes there ({who}); wait for it or give another output folder, and if that process "
        f"is no more, remove {path}"
    )


def _touch(path: Path, stop: threading.Event) -> None:
    while not stop.wait(_TOUCHED_EVERY):
        try:
            os.utime(path)
        except OSError:
            continue  # A drive that is away for a while; the lock is its holder's as long as it runs.


def _release(path: Path, key: str, stop: threading.Event) -> None:
    stop.set()
    with _held_guard:
        _held.discard(key)
    try:
        found = _read(path)
        if found is not None and found[1].get("key") == key:
            path.unlink(missing_ok=True)
    except OSError:
        return  # What stays is recognised as given up.


def _is_running(pid: int) -> bool:
    if sys.platform == "win32":
        import ctypes

        still_active, query_limited_information = 259, 0x1000
        kernel = ctypes.windll.kernel32
        process = kernel.OpenProcess(query_limited_information, False, pid)
        if not process:
            return False
        status = ctypes.c_ulong()
        known = kernel.GetExitCodeProcess(process, ctypes.byref(status))
        kernel.CloseHandle(process)
        return not known or status.value == still_active
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return _status_fields(pid)[:1] != ["Z"]  # A zombie has ended and waits for its parent to look.


def _started(pid: int) -> str:
    """When a process of this machine began, in a form that no other process with its number has; '' where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {_status_fields(pid)[19]}"
    except (OSError, IndexError):
        return ""


def _status_fields(pid: int) -> list[str]:
    """Of Linux' /proc/PID/stat the fields after the name, which is in parentheses and may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
