"""Why a frame has no result, and when failures say that the run itself is at fault."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from ..errors import InputError

_ALIKE = 3  # successive frames that fail with the same type of error stop a run


@dataclass(frozen=True)
class Failure:
    """Why a frame has no result. It keeps text alone, so that no image stays in memory with it.

    Attributes:
        kind: type of the error.
        message: one line for people, which names the frame.
        traceback: where it happened, several lines.
    """

    kind: type[BaseException]
    message: str
    traceback: str

    @classmethod
    def of(cls, error: Exception, frame: str) -> Failure:
        """Of an error and what people call its frame."""
        reason = " ".join(str(error).split())
        if not reason:
            reason = type(error).__name__
        elif not isinstance(error, (InputError, OSError)):
            reason = f"{reason} ({type(error).__name__})"
        message = reason if frame in reason else f"{frame}: {reason}"
        return cls(type(error), message, "".join(traceback.format_exception(error)))

    @property
    def is_of_the_frame(self) -> bool:
        """Bad input and files that cannot be read belong to single frames; other errors may meet every frame alike."""
        return issubclass(self.kind, (InputError, OSError))


class SuccessiveFailures:
    """Stops a run in which frame after frame fails alike: a mistake that would fail thousands of frames."""

    def __init__(self) -> None:
        self._alike: list[tuple[int, Failure]] = []

    def note(self, index: int, failure: Failure | None) -> None:
        """Hand in each frame as it comes, `failure` None for one that did not fail.

        Raises InputError after three successive frames that failed with the same type of error, unless that is
        InputError or OSError.
        """
        if failure is None or failure.is_of_the_frame:
            self._alike = []
            return
        if self._alike and self._alike[-1][1].kind is not failure.kind:
            self._alike = []
        self._alike.append((index, failure))
        if len(self._alike) == _ALIKE:
            numbers = ", ".join(str(number) for number, _ in self._alike)
            raise InputError(
                f"frames {numbers}: failed one after another with the same error, so the run was stopped "
                f"({failure.message}); finished frames stay, and the run goes on from there when it is started again"
            )
