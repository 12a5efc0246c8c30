"""Installations beside the window: pip through slicer.packaging where Slicer has it, else in a process of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from ..installation import python_program

_LAST_WORDS = 4000


class PipProcess:
    """One `pip install`, or light-the-torch's; `told` gets each line, `ended` the exit status and its last words."""

    def __init__(
        self, module: str, arguments: list[str], told: Callable[[str], None], ended: Callable[[int, str], None]
    ) -> None:
        """`module`: pip, or one that takes its command `install`."""
        self._told, self._ended = told, ended
        self._said = ""
        self._process: Any = None
        if module != "pip":
            self._start(module, arguments)
            return
        try:
            # Slicer 5.12 and later. pip_install and not pip_ensure: that one does nothing at all in testing mode.
            from slicer.packaging import pip_install
        except ImportError:
            self._start("pip", ["--disable-pip-version-check", *arguments])
            return
        pip_install(
            arguments[1:],
            blocking=False,
            show_progress=False,
            requester="VoxelMorph",
            logCallback=self._line,
            completedCallback=self._end,
        )

    def stop(self) -> None:
        """End it where that can be done, and tell nobody any more."""
        self._told, self._ended = (lambda line: None), (lambda code, said: None)
        if self._process is not None:
            self._process.kill()

    def _start(self, module: str, arguments: list[str]) -> None:
        self._process = process = qt.QProcess()
        process.setProcessChannelMode(qt.QProcess.MergedChannels)
        process.connect("readyReadStandardOutput()", self._read)
        process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: self._finished(code))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda error: self._not_started())
        process.start(python_program(), ["-m", module, *arguments])

    def _read(self) -> None:
        while self._process.canReadLine():
            data = self._process.readLine().data()
            self._line((data if isinstance(data, str) else bytes(data).decode("utf-8", "replace")).rstrip())

    def _line(self, line: str) -> None:
        self._said = f"{self._said}{line}\n"[-_LAST_WORDS:]
        self._told(line)

    def _finished(self, code: int) -> None:
        self._read()
        self._end(code)

    def _not_started(self) -> None:
        if self._process.state() == qt.QProcess.NotRunning:
            self._end(1)

    def _end(self, code: int) -> None:
        ended, self._ended = self._ended, lambda code, said: None
        ended(code, self._said)
