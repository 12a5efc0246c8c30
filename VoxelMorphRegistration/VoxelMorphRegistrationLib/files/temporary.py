"""Large temporary files: one's own, which has no name and goes with its process, and those that processes share.

A shared one has a name in a folder of the user's own and is filled by whoever comes first, while the others wait. Each
reader holds a lock on it (flock), which the system drops when the process ends, however it ends; the last one to leave
removes the file. What processes left that were killed is removed by the next that makes one, or by `remove_left`.
Where there are no such locks (Windows) each process has its own.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_ENDING = ".voxels"
_MARK = b"whole, of bytes:"  # behind the bytes of a shared file that is complete, before their number

Fill = Callable[[BinaryIO], int]
"""Writes into an empty file, and returns how many of its bytes count."""


@dataclass(frozen=True)
class Temporary:
    """A temporary file and how many of its bytes count.

    Attributes:
        path: None for a file without a name.
    """

    stream: BinaryIO
    ready: int
    path: Path | None = None

    def close(self) -> None:
        """Leave the file, and remove it where nobody else reads it."""
        if self.stream.closed:
            return
        if self.path is not None:
            # Not the other way round: of two that leave at once one has to find the file free.
            fcntl.flock(self.stream, fcntl.LOCK_UN)
            _remove_if_free(self.stream, self.path)
        self.stream.close()


def own_temporary(fill: Fill) -> Temporary:
    """A file without a name. Raises OSError when there is no room, and what `fill` raises."""
    stream = tempfile.TemporaryFile(prefix="voxelmorph-sequence-")
    try:
        return Temporary(stream, fill(stream))
    except BaseException:
        stream.close()
        raise


def shared_temporary(key: str, fill: Fill) -> Temporary:
    """The file that all processes of this user on this machine share under a key; raises as `own_temporary`."""
    folder = _own_folder()
    if folder is None:
        return own_temporary(fill)
    remove_left()
    path = folder / f"{key}{_ENDING}"
    while True:
        stream = open(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600), "r+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_SH)  # Whoever fills it holds it alone.
            ready = _ready(stream) if _is_there(stream, path) else None
            if ready is None:
                fcntl.flock(stream, fcntl.LOCK_EX)
                if not _is_there(stream, path):
                    stream.close()
                    continue  # Its last reader removed it between the two looks.
                ready = _ready(stream)
                if ready is None:
                    ready = _filled(stream, path, fill)
                fcntl.flock(stream, fcntl.LOCK_SH)
            return Temporary(stream, ready, path)
        except BaseException:
            stream.close()
            raise


def remove_left() -> None:
    """Remove shared files that nobody reads any more."""
    folder = _own_folder()
    for path in [] if folder is None else folder.glob(f"*{_ENDING}"):
        try:
            with open(path, "r+b") as stream:
                _remove_if_free(stream, path)
        except OSError:
            continue


def _filled(stream: BinaryIO, path: Path, fill: Fill) -> int:
    try:
        stream.truncate(0)
        ready = fill(stream)
        stream.seek(0, os.SEEK_END)
        stream.write(_MARK + ready.to_bytes(8, "little"))
        stream.flush()
        return ready
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _ready(stream: BinaryIO) -> int | None:
    """How many bytes count; None for a file that is not complete."""
    end = len(_MARK) + 8
    size = os.fstat(stream.fileno()).st_size
    if size < end:
        return None
    stream.seek(size - end)
    found = stream.read(end)
    return int.from_bytes(found[-8:], "little") if found.startswith(_MARK) else None


def _remove_if_free(stream: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # Somebody reads it.
    if _is_there(stream, path):
        path.unlink(missing_ok=True)


def _is_there(stream: BinaryIO, path: Path) -> bool:
    """Whether the open file still has its name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.lstat(path))
    except OSError:
        return False


def _own_folder() -> Path | None:
    """A folder of this user alone; None where there can be none (another user took its name) or there are no locks."""
    if fcntl is None:
        return None
    folder = Path(tempfile.gettempdir()) / f"slicer-voxelmorph-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = os.lstat(folder)
    except OSError:
        return None
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    return folder if is_own else None
