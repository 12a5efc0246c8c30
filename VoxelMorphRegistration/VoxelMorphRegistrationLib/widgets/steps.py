"""Work in the window's own thread, in pieces between which the window lives; some of them in a thread beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import qt

_POLL_MS = 5
# Slicer's main thread keeps Python to itself while nothing of ours runs in it: a thread goes on while this one sleeps.
_YIELD_SECONDS = 0.001


class Steps:
    """Takes one item after the other from a generator, each in a turn of the event loop of its own. A `Beside` is done
    in another thread, and its result sent to the generator.
    """

    def __init__(
        self,
        items: Generator[Any, Any, None],
        each: Callable[[Any], None],
        then: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._items, self._each, self._then, self._failed = items, each, then, failed
        self._beside: _Thread | None = None
        self._stopped = False
        qt.QTimer.singleShot(0, lambda: self._next(None))

    def stop(self, then: Callable[[], None] | None = None) -> None:
        """Take no further item; nothing is called any more but `then`, once what works beside the window has ended."""
        self._stopped = True
        if then is not None:
            self._then = then
            self._await_end()

    def wait(self) -> None:
        """Wait until what works beside the window has ended: where no event loop will come."""
        if self._beside is not None:
            self._beside.join()

    def _next(self, sent: Any) -> None:
        if self._stopped:
            return
        try:
            item = self._items.send(sent)
        except StopIteration:
            self._stopped = True
            self._then()
            return
        except Exception as error:
            self._give_up(error)
            return
        from ..mrml.beside import Beside

        if isinstance(item, Beside):
            self._beside = _Thread(item.work)
            self._beside.start()
            qt.QTimer.singleShot(0, lambda: self._look())
            return
        self._each(item)
        qt.QTimer.singleShot(0, lambda: self._next(None))

    def _look(self) -> None:
        """Whether the thread has ended."""
        beside = self._beside
        if self._stopped or beside is None:
            return
        time.sleep(_YIELD_SECONDS)
        if beside.is_alive():
            qt.QTimer.singleShot(_POLL_MS, lambda: self._look())
        elif beside.error is not None:
            self._give_up(beside.error)
        else:
            self._next(beside.found)

    def _await_end(self) -> None:
        if self._beside is not None and self._beside.is_alive():
            time.sleep(_YIELD_SECONDS)
            qt.QTimer.singleShot(_POLL_MS, lambda: self._await_end())
        else:
            self._then()

    def _give_up(self, error: Exception) -> None:
        self._stopped = True
        self._failed(error)


class _Thread(threading.Thread):
    """Does one piece of work; `found` or `error` afterwards."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.found: Any = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.found = self._work()
        except Exception as error:
            self.error = error
