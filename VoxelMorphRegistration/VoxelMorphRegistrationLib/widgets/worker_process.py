"""The process that computes for the window (`slicer-voxelmorph worker`): started at the first job and kept warm."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ..installation import python_program

_LIBRARY = Path(__file__).resolve().parents[2]
_PROTOCOL = 1
_CLOSE_AFTER_MS = 3500  # a cancelled job that still computes: the input closes, which ends the process
_KILL_AFTER_MS = 1000
_LAST_WORDS = 4000
_ENDS = ("done", "cancelled", "error")

OnEvent = Callable[[Mapping[str, Any]], None]


class WorkerProcess:
    """Jobs for the worker, and its events for those who gave them; all of it in the window's own thread.

    A job ends with exactly one event of `done`, `cancelled` and `error`, also when the process dies.

    Attributes:
        checked: whether its packages were tried by a computation.
    """

    def __init__(self, program: str | None = None, packages: Callable[[], Path] | None = None) -> None:
        """`program`: the Python that has torch; default Slicer's own. `packages`: a folder of packages that it sees
        before all others, where there is one.
        """
        self.checked = False
        self._packages = packages
        self._program = program or python_program()
        self._process: Any = None
        self._leaving: list[Any] = []
        self._received = b""
        self._last_words = ""
        self._jobs: dict[str, OnEvent] = {}
        self._number = 0

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return bool(self._jobs)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None

    def submit(self, command: str, arguments: list[str], on_event: OnEvent) -> str:
        """Queue a job; returns its name."""
        self._number += 1
        job = str(self._number)
        self._jobs[job] = on_event
        if self._process is None:
            self._start()
        self._say({"job": job, "command": command, "arguments": arguments})
        return job

    def cancel(self, job: str) -> None:
        """End a job; where it does not end by itself within seconds, the process is ended."""
        if job in self._jobs:
            self._say({"cancel": job})
            qt.QTimer.singleShot(_CLOSE_AFTER_MS, lambda: self._insist(job))

    def stop(self) -> None:
        """End the process and forget its jobs: the window closes."""
        self._jobs.clear()
        process, self._process = self._process, None
        if process is not None:
            process.closeWriteChannel()
            if not process.waitForFinished(_KILL_AFTER_MS):
                process.kill()
                process.waitForFinished(_KILL_AFTER_MS)

    def renew(self) -> None:
        """Let the process end, while the window lives, and start another one for the next job: one that finds what was
        installed meanwhile. Its jobs are forgotten.
        """
        self._jobs.clear()
        process, self._process = self._process, None
        if process is None:
            return
        # Kept until it has ended: a process whose object goes is killed while the window waits.
        self._leaving.append(process)
        process.connect("finished(int,QProcess::ExitStatus)", lambda *status: self._leaving.remove(process))
        process.closeWriteChannel()
        qt.QTimer.singleShot(_KILL_AFTER_MS, lambda: process.kill() if process in self._leaving else None)

    def _start(self) -> None:
        process = qt.QProcess()
        environment = qt.QProcessEnvironment.systemEnvironment()
        known = environment.value("PYTHONPATH", "")
        private = self._packages() if self._packages is not None else None
        parts = (str(_LIBRARY), str(private) if private is not None and private.is_dir() else "", known)
        environment.insert("PYTHONPATH", os.pathsep.join(part for part in parts if part))
        environment.insert("PYTHONUNBUFFERED", "1")
        process.setProcessEnvironment(environment)
        process.connect("readyReadStandardOutput()", lambda: self._read(process))
        process.connect("readyReadStandardError()", lambda: self._hear(process))
        process.connect("finished(int,QProcess::ExitStatus)", lambda *status: self._ended(process))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda *error: self._not_started(process))
        self._received, self._last_words, self._process = b"", "", process
        process.start(self._program, ["-m", "VoxelMorphRegistrationLib", "worker"])

    def _say(self, message: Mapping[str, Any]) -> None:
        if self._process is not None:
            self._process.write(json.dumps(message).encode() + b"\n")

    def _insist(self, job: str) -> None:
        process = self._process
        if job not in self._jobs or process is None:
            return
        process.closeWriteChannel()
        qt.QTimer.singleShot(_KILL_AFTER_MS, lambda: process.kill() if self._process is process else None)

    def _read(self, process: Any) -> None:
        if process is not self._process:
            return
        self._received += _bytes(process.readAllStandardOutput())
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "hello" and event["protocol"] != _PROTOCOL:
            said = _("the worker: speaks protocol {protocol}; install the extension again")
            self._end_all("error", said.format(protocol=event["protocol"]))
        job = event.get("job")
        on_event = self._jobs.get(job) if job is not None else None
        if on_event is None:
            return
        if event["event"] in _ENDS:
            del self._jobs[job]  # type: ignore[arg-type]
        on_event(event)

    def _hear(self, process: Any) -> None:
        said = _bytes(process.readAllStandardError()).decode("utf-8", "replace")
        self._last_words = (self._last_words + said)[-_LAST_WORDS:]

    def _not_started(self, process: Any) -> None:
        if process is self._process and process.state() == qt.QProcess.NotRunning:
            self._ended(process)

    def _ended(self, process: Any) -> None:
        if process is not self._process:
            return
        self._hear(process)
        self._process = None
        self._end_all("error", _("the worker: its process ended; finished frames stay, Apply starts it again"))

    def _end_all(self, name: str, message: str) -> None:
        which, colon, rest = message.partition(": ")
        what, semicolon, remedy = rest.partition("; ")
        said = {"which": which, "what": what, "remedy": remedy, "message": message, "details": self._last_words}
        jobs, self._jobs = self._jobs, {}
        for job, on_event in jobs.items():
            on_event({"event": name, "job": job, "exit": 1, **said})


def _bytes(received: Any) -> bytes:
    """What a process sent: a QByteArray in PythonQt and PySide6, whose `data` is bytes or text."""
    data = received.data() if hasattr(received, "data") else received
    return data.encode("utf-8") if isinstance(data, str) else bytes(data)
