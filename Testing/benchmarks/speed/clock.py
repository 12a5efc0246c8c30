"""Wall and processor seconds of this process, all its threads and system time included."""

from __future__ import annotations

import resource
import sys
import time


class Clock:
    """Started when it is made. Processor seconds suffer less than wall time from what else the machine does."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), processor_seconds()

    def spent(self) -> dict[str, float]:
        return {"wall": time.perf_counter() - self._wall, "cpu": processor_seconds() - self._cpu}


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def fastest(times: list[dict[str, float]]) -> dict[str, float]:
    """The one that other programs delayed least."""
    return min(times, key=lambda one: one["cpu"])
