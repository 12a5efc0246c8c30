"""Atomic writes: a file appears under its name when it is complete, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, error_summary

_BLOCK = 1 << 22


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary file in the folder of `path`, of the same ending, that takes its name when the block ends well.

    The file gets the permissions that any new file of this process gets. What was under the name before stays until
    then, and stays for good when the block raises. Safe in several threads and processes at once.

        with atomic_write("points.csv") as partial:
            partial.write_text("l,p,s\\n1,2,3\\n")

    Raises InputError, naming `path`, when it cannot be written (no such folder, no room, no permission).
    """
    path = Path(path)
    partial = None
    try:
        partial = _new_file(path)
        yield partial
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # SimpleITK, torch and HDF5 report a full disk as RuntimeError
        raise InputError(
            f"{path}: cannot be written ({error_summary(error)}); free space or choose another folder"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def make_folder_of(path: Path) -> None:
    """Make the folder that a file is to be written into. Raises InputError, naming the file, when it cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: its folder cannot be made ({error.strerror}); choose another folder") from error


def check_room(partial: Path, needed: int) -> None:
    """Raises OSError when the disk does not take `needed` bytes of a file that is about to be written.

    ITK's HDF5 ends the process on a full disk, so that the bytes are written once as zeros before.
    """
    zeros = bytes(min(needed, _BLOCK))
    with open(partial, "r+b") as stream:
        for start in range(0, needed, _BLOCK):
            stream.write(zeros[: needed - start])
        stream.flush()
        stream.truncate(0)


def _new_file(path: Path) -> Path:
    """An empty file beside `path`. tempfile.mkstemp makes one that only its owner can read, and the permissions of
    other new files (the umask) can be asked for only by changing them for the whole process.
    """
    ending = "".join(path.suffixes[-2:])
    while True:
        partial = path.parent / f".partial-{secrets.token_hex(8)}{ending}"
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
        except FileExistsError:
            continue
        return partial
