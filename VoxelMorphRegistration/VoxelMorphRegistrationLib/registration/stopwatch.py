"""Seconds spent in each stage of a registration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

STAGES = ("read", "align", "network", "integrate", "refine", "warp", "write")


class Stopwatch:
    """Seconds spent in each stage of `STAGES`, and in all: `seconds`, by the stage's name and 'total'.

    A GPU's work is timed by the GPU, and waited for when `seconds` is asked for, not in between.
    """

    def __init__(self) -> None:
        self._seconds = {"total": 0.0, **dict.fromkeys(STAGES, 0.0)}
        self._pending: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @property
    def seconds(self) -> dict[str, float]:
        for name, started, ended in self._pending:
            ended.synchronize()
            self._seconds[name] += started.elapsed_time(ended) / 1000
        self._pending.clear()
        return self._seconds

    @contextmanager
    def stage(self, name: str, device: torch.device | None = None) -> Iterator[None]:
        """Adds what the block takes to a stage; with a CUDA device, what the device takes for it."""
        on_gpu = device is not None and device.type == "cuda"
        mark, started = _mark(device) if on_gpu else None, time.perf_counter()
        try:
            yield
        finally:
            if mark is None:
                self._seconds[name] += time.perf_counter() - started
            else:
                self._pending.append((name, mark, _mark(device)))


def _mark(device: torch.device | None) -> torch.cuda.Event:
    """An event in what a device is given to do."""
    mark = torch.cuda.Event(enable_timing=True)
    mark.record(torch.cuda.current_stream(device))
    return mark
