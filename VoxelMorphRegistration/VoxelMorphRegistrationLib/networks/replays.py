"""What a GPU is given for the same shapes again and again is given as one piece: a CUDA graph, recorded once.

A pass over a volume of a million voxels is some 300 short pieces of work. A GPU does them in a millisecond, and Python
needs ten to hand them over one by one. A recorded pass is handed over whole, and computes exactly what it did.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress

import torch

_OFTEN = 2  # calls with the same shapes after which more are to be expected
_MOST = 16  # recorded at a time: a pyramid has one for each of its passes
_MOST_VOXELS = 1 << 22  # of what is given: larger volumes keep a GPU busy, and a recording keeps its memory

Given = tuple["torch.Tensor | None", ...]
Found = tuple["torch.Tensor | None", ...]
Function = Callable[..., Found]


class Replays:
    """Calls functions of tensors; on a GPU, where one was called with the same shapes before, by its recording.

    Safe for several threads: one recording is replayed at a time.
    """

    def __init__(self) -> None:
        self._recorded: OrderedDict[Hashable, _Recording | None] = OrderedDict()
        self._seen: dict[Hashable, int] = {}
        self._weights: tuple[int, ...] = ()
        self._lock = threading.Lock()

    def call(self, function: Function, given: Given, settings: Hashable, weights: Iterable[torch.Tensor] = ()) -> Found:
        """`function(*given)`: tensors, or None in place of one.

        Args:
            function: depends on nothing but what it is given, `settings` and `weights`; asks the GPU for no number,
                and leaves what it is given as it is.
            weights: that may be changed in place; others in their place are found out.
        """
        first = next(one for one in given if one is not None)
        voxels = max(one.numel() for one in given if one is not None)
        if first.device.type != "cuda" or torch.is_grad_enabled() or voxels > _MOST_VOXELS:
            return function(*given)
        key = (settings, tuple(None if one is None else (tuple(one.shape), one.dtype) for one in given))
        with self._lock, torch.cuda.device(first.device):
            where = tuple(one.data_ptr() for one in weights)
            if where != self._weights:
                self._recorded.clear()
                self._seen.clear()
                self._weights = where
            if key not in self._recorded:
                self._seen[key] = self._seen.get(key, 0) + 1
                if self._seen[key] <= _OFTEN:
                    return function(*given)
                self._recorded[key] = _recorded(function, given)
                while len(self._recorded) > _MOST:
                    self._recorded.popitem(last=False)
            self._recorded.move_to_end(key)
            recording = self._recorded[key]
            return function(*given) if recording is None else recording.replayed(given)

    def recorded(self) -> list[object]:
        """What is recorded at present; None for what could not be."""
        return list(self._recorded.values())

    def __deepcopy__(self, memo: dict) -> Replays:
        return Replays()

    def __reduce__(self) -> tuple:
        return (Replays, ())


class _Recording:
    def __init__(self, graph: torch.cuda.CUDAGraph, given: Given, found: Found) -> None:
        self._graph, self._given, self._found = graph, given, found
        self._done = torch.cuda.Event()
        self._done.record()

    def replayed(self, given: Given) -> Found:
        """What the recorded function finds of `given`, whose shapes are those it was recorded with."""
        stream = torch.cuda.current_stream()
        stream.wait_event(self._done)  # Another thread's stream may be at it still.
        for place, one in zip(self._given, given):
            if place is not None and one is not None:
                place.copy_(one)
        self._graph.replay()
        found = tuple(None if one is None else one.clone() for one in self._found)
        self._done.record(stream)
        return found


def _recorded(function: Function, given: Given) -> _Recording | None:
    """None where it cannot be recorded: no room, or something in it that asks the GPU for a number."""
    places = tuple(None if one is None else one.clone() for one in given)
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with suppress(RuntimeError):  # torch.cuda.OutOfMemoryError is one
        # Other threads go on reading frames and sending them while this one records.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            found = function(*places)
        torch.cuda.current_stream().wait_stream(stream)
        return _Recording(graph, places, found)
    return None
