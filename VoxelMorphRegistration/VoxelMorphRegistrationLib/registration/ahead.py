"""What is made of images ahead of their turn: by the thread that reads them, while the one before is registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import SimpleITK as sitk

_KEPT = 2  # the one whose turn it is, and the next

Made = TypeVar("Made")
#: Done to an image as soon as it is read, in the thread that reads.
Prepare = Callable[[sitk.Image], object]


class Ahead(Generic[Made]):
    """Calls `make` for what it is asked for, or ahead of that; what nobody asks for makes room for what comes later."""

    def __init__(self, make: Callable[..., Made]) -> None:
        self._make = make
        self._made: dict[tuple[int, ...], tuple[tuple[Any, ...], Made]] = {}

    def prepare(self, *given: Any) -> None:
        """Make it now; any thread may. Raises what `make` raises."""
        self._made[tuple(map(id, given))] = given, self._make(*given)
        for oldest in list(self._made)[:-_KEPT]:
            self._made.pop(oldest, None)

    def of(self, *given: Any) -> Made:
        """What was made of these very objects, which is then forgotten here, or is made now."""
        made = self._made.pop(tuple(map(id, given)), None)
        return self._make(*given) if made is None else made[1]
