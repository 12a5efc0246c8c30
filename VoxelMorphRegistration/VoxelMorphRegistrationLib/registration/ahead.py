"""What is made of images ahead of their turn: by the thread that reads them, while the one before is registered."""

from __future__ import annotations

from collections import deque
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
        self._made: deque[tuple[tuple[Any, ...], Made]] = deque(maxlen=_KEPT)

    def prepare(self, *given: Any) -> None:
        """Make it now; any thread may. Raises what `make` raises."""
        self._made.append((given, self._make(*given)))

    def of(self, *given: Any) -> Made:
        """What was made of these very objects, which is then forgotten here, or is made now."""
        for one in list(self._made):
            if len(one[0]) == len(given) and all(mine is theirs for mine, theirs in zip(one[0], given)):
                self._made.remove(one)
                return one[1]
        return self._make(*given)
