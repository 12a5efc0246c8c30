"""How long to train: a time or a number of steps."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import InputError

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """Either `steps` or `seconds`; the other is None. Only steps give the same result again.

    Attributes:
        steps: of the optimiser.
        seconds: of wall-clock time.
    """

    steps: int | None = None
    seconds: float | None = None

    def spent(self, steps: int, seconds: float) -> float:
        """The share that is used up, 0 to 1 or above."""
        if self.steps is not None:
            return steps / self.steps
        return seconds / self.seconds if self.seconds is not None else 1.0


def parse_budget(text: str | Budget) -> Budget:
    """'5min', '90s', '2h' or '500steps'.

    Raises:
        InputError: anything else, or nothing at all to spend.
    """
    if isinstance(text, Budget):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|steps?)\s*", str(text))
    amount = float(match[1]) if match else 0.0
    if not match or not math.isfinite(amount) or amount <= 0:
        raise InputError(f"budget {text!r}: give a time or a number of steps, such as 5min, 90s or 500steps")
    if match[2].startswith("step"):
        if amount != int(amount):
            raise InputError(f"budget {text!r}: the number of steps must be whole, such as 500steps")
        return Budget(steps=int(amount))
    return Budget(seconds=amount * _UNITS[match[2]])
