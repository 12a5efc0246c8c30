"""How a cohort says where it is: over all frames of all patients, with the time that is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

_EVERY_SECONDS = 10.0

Kind = Literal["auto", "bar", "json", "none"]


class CohortProgress:
    """Reports on `frames` frames of `patients` patients.

    'bar' draws on stderr; 'json' hands events to `emit` (start, progress, patient, note, finish); 'auto' is a bar in a
    terminal and else a line on stderr every ten seconds; 'none' is silent but for what a person must know.
    """

    def __init__(self, kind: Kind, patients: int, frames: int, emit: Callable[[Mapping[str, Any]], None]) -> None:
        automatic = "bar" if sys.stderr.isatty() else "lines"
        self._kind = automatic if kind == "auto" else str(kind)
        self._emit = emit
        self._patients, self._frames = patients, frames
        self._patients_done = self._done = self._made = self._failed = 0
        self._started = self._told = time.monotonic()
        self._bar = None
        if self._kind == "bar":
            from tqdm import tqdm

            self._bar = tqdm(total=frames, unit="frame", desc="cohort", file=sys.stderr, dynamic_ncols=True)
        self._event("start", patients=patients, frames=frames)

    @property
    def done(self) -> int:
        """Frames that are finished or failed, of all patients."""
        return self._done

    def found(self, frames: int) -> None:
        """Frames that earlier runs finished."""
        self._done += frames
        if self._bar is not None:
            self._bar.update(frames)

    def made(self, frames: int, failed: int) -> None:
        """Frames that were finished since the last call, and how many failed so far."""
        self._done += frames
        self._made += frames
        self._failed = failed
        if self._bar is not None:
            self._bar.update(frames)
            self._bar.set_postfix_str(f"{self._patients_done}/{self._patients} patients, {failed} failed")
        now = time.monotonic()
        if now - self._told < _EVERY_SECONDS or self._kind not in ("lines", "json"):
            return
        self._told = now
        left = self.seconds_left()
        if self._kind == "lines":
            patients = f"{self._patients_done}/{self._patients} patients"
            self._say(f"{self._done}/{self._frames} frames, {patients}, {left:.0f} s left")
        self._event("progress", done=self._done, frames=self._frames, failed=failed, seconds_left=round(left, 1))

    def patient(self, cells: Mapping[str, str], folder: str) -> None:
        """A patient has ended."""
        self._patients_done += 1
        if self._kind in ("bar", "lines"):
            trouble = f", {cells['failed']} failed" if cells["failed"] != "0" else ""
            why = f": {cells['message']}" if cells["message"] else ""
            self._say(f"{cells['case']}: {cells['done']} of {cells['frames']} frames{trouble}{why}")
        self._event("patient", folder=folder, **cells)

    def note(self, message: str) -> None:
        """What a person should know, whatever the kind."""
        if self._kind == "json":
            self._event("note", message=message)
        else:
            self._say(f"note: {message}")

    def finish(self, **facts: Any) -> None:
        self.close()
        self._event("finish", **facts)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def seconds_left(self) -> float:
        return (time.monotonic() - self._started) / self._made * (self._frames - self._done) if self._made else 0.0

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
            return
        try:
            print(text, file=sys.stderr, flush=True)
        except BrokenPipeError:
            self._kind = "none"

    def _event(self, name: str, **facts: Any) -> None:
        if self._kind == "json":
            self._emit({"event": name, **facts})
