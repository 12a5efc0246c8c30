"""The next frame is found while the present one is measured: where a GPU does the one and the processor the other."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

Found = TypeVar("Found")


def one_by_one(finding: Iterator[Found]) -> Generator[tuple[Found, float], None, None]:
    """What an iterator finds, each with the `time.perf_counter` at which it was begun."""
    while True:
        begun = time.perf_counter()
        found = next(finding, None)
        if found is None:
            return
        yield found, begun


def one_ahead(finding: Generator[Found, None, None]) -> Generator[tuple[Found, float], None, None]:
    """As `one_by_one`, in a thread of its own that is one ahead of the caller. Closing it waits for what is begun."""
    timed = one_by_one(finding)
    with ThreadPoolExecutor(1, "voxelmorph-find") as thread:
        pending = thread.submit(next, timed, None)
        try:
            while True:
                found = pending.result()
                if found is None:
                    return
                pending = thread.submit(next, timed, None)
                yield found
        finally:
            wait([pending])
            timed.close()
            finding.close()
