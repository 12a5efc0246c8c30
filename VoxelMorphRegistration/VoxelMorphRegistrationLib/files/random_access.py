"""Random access to the bytes of a file, or of a gzip stream inside it."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError
from .compressed import CutShort, unpack

_PADDING = 1 << 24


class RandomAccess:
    """Random access to the bytes of a file or of a gzip stream inside it.

    A gzip stream is unpacked to its end when its first bytes are asked for, because only there its checksum says if any
    of them is right. A stream that could not be unpacked once is never gone on with.
    """

    def __init__(self, path: Path, stream: BinaryIO, start: int = 0, packed: BinaryIO | None = None) -> None:
        self._path, self._stream, self._start, self._packed = path, stream, start, packed
        self._failure: InputError | None = None
        self._lock = threading.Lock()

    @property
    def stored(self) -> int:
        """Bytes of the file."""
        return self._path.stat().st_size

    @classmethod
    def open(cls, path: Path, offset: int, compressed: bool) -> RandomAccess:
        try:
            stream = open(path, "rb")
            stream.seek(offset)
            if not compressed:
                return cls(path, stream, offset)
            return cls(path, tempfile.TemporaryFile(prefix="voxelmorph-sequence-"), 0, stream)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error

    def read(self, start: int, count: int, whole: int) -> bytes:
        """`count` bytes, or fewer where the file is cut short; `whole` bytes are wanted of it in all."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._packed is not None:
                try:
                    self._unpack(self._packed, whole)
                except InputError as error:
                    self._failure = error
                    self._stream.close()
                    raise
                self._packed.close()
                self._packed = None
            self._stream.seek(self._start + start)
            return self._stream.read(count)

    def _unpack(self, packed: BinaryIO, whole: int) -> None:
        ready = 0
        try:
            for block in unpack(self._path, packed, "gzip"):
                self._stream.write(block[: max(whole - ready, 0)])
                ready += len(block)
                if ready > 2 * whole + _PADDING:
                    raise InputError(f"{self._path}: holds more than its header says; copy or export it again")
        except CutShort:
            pass  # What lies before is whole.
        except OSError as error:
            raise InputError(
                f"{self._path}: no room to decompress it in {tempfile.gettempdir()}; "
                "free space, or point TMPDIR elsewhere"
            ) from error
