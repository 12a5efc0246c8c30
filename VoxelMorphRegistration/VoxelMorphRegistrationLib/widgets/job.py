"""What the window needs to know of anything that takes a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Progress = Callable[["float | None", str], None]
"""Called with the share that is done (None where it is not known) and a line for the person who waits."""


@dataclass(frozen=True)
class JobEnd:
    """How a job ended.

    Attributes:
        message, details: of a job that failed, a line for people and several for a report.
        facts: of a job that was done; see the job's class.
    """

    status: Literal["done", "cancelled", "failed"]
    message: str = ""
    details: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


OnEnd = Callable[[JobEnd], None]
