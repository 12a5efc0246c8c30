"""Who works on a cohort: units are given to workers, and come back in the order in which they end."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import InputError
from .patient import Patient
from .units import Unit
from .work import BegunElsewhere

_POLL_SECONDS = 1.0  # units that end are heard of at once; this is for schedulers and workers that come and go
_AHEAD = 2  # units a worker, so that it finds the next one when it ends one
_CLOSE_SECONDS = 10.0
_WITHOUT_WORKERS = 900.0  # seconds
_GONE = "scheduler: it is gone; the same command, given again, goes on with all frames that are finished"


class Crew:
    """The workers of a client.

    Args:
        client: a `distributed.Client`. work: what a worker does with a unit.
    """

    def __init__(self, client: Any, work: Callable[[Unit], None]) -> None:
        self._client, self._work = client, work
        self._out: dict[Any, tuple[Patient, Unit]] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._worked = time.monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is given out."""
        return not self._out

    def count(self) -> int:
        """How many workers there are. Raises InputError when the scheduler, which knows, is gone."""
        if self._client.status not in ("running", "connecting", "newly-created"):
            raise InputError(_GONE)
        try:
            return len(self._client.nthreads())
        except Exception as error:  # Whatever Dask meets while it tries to reach it again.
            raise InputError(_GONE) from error

    def has_room(self, workers: int) -> bool:
        """Whether one of so many workers would have nothing to go on with."""
        return len(self._out) < _AHEAD * workers

    def give(self, patient: Patient, unit: Unit) -> None:
        future = self._client.submit(self._work, unit, pure=False, retries=0)
        self._out[future] = patient, unit
        future.add_done_callback(self._ended.put)

    def wake(self) -> None:
        """Let `ended` return at once, from any thread."""
        self._ended.put(None)

    def ended(self) -> Iterator[tuple[Patient, Unit, BaseException | None]]:
        """Units that have ended, with what they ended with; waits a moment for the first.

        Raises InputError when the scheduler is gone, or has had no workers for a quarter of an hour.
        """
        try:
            future = self._ended.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            self._check()
            return
        while True:
            if future is not None:
                patient, unit = self._out.pop(future)
                if future.cancelled():
                    self._check()
                yield patient, unit, None if future.status == "finished" else _error_of(future)
            try:
                future = self._ended.get_nowait()
            except queue.Empty:
                return

    def dismiss(self) -> None:
        """Where units are still out: workers of this machine end now, others with the frame they are at.

        Raises whatever Dask meets when the scheduler is gone, and with it whoever could be told.
        """
        if not self._out:
            return
        cluster = getattr(self._client, "cluster", None)
        if cluster is not None:
            cluster.close(timeout=_CLOSE_SECONDS)
        else:
            self._client.cancel(list(self._out))

    def _check(self) -> None:
        if self.count():
            self._worked = time.monotonic()
        elif time.monotonic() - self._worked > _WITHOUT_WORKERS:
            raise InputError(
                f"workers: there have been none for {_WITHOUT_WORKERS / 60:.0f} minutes; start some, and then the same "
                "command again, which goes on with all frames that are finished"
            )


def is_loss(error: BaseException) -> bool:
    """Whether a unit ended with its worker, and not with what it worked on."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    return isinstance(error, (KilledWorker, BegunElsewhere, CancelledError, FutureCancelledError))


def _error_of(future: Any) -> BaseException:
    try:
        return future.exception(timeout=10) or RuntimeError("a unit ended without a result")
    except BaseException as error:  # A cancelled future raises it.
        if isinstance(error, KeyboardInterrupt):
            raise
        return error
