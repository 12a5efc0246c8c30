"""The bytes of a sequence in any order: where they are stored, or where one pass over the file has put them.

A compressed file cannot be entered in the middle, and one that interleaves its frames has each of them everywhere. Such
a file is read once from its beginning to its end, into a temporary file as large as its voxels (`temporary`).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError
from .compressed import CutShort, Packing, unpack
from .temporary import Temporary, own_temporary, shared_temporary

_PADDING = 1 << 24
_BLOCK = 1 << 24

#: Told the share, 0 to 1, of a pass that is done.
Told = Callable[[float], None]

#: One pass: fills an empty file, and returns how many of its bytes are the voxels.
Pass = Callable[[BinaryIO, Told], int]


def _silent(share: float) -> None:
    pass


class RandomAccess:
    """The bytes of a file from `offset` on.

    Attributes:
        preparation: what has to be done before the first byte can be read, '' for nothing.

    Raises InputError when the file cannot be opened.
    """

    preparation = ""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path, self._offset = path, offset
        self._lock = threading.Lock()
        try:
            self._stream: BinaryIO = open(path, "rb")
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error

    def prepare(self, told: Told = _silent) -> None:
        """Do it now. Raises InputError when it cannot be done, and the same ever after."""

    def read(self, start: int, count: int) -> bytes:
        """`count` bytes, or fewer where the file is cut short."""
        with self._lock:
            self._stream.seek(self._offset + start)
            return self._stream.read(count)


class PreparedAccess(RandomAccess):
    """The bytes that one pass over a file makes, done when it is asked for or when the first of them are.

    Args:
        path: of the file. needed: bytes of its voxels.
        why: the pass is needed, for people. work: the pass.
        shared: other processes that read the file use the same temporary file.
    """

    def __init__(self, path: Path, needed: int, why: str, work: Pass, shared: bool = False) -> None:
        super().__init__(path)
        self._stream.close()  # It could be opened; whoever makes the pass does so again.
        self._needed, self._why, self._work, self._shared = needed, why, work, shared
        self._temporary: Temporary | None = None
        self._failure: InputError | None = None

    @property
    def preparation(self) -> str:  # type: ignore[override]
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        return f"{self._why} a temporary file of {_size(self._needed)} in {folder}, where {_size(free)} are free"

    def prepare(self, told: Told = _silent) -> None:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._temporary is not None:
                return
            try:
                self._temporary = self._made(told)
            except InputError as error:
                self._failure = error
                raise
            weakref.finalize(self, self._temporary.close)

    def read(self, start: int, count: int) -> bytes:
        self.prepare()
        assert self._temporary is not None
        with self._lock:
            self._temporary.stream.seek(start)
            return self._temporary.stream.read(max(0, min(count, self._temporary.ready - start)))

    def _made(self, told: Told) -> Temporary:
        def fill(stream: BinaryIO) -> int:
            free = shutil.disk_usage(tempfile.gettempdir()).free
            if free < self._needed:
                raise self._no_room(f"{_size(self._needed)} are needed, {_size(free)} are free")
            return self._work(stream, told)

        try:
            if not self._shared:
                return own_temporary(fill)
            status = self.path.stat()
            known = f"{self._why} {self.path.resolve()} {status.st_size} {status.st_mtime_ns} {self._needed}"
            return shared_temporary(hashlib.sha256(known.encode()).hexdigest(), fill)
        except OSError as error:
            raise self._no_room(error.strerror or str(error)) from error

    def _no_room(self, reason: str) -> InputError:
        return InputError(
            f"{self.path}: no room to decompress it or put it in order in {tempfile.gettempdir()} ({reason}); free "
            "space, or point TMPDIR elsewhere"
        )


def unpacked(
    path: Path,
    data: Path,
    offset: int,
    packing: Packing,
    needed: int,
    stored: int | None = None,
    shared: bool = False,
) -> PreparedAccess:
    """The first `needed` bytes that a stream inside a file unpacks to, fewer where it is cut short.

    The stream is followed to its end, where its checksum says if any of them is right.

    Args:
        path: the file that people know. data: the file with the stream, from `offset` on.
        stored: bytes of the stream; None for all that follow.
    """

    def work(target: BinaryIO, told: Told) -> int:
        found = 0
        try:
            for block in stored_blocks(path, data, offset, packing, stored):
                target.write(block[: max(needed - found, 0)])
                found += len(block)
                if found > 2 * needed + _PADDING:
                    raise InputError(f"{path}: holds more than its header says; copy or export it again")
                told(min(1.0, found / max(1, needed)))
        except CutShort:
            pass  # What lies before is whole.
        return min(found, needed)

    return PreparedAccess(data, needed, "compressed: unpacked once into", work, shared)


def stored_blocks(
    path: Path, data: Path, offset: int, packing: Packing | None, stored: int | None = None
) -> Iterator[bytes]:
    """The bytes of `data` from `offset` on, unpacked where they are packed; arguments as of `unpacked`.

    Raises InputError, naming `path`, when they cannot be read, and what `compressed.unpack` raises.
    """
    try:
        with open(data, "rb") as stream:
            stream.seek(offset)
            if packing is not None:
                yield from unpack(path, stream, packing, stored)
                return
            while block := stream.read(_BLOCK):
                yield block
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e10 else f"{count / 1e6:,.0f} MB"
