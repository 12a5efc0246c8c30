"""One gzip stream that several threads compress, block by block.

Each block is deflated by itself and ends at a whole byte (Z_SYNC_FLUSH), so that blocks laid end to end are one deflate
stream (RFC 1951, 3.2.4), as pigz writes it, which any reader of gzip reads. What a block repeats of the one before is
not found: label volumes become one or two percent larger.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # RFC 1952: deflate, no name, no time, fast
_LEVEL = 1
_THREADS = 4  # each holds a block


def write_gzip(stream: BinaryIO, blocks: Iterable[Callable[[], bytes]]) -> None:
    """Compress what all blocks give, in their order, into a stream. Raises what a block raises.

    Args:
        blocks: called in threads, a few ahead of what is written.

    >>> import gzip, io
    >>> stream = io.BytesIO()
    >>> write_gzip(stream, [lambda: b"one ", lambda: b"after the other"])
    >>> gzip.decompress(stream.getvalue())
    b'one after the other'
    """
    stream.write(_HEADER)
    checksum, size = 0, 0
    waiting: deque[Future[tuple[bytes, bytes]]] = deque()
    with ThreadPoolExecutor(_THREADS, "voxelmorph-compress") as threads:
        try:
            for block in [*blocks, None]:
                if block is not None:
                    waiting.append(threads.submit(_deflated, block))
                while waiting and (block is None or len(waiting) >= _THREADS):
                    values, packed = waiting.popleft().result()
                    checksum, size = zlib.crc32(values, checksum), size + len(values)
                    stream.write(packed)
        finally:
            for one in waiting:
                one.cancel()
    last = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
    stream.write(last + struct.pack("<II", checksum, size & 0xFFFFFFFF))


def _deflated(block: Callable[[], bytes]) -> tuple[bytes, bytes]:
    values = block()
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return values, deflate.compress(values) + deflate.flush(zlib.Z_SYNC_FLUSH)
