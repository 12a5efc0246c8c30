"""The sequence a cohort begins with stays open from the check of the table until its frames are read."""

from __future__ import annotations

from ..propagation.frames import Frames


class FirstSequence:
    """What the check has unpacked of the first patient's sequence, for the workers of this machine to read.

    Of that patient alone: it is the one whose frames are waited for, and a temporary file of each patient may be more
    than there is room for.
    """

    def __init__(self) -> None:
        self._case = ""
        self._frames: Frames | None = None

    def keep(self, case: str, frames: Frames) -> None:
        """Keep the sequence of the first patient, unless there is nothing to be prepared for it."""
        if not self._case:
            self._case = case
            self._frames = frames if frames.preparation else None

    def take(self, case: str) -> Frames | None:
        """The sequence of a patient, which is kept no longer; None where it is not kept."""
        if case != self._case:
            return None
        frames, self._frames = self._frames, None
        return frames

    def drop(self) -> bool:
        """Give the room back that the sequence takes. Returns whether one was kept."""
        was_kept, self._frames = self._frames is not None, None
        return was_kept
