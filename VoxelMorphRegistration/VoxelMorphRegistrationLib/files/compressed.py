"""Compressed voxels, read block by block and believed only when their checksums are right.

ITK and nibabel stop reading where the voxels are complete, before the checksum behind them, and so hand out what a
damaged stream happens to decode to. Here a stream is followed to its end: gzip (RFC 1952) closes each member with a
CRC-32 and a length, zlib (RFC 1950) closes with an Adler-32.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from ..errors import InputError

Packing = Literal["gzip", "zlib"]
LARGEST_VARIABLE = "VOXELMORPH_LARGEST_GB"

_WINDOW = {"gzip": 31, "zlib": 15}  # zlib's window sizes that take the wrapper and its checksum
_BLOCK = 1 << 22
_STORED_BLOCK = 1 << 18
_MAGIC = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032  # https://zlib.net/zlib_tech.html: no stream unpacks to more times its size
_BOMB = 100


class CutShort(Exception):
    """The stream ends before its end mark; what came before is as it was written."""


def is_gzip(path: Path) -> bool:
    """Whether the file begins as gzip does, whatever its name."""
    with open(path, "rb") as stream:
        return stream.read(2) == _MAGIC


def unpack(path: Path, stream: BinaryIO, packing: Packing, stored: int | None = None) -> Iterator[bytes]:
    """The unpacked bytes from where `stream` stands, in blocks of at most 4 MB.

    A gzip stream may have several members and zeros or other bytes behind them, as gzip itself takes it.

    Args:
        stored: compressed bytes to read at most; None for all that follow.

    Raises:
        CutShort: the end is missing.
        InputError: the stream is damaged: it cannot be decoded, or a checksum is wrong. Blocks that came before may be
            wrong too.
    """
    left = stored if stored is not None else os.fstat(stream.fileno()).st_size
    waiting = b""

    def more() -> bytes:
        nonlocal left
        found = stream.read(min(_STORED_BLOCK, left))
        left -= len(found)
        return found

    try:
        while True:
            unpacker = zlib.decompressobj(_WINDOW[packing])
            while not unpacker.eof:
                waiting = waiting or more()
                block = unpacker.decompress(waiting, _BLOCK)
                ended = not waiting and not block and not unpacker.eof
                waiting = unpacker.unconsumed_tail
                if ended:
                    raise CutShort
                if block:
                    yield block
            waiting = unpacker.unused_data
            while len(waiting) < len(_MAGIC) and (found := more()):
                waiting += found
            if packing == "zlib" or not waiting.startswith(_MAGIC):
                return
    except zlib.error as error:
        raise InputError(
            f"{path}: its compressed data are damaged ({_reason(error)}); copy or download it again"
        ) from error


def check_packed(path: Path, offset: int, packing: Packing, needed: int, stored: int | None = None) -> None:
    """Raises InputError, naming the file, unless a stream inside it is undamaged and unpacks to `needed` bytes.

    More bytes than needed are taken up to twice as many, as padding.
    """
    check_expansion(path, needed, path.stat().st_size if stored is None else stored)
    found = 0
    try:
        with open(path, "rb") as stream:
            stream.seek(offset)
            for block in unpack(path, stream, packing, stored):
                found += len(block)
                if found > 2 * needed + 2**20:
                    raise InputError(f"{path}: holds more than its header says; copy or export it again")
    except CutShort:
        found = min(found, needed - 1)
    if found < needed:
        raise InputError(f"{path}: the file is cut short; copy or download it again")


def check_claimed(path: Path, claimed: int, stored: int) -> None:
    """Raises InputError when a file of `stored` bytes claims voxels of more bytes than any compression can reach."""
    if claimed > _DEFLATE_LIMIT * (stored + 64):
        raise InputError(
            f"{path}: its header claims {_gigabytes(claimed)} of voxels and the file has {stored} bytes; "
            "it is cut short or damaged: copy or download it again"
        )


def check_expansion(path: Path, claimed: int, stored: int) -> None:
    """As `check_claimed`, and raises InputError when `claimed` bytes are too many to be taken into memory unasked: over
    a hundred times the file and over 1 GB (or what the environment variable VOXELMORPH_LARGEST_GB says).
    """
    check_claimed(path, claimed, stored)
    if claimed > _BOMB * stored and claimed > largest_bytes():
        raise InputError(
            f"{path}: its {stored} bytes unpack to {_gigabytes(claimed)}; if that is meant, set the environment "
            f"variable {LARGEST_VARIABLE} to more gigabytes than that"
        )


def largest_bytes() -> float:
    """How many bytes a file may unpack to that is a hundred times smaller. Raises InputError for a bad setting."""
    text = os.environ.get(LARGEST_VARIABLE, "1")
    try:
        return float(text) * 1e9
    except ValueError:
        raise InputError(f"{LARGEST_VARIABLE}={text!r}: not a number of gigabytes; correct or unset it") from None


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"


def _reason(error: zlib.error) -> str:
    return str(error).partition(": ")[2] or str(error)
