"""The next frame is found while the present one is measured: where a GPU does the one and the processor the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

_HEARD_SECONDS = 0.2  # within which a cancelled run hears of it: who waits for a thread without an end does not

Found = TypeVar("Found")


def one_by_one(finding: Iterator[Found]) -> Generator[tuple[Found, float], None, None]:
    """What an iterator finds, each with the `time.perf_counter` at which it was begun."""
    while True:
        begun = time.perf_counter()
        found = next(finding, None)
        if found is None:
            return
        yield found, begun


def one_ahead(
    finding: Generator[Found, None, None], stop: Callable[[], None] = lambda: None
) -> Generator[tuple[Found, float], None, None]:
    """As `one_by_one`, in a thread of its own that is one ahead of the caller.

    Args:
        stop: called when the caller ends early, by closing or by an error; makes an end of what the thread is at, which
            is waited for.
    """
    timed = one_by_one(finding)
    with ThreadPoolExecutor(1, "voxelmorph-find") as thread:
        pending = thread.submit(next, timed, None)
        try:
            while (found := _result(pending)) is not None:
                pending = thread.submit(next, timed, None)
                yield found
        except BaseException:
            stop()
            raise
        finally:
            wait([pending])
            timed.close()
            finding.close()


def _result(pending: Future[Found]) -> Found:
    while not wait([pending], _HEARD_SECONDS).done:
        pass
    return pending.result()
