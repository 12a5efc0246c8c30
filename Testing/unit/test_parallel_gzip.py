"""A gzip stream that several threads compress, read by Python's gzip."""

from __future__ import annotations

import gzip
import io
from functools import partial

import numpy as np
import pytest

from VoxelMorphRegistrationLib.files.parallel_gzip import write_gzip


@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_blocks_come_back_in_their_order(count):
    draw = np.random.default_rng(count)
    blocks = [np.repeat(draw.integers(0, 9, 3000, np.uint8), n).tobytes() for n in range(count)]
    stream = io.BytesIO()
    write_gzip(stream, [partial(bytes, block) for block in blocks])
    assert gzip.decompress(stream.getvalue()) == b"".join(blocks)


def test_no_more_blocks_are_made_than_threads_hold_when_one_cannot_be():
    made = []

    def block(number: int) -> bytes:
        made.append(number)
        if number == 2:
            raise OSError("block 2")
        return b"x"

    with pytest.raises(OSError, match="block 2"):
        write_gzip(io.BytesIO(), [partial(block, number) for number in range(100)])
    assert len(made) < 12
