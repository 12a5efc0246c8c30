"""How many pairs go through a network together: as many as a GPU has room for; on a CPU one, as fast there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

_BYTES = 2400  # a voxel of a pair in one pass; of them a bundled network takes 704, and convolutions some room to work
_SHARE = 0.5  # of the memory that is free
_MOST = 64  # more fill no GPU better

Given = TypeVar("Given")
Found = TypeVar("Found")


def pairs_together(device: torch.device, voxels: int) -> int:
    """The number of pairs of so many voxels that a device has room for in one pass, from 1 to 64; 1 on a CPU."""
    if device.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(_MOST, int(_SHARE * free / (_BYTES * max(voxels, 1)))))


def in_halves(run: Callable[[Sequence[Given]], list[Found]], given: Sequence[Given]) -> list[Found]:
    """What `run` finds of all that is given; of one half after the other where a GPU has no room for the whole.

    Raises torch.cuda.OutOfMemoryError where it has none for one alone.
    """
    try:
        return run(given)
    except torch.cuda.OutOfMemoryError:
        if len(given) == 1:
            raise
    torch.cuda.empty_cache()
    middle = len(given) // 2
    return [*in_halves(run, given[:middle]), *in_halves(run, given[middle:])]
