"""Work in the window's own thread, in pieces between which the window lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import qt


class Steps:
    """Takes one item after the other from an iterator, each in a turn of the event loop of its own."""

    def __init__(
        self,
        items: Iterator[Any],
        each: Callable[[Any], None],
        then: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._items, self._each, self._then, self._failed = items, each, then, failed
        self._stopped = False
        qt.QTimer.singleShot(0, self._next)

    def stop(self) -> None:
        """Take no further item; nothing is called any more."""
        self._stopped = True

    def _next(self) -> None:
        if self._stopped:
            return
        try:
            item = next(self._items)
        except StopIteration:
            self._stopped = True
            self._then()
            return
        except Exception as error:
            self._stopped = True
            self._failed(error)
            return
        self._each(item)
        qt.QTimer.singleShot(0, self._next)
