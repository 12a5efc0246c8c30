"""Sequences whose frames are interleaved voxel by voxel, as Slicer up to 5.8 wrote them: put in order in one pass.

Every frame is spread over the whole file, so that reading one means reading all. The file is read (and decompressed)
once from its beginning to its end, and its frames written one after the other into a temporary file as large as its
voxels; memory holds some megabytes of it.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

import numpy as np

from ..errors import InputError
from .compressed import CutShort, Packing
from .nrrd import NrrdHeader
from .random_access import PreparedAccess, Told, stored_blocks

_BLOCK = 1 << 24
_MORE = 1 << 24  # bytes that may follow the voxels


def in_order(header: NrrdHeader, shared: bool = False) -> PreparedAccess:
    """The frames of a file whose fastest axis is the list, one after the other.

    `prepare` and `read` raise InputError when the file is cut short or damaged, and when there is no room.

    Args:
        shared: see `PreparedAccess`.
    """
    frames, voxels = header.sizes[0], math.prod(header.sizes[1:])
    width = frames * header.dtype.itemsize

    def work(storage: BinaryIO, told: Told) -> int:
        _reserve(storage, voxels * width)
        target = np.memmap(storage, header.dtype, "w+", shape=(frames, voxels))
        done = 0
        for block in _whole_voxels(header, width, voxels * width):
            values = np.frombuffer(block, header.dtype).reshape(-1, frames)
            target[:, done : done + len(values)] = values.T
            done += len(values)
            told(done / voxels)
        target.flush()
        if done < voxels:
            raise InputError(f"{header.path}: the file is cut short; copy or download it again")
        return voxels * width

    packed = "compressed, and " if header.encoding == "gzip" else ""
    why = f"{packed}its frames are interleaved: put in order in one pass over the file, into"
    return PreparedAccess(header.data, voxels * width, why, work, shared)


def _reserve(storage: BinaryIO, count: int) -> None:
    """Raises OSError when the disk does not take so many bytes: what is written into a mapped file without room for it
    ends the process.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(storage.fileno(), 0, count)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # Some file systems cannot reserve.
            raise


def _whole_voxels(header: NrrdHeader, width: int, whole: int) -> Iterator[bytes]:
    """The file's voxels in blocks of whole ones, `width` bytes each."""
    waiting, length, taken = [], 0, 0
    most, limit = max(width, _BLOCK // width * width), 2 * whole + _MORE
    for block in _blocks(header):
        taken += len(block)
        if header.encoding == "gzip" and taken > limit:
            raise InputError(f"{header.path}: holds more than its header says; copy or export it again")
        waiting.append(block)
        length += len(block)
        if length >= most:
            joined = b"".join(waiting)
            ready = min(len(joined) // width * width, max(whole, 0))
            yield joined[:ready]
            whole -= ready
            waiting = [joined[ready:]] if whole else []
            length = sum(map(len, waiting))
    joined = b"".join(waiting)
    ready = min(len(joined) // width * width, whole)
    if ready:
        yield joined[:ready]


def _blocks(header: NrrdHeader) -> Iterator[bytes]:
    packing: Packing | None = "gzip" if header.encoding == "gzip" else None
    with suppress(CutShort):
        yield from stored_blocks(header.path, header.data, header.offset, packing)
