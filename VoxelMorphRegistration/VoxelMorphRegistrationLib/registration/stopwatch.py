"""Seconds spent in each stage of a registration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

STAGES = ("read", "align", "network", "integrate", "refine", "warp", "write")


class Stopwatch:
    """Seconds spent in each stage of `STAGES`, and in all: `seconds`, by the stage's name and 'total'."""

    def __init__(self) -> None:
        self.seconds = {"total": 0.0, **dict.fromkeys(STAGES, 0.0)}

    @contextmanager
    def stage(self, name: str, device: torch.device | None = None) -> Iterator[None]:
        """Adds what the block takes to a stage; with a CUDA device, until its work is done."""
        started = time.perf_counter()
        try:
            yield
        finally:
            # Kernels run on after a CUDA call returns.
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            self.seconds[name] += time.perf_counter() - started
