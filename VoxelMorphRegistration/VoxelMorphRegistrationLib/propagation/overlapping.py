"""The next frame is found while those before it are measured: where a GPU does the one and the processor the other."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

MAKERS = 3  # threads that measure, each a frame
_HEARD_SECONDS = 0.2  # within which a cancelled run hears of it: who waits for a thread without an end does not

Found = TypeVar("Found")
Made = TypeVar("Made")


def one_by_one(finding: Iterator[Found]) -> Generator[tuple[Found, float], None, None]:
    """What an iterator finds, each with the `time.perf_counter` at which it was begun."""
    while True:
        begun = time.perf_counter()
        found = next(finding, None)
        if found is None:
            return
        yield found, begun


def made_ahead(
    finding: Generator[Found, None, None],
    make: Callable[[tuple[Found, float]], Made],
    stop: Callable[[], None] = lambda: None,
) -> Generator[Made, None, None]:
    """`make` of all that `one_by_one` gives, in the same order. One thread finds, some others make, ahead of the caller
    by as many as they are.

    Args:
        stop: called when the caller ends early, by closing or by an error; makes an end of what the first thread is at,
            which is waited for.
    """
    timed = one_by_one(finding)
    making: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(1, "voxelmorph-find") as finder, ThreadPoolExecutor(MAKERS, "voxelmorph-make") as makers:
        pending: Future[Any] | None = finder.submit(next, timed, None)
        try:
            while pending is not None or making:
                if making and making[0].done():
                    yield making.popleft().result()
                elif pending is not None and pending.done() and len(making) < _room(pending):
                    found = pending.result()
                    pending = None
                    if found is not None:
                        making.append(makers.submit(make, found))
                        pending = finder.submit(next, timed, None)
                else:
                    awaited = [*list(making)[:1], *([pending] if pending is not None and not pending.done() else [])]
                    wait(awaited, _HEARD_SECONDS, FIRST_COMPLETED)
        except BaseException:
            stop()
            raise
        finally:
            for one in making:
                one.cancel()
            wait([*making, *([] if pending is None else [pending])])
            timed.close()
            finding.close()


def _room(pending: Future[Any]) -> int:
    """How many may be in the making before what was found is looked at: an error of finding waits for them all."""
    return MAKERS if pending.exception() is None else 1
