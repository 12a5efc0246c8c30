"""Asks before anything is installed, installs while the window lives, and has the worker try what was installed."""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from .. import installation
from ..errors import DependencyMissing
from .job import Progress
from .pip_failures import why_pip_failed
from .pip_process import PipProcess
from .worker_process import WorkerProcess

_Step = tuple[str, list[str]]  # a module that is run by name, and its arguments
# What torch says that was built for NumPy 1 and meets NumPy 2.
_OF_OTHER_NUMPY = ("numpy is not available", "_array_api not found", "numpy.core.multiarray failed to import")


class Installer:
    """Sees to it that the worker can compute. One installation at a time; `running` while something is awaited.

    `progress` gets each line of pip; `failed` a message and its details.
    """

    def __init__(
        self, worker: Callable[[], WorkerProcess], progress: Progress, failed: Callable[[str, str], None]
    ) -> None:
        self._worker, self._progress, self._failed = worker, progress, failed
        self._then: Callable[[], None] | None = None
        self._pip: PipProcess | None = None
        self._job: str | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def running(self) -> bool:
        return self._then is not None

    def ensure(self, then: Callable[[], None]) -> bool:
        """Whether everything is there and tried. Otherwise asks, and calls `then` once it is; declining is no error.

        Raises DependencyMissing where there is no window to ask in.
        """
        lacking = installation.missing()
        if not lacking and self._worker().checked:
            return True
        if lacking and slicer.util.mainWindow() is None:
            installation.require()
        if lacking and not self._agreed(lacking):
            self._progress(1.0, _("Nothing was installed, so nothing can be computed yet. Apply asks again."))
            return False
        self._then = then
        if lacking:
            self._install(lacking)
        else:
            self._check()
        return False

    def cancel(self) -> None:
        """End what is awaited; what pip has finished stays installed."""
        self._then = None
        if self._pip is not None:
            self._pip.stop()
            self._pip = None
        if self._job is not None:
            self._worker().cancel(self._job)
            self._job = None

    def _agreed(self, lacking: list[str]) -> bool:
        listed = "\n".join(f"{name}   {size}" for name, size in installation.sizes(lacking))
        question = _(
            "VoxelMorph needs these Python packages, which are downloaded and installed into Slicer once. It takes "
            "some minutes, and progress is shown in the panel. Packages that belong to Slicer are not touched."
        )
        return slicer.util.confirmOkCancelDisplay(f"{question}\n\n{listed}", _("VoxelMorph Registration"))

    def _install(self, lacking: list[str]) -> None:
        steps: list[_Step] = []
        try:
            if installation.TORCH in lacking and installation.in_slicer():
                steps += installation.torch_steps()
                lacking = [one for one in lacking if one != installation.TORCH]
        except DependencyMissing as error:
            self._give_up(str(error), "")
            return
        self._folder = tempfile.TemporaryDirectory()
        steps += [("pip", ["install", *one]) for one in installation.pip_steps(lacking, Path(self._folder.name))]
        self._next(steps)

    def _next(self, steps: list[_Step]) -> None:
        if self._then is None:
            return
        if not steps:
            importlib.invalidate_caches()
            still = installation.missing()
            if still:
                said = _("{packages}: still not installed; see pip's messages, then try again")
                self._give_up(said.format(packages=", ".join(still)), "")
            else:
                self._worker().renew()  # A process that runs has looked for its packages already.
                self._check()
            return

        def ended(code: int, said: str) -> None:
            if code == 0:
                self._next(steps[1:])
            else:
                self._failed_at(steps[0], said)

        module, arguments = steps[0]
        self._progress(None, _("Installing {packages} ...").format(packages=_packages(arguments)))
        self._pip = PipProcess(module, arguments, self._told, ended)

    def _told(self, line: str) -> None:
        logging.info(line)
        self._progress(None, line if len(line) < 90 else f"{line[:86]} ...")

    def _failed_at(self, step: _Step, said: str) -> None:
        module, arguments = step
        hint = why_pip_failed(said)
        if module != "pip":
            hint += " " + _("Slicer's module PyTorch Utils installs it as well; the window stands still meanwhile.")
        message = _("{packages}: pip could not install it. {hint}")
        self._give_up(message.format(packages=_packages(arguments), hint=hint), said)

    def _check(self) -> None:
        """Have the worker compute: a package that is installed need not work."""
        self._progress(None, _("Starting the process that computes ..."))
        self._job = self._worker().submit("check", [], self._checked)

    def _checked(self, event: Mapping[str, Any]) -> None:
        if self._then is None or event["event"] not in ("done", "error", "cancelled"):
            return
        self._job = None
        if event["event"] == "done":
            self._worker().checked = True
            then, self._then = self._then, None
            then()
        elif event["event"] == "error":
            said = f"{event['message']} {event['details']}".lower()
            private = private_packages()
            if any(words in said for words in _OF_OTHER_NUMPY) and not private.is_dir() and self._private_agreed():
                self._next([("pip", ["install", "--target", str(private), "numpy<2"])])
            else:
                self._give_up(event["message"], event["details"])

    def _private_agreed(self) -> bool:
        return slicer.util.confirmOkCancelDisplay(
            _(
                "PyTorch on this computer was built for NumPy 1, and Slicer has NumPy 2. A NumPy 1 can be downloaded "
                "(20 MB) that only this module's own process sees; Slicer's stays as it is. Download it?"
            ),
            _("VoxelMorph Registration"),
        )

    def _give_up(self, message: str, details: str) -> None:
        self._then = None
        self._failed(message, details)


def _packages(arguments: list[str]) -> str:
    return " ".join(one for one in arguments[1:] if not one.startswith("-") and "constraints" not in one)


def private_packages() -> Path:
    """Packages that the worker sees before Slicer's own."""
    return Path(slicer.app.userSettings().fileName()).parent / "VoxelMorph-worker-packages"
