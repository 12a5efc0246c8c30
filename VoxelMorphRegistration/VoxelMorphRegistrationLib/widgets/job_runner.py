"""One job at a time: begun once everything is installed, shown while it runs, and its end said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import slicer
from slicer.i18n import tr as _

from ..errors import DependencyMissing, InputError
from .installer import Installer
from .job import JobEnd
from .worker_process import WorkerProcess


class Job(Protocol):
    """What can be ended: by a person, or because its scene is gone."""

    def cancel(self) -> None: ...

    def forget(self) -> None: ...


class JobRunner:
    """Owns the progress bar and the line of status. `changed` is called when a job begins, is cancelled or ends."""

    def __init__(self, ui: Any, worker: Callable[[], WorkerProcess], changed: Callable[[], None]) -> None:
        self._ui, self._changed = ui, changed
        self._installer = Installer(worker, self.progress, self._not_installed)
        self._job: Job | None = None
        self._cancelling = False
        ui.progressBar.visible = False

    @property
    def job(self) -> Job | None:
        """The job that runs."""
        return self._job

    @property
    def running(self) -> bool:
        """Whether a job runs, or what it needs is being installed."""
        return self._job is not None or self._installer.running

    @property
    def cancelling(self) -> bool:
        return self._cancelling

    def ready(self) -> bool:
        """Whether the worker can be started now, for something else than a job; asks to install what it needs."""
        return self._installer.ensure(self._changed)

    def begin(self, make: Callable[[], Job]) -> None:
        """Make and start a job, after an installation where one is needed; or say why it cannot be started."""
        try:
            if self._installer.ensure(lambda: self.begin(make)):
                self.progress(None, _("Starting ..."))
                self._job = make()
        except (InputError, DependencyMissing) as error:
            self.fail(str(error), "")
        self._changed()

    def cancel(self) -> None:
        """End what runs; it is said at once, and the job ends within seconds."""
        if self._installer.running:
            self._installer.cancel()
            self.ended(JobEnd("cancelled"))
        elif self._job is not None:
            self._cancelling = True
            self._changed()
            self._job.cancel()

    def forget(self) -> None:
        """The scene or the window is gone: nothing of what runs may come into the next one."""
        self._installer.cancel()
        if self._job is not None:
            self._job.forget()
        self._job, self._cancelling = None, False
        self._ui.progressBar.visible = False

    def ended(self, end: JobEnd) -> None:
        """A job tells that it has ended."""
        self._job, self._cancelling = None, False
        self._ui.progressBar.visible = False
        if end.status == "failed":
            self.fail(end.message, end.details)
        elif end.status == "cancelled":
            self.say(_("Cancelled. Nothing was changed."))
        else:
            self.say(_("Done."))
        self._changed()

    def fail(self, message: str, details: str) -> None:
        self._ui.progressBar.visible = False
        self.say(message)
        slicer.util.errorDisplay(message, _("VoxelMorph Registration"), detailedText=details)

    def progress(self, share: float | None, text: str) -> None:
        """The share that is done (None: not known) and a line for the person who waits; 1 is the end."""
        bar = self._ui.progressBar
        bar.visible = share is None or share < 1
        bar.maximum = 0 if share is None else 1000
        bar.value = 0 if share is None else round(1000 * share)
        if not self._cancelling:
            self.say(text)

    def say(self, text: str) -> None:
        self._ui.statusLabel.text = text

    def _not_installed(self, message: str, details: str) -> None:
        self.fail(message, details)
        self._changed()
