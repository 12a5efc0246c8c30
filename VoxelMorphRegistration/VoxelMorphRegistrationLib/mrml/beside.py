"""Work in pieces, between which a window lives. Some touch no node: the window has those done in another thread."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Beside:
    """A piece that a generator yields and whose result it is sent. It reads and writes files, images and nodes that
    are in no scene yet, never a node of a scene, which belongs to the main thread.
    """

    work: Callable[[], Any]


def at_once(items: Generator[Any, Any, Any]) -> Generator[Any, None, Any]:
    """The items of a generator but for its pieces, which are done where they come: for those who have no window. It
    returns what the generator returns.

    >>> def doubled():
    ...     found = yield Beside(lambda: 21)
    ...     yield 2 * found
    >>> list(at_once(doubled()))
    [42]
    """
    sent = None
    while True:
        try:
            item = items.send(sent)
        except StopIteration as end:
            return end.value
        sent = None
        if isinstance(item, Beside):
            sent = item.work()
        else:
            yield item


def value_of(items: Generator[Any, Any, Any]) -> Any:
    """What a generator returns, once all of its pieces were done where they come.

    >>> def doubled():
    ...     return 2 * (yield Beside(lambda: 21))
    >>> value_of(doubled())
    42
    """
    pieces = at_once(items)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value
