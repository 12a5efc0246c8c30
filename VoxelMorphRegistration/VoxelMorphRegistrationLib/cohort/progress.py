"""How a cohort says where it is: over all frames of all patients, with the time that is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..propagation.progress import Event, Kind, Reporter


class CohortProgress(Reporter):
    """Reports on `frames` frames of `patients` patients.

    For the kinds see `Reporter`; the events are start, progress, patient, note and finish. What a person must know is
    said with 'none' too.
    """

    def __init__(self, kind: Kind, patients: int, frames: int, emit: Event) -> None:
        super().__init__(kind, "cohort", frames, 0, emit)
        self._patients, self._patients_done = patients, 0
        self._event("start", patients=patients, frames=frames)

    def made(self, frames: int, failed: int) -> None:
        """Frames that were finished since the last call, and how many failed so far."""
        patients = f"{self._patients_done}/{self._patients} patients"
        self._add(frames, f"{patients}, {failed} failed")
        if self._kind not in ("lines", "json") or not self._is_time():
            return
        left = self.seconds_left()
        if self._kind == "lines":
            self._say(f"{self._done}/{self._total} frames, {patients}, {left:.0f} s left")
        self._event("progress", done=self._done, frames=self._total, failed=failed, seconds_left=round(left, 1))

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
