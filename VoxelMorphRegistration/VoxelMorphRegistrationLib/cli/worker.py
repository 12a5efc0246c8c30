"""`slicer-voxelmorph worker`: the commands, kept warm in one process that a window talks to by JSON lines.

Jobs come on standard input and events go to standard output, one JSON object a line; Docs/worker-protocol.md lists
them. The process ends when its standard input closes, also while it computes, so whatever ends the window ends it.
"""

from __future__ import annotations

import _thread
import argparse
import contextlib
import io
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import InputError
from ..version import __version__
from .events import describe_error
from .exit_status import Exit

if TYPE_CHECKING:
    from ..models.loading import Model

PROTOCOL = 1
_GRACE_SECONDS = 4.0  # for the file that is being written when standard input closes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Docs/worker-protocol.md says what goes in and comes out."


def run(args: argparse.Namespace) -> Exit:
    # What a library prints must not come between events: standard output becomes standard error for everyone else.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    # A cancellation interrupts as Ctrl-C would, which programs that a script starts in the background ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return Worker(sys.stdin.buffer, events).serve()


class Worker:
    """Takes one job after the other from `lines` until these end; `events` is written by any thread."""

    def __init__(self, lines: Any, events: TextIO) -> None:
        self._lines, self._events = lines, events
        self._jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._writing = threading.Lock()
        self._state = threading.Lock()
        self._running: str | None = None
        self._cancelled: set[str] = set()
        self._model: tuple[tuple[str, int, str], Model] | None = None

    def serve(self) -> Exit:
        """Work until the lines end. The process is ended for good some seconds after that, whatever is computed."""
        self._emit({"event": "hello", "protocol": PROTOCOL, "version": __version__, "pid": os.getpid()})
        threading.Thread(target=self._read, name="voxelmorph-commands", daemon=True).start()
        while True:
            try:
                job = self._jobs.get()
                if job is None:
                    return Exit.DONE
                self._work(job)
            except KeyboardInterrupt:
                continue  # A cancellation that met the very end of its job.

    def _read(self) -> None:
        for line in iter(self._lines.readline, b""):
            if line.strip():
                self._take(line)
        self._leave()

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            if "cancel" in message:
                self._cancel(str(message["cancel"]))
                return
            job: dict[str, Any] = {"job": str(message["job"]), "command": str(message["command"])}
            job["arguments"] = [str(argument) for argument in message.get("arguments", [])]
        except (ValueError, TypeError, KeyError) as error:
            said = f"a line that is no job: {type(error).__name__} {error}; see Docs/worker-protocol.md"
            self._emit({"event": "error", "job": None, "exit": Exit.USAGE, **describe_error(said)})
            return
        self._jobs.put(job)

    def _cancel(self, name: str) -> None:
        with self._state:
            self._cancelled.add(name)
            if self._running == name:
                _thread.interrupt_main()

    def _leave(self) -> None:
        with self._state:
            if self._running is not None:
                _thread.interrupt_main()
        self._jobs.put(None)
        time.sleep(_GRACE_SECONDS)
        os._exit(Exit.INTERRUPTED)

    def _work(self, job: Mapping[str, Any]) -> None:
        name = job["job"]
        with self._state:
            if name in self._cancelled:
                self._emit({"event": "cancelled", "job": name})
                return
            self._running = name
        try:
            try:
                end = self._outcome(job)
            finally:
                with self._state:
                    self._running = None
        except KeyboardInterrupt:
            self._running = None
            end = {"event": "cancelled"}
        self._emit({**end, "job": name})

    def _outcome(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The event that ends a job."""
        from .main import failure_of

        self._emit({"event": "begin", "job": job["job"]})
        try:
            if job["command"] == "check":
                return {"event": "done", "exit": Exit.DONE, **_check()}
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                status = self._command(job)
            return {"event": "done", "exit": int(status), "output": printed.getvalue()}
        except SystemExit as leaving:
            said = f"{job['command']}: its arguments cannot be understood, standard error says why"
            return {"event": "error", "exit": int(leaving.code or 0), **describe_error(said, traceback.format_exc())}
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            message, status = failure_of(error)
            return {"event": "error", "exit": int(status), **describe_error(message, traceback.format_exc())}

    def _command(self, job: Mapping[str, Any]) -> int:
        from .main import parse

        if job["command"] not in ("register", "propagate", "convert", "models"):
            raise InputError(
                f"{job['command']}: no job of this worker; use register, propagate, convert, models, check"
            )
        args = parse([job["command"], *job["arguments"]])
        args.emit = lambda event: self._emit({**event, "job": job["job"]})
        if hasattr(args, "progress"):
            args.progress = "json"
        if job["command"] in ("register", "propagate"):
            args.model = self._warm(args.model, args.device)
        return args.run(args)

    def _warm(self, name: str | None, device: str) -> Model:
        """The network of the last job where this one wants the same."""
        from ..models.loading import DEFAULT_MODEL, load_model
        from ..registration.settings import resolve_device

        wanted = (name or DEFAULT_MODEL, _changed(name), device)
        if self._model is not None and self._model[0] == wanted:
            return self._model[1]
        self._model = None  # Two networks at once may be more than a GPU holds.
        model = load_model(name or DEFAULT_MODEL, resolve_device(device))
        self._model = (wanted, model)
        return model

    def _emit(self, event: Mapping[str, Any]) -> None:
        line = json.dumps(event)
        with self._writing:
            try:
                self._events.write(line + "\n")
                self._events.flush()
            except OSError:
                pass  # The window is gone; the end of standard input says so too.


def _changed(name: str | None) -> int:
    """When a file of weights changed last, so that an own network that is trained on is read again; 0 for a name."""
    try:
        return os.stat(name or "").st_mtime_ns
    except OSError:
        return 0


def _check() -> dict[str, Any]:
    """Whether this process can compute: tried, not asked. Raises InputError that says what to do where it cannot."""
    from .. import installation

    installation.require()
    try:
        import numpy as np
        import torch

        tried = torch.nn.functional.conv3d(
            torch.from_numpy(np.ones((1, 1, 3, 3, 3), np.float32)), torch.ones(1, 1, 3, 3, 3)
        )
        if float(tried.numpy().sum()) != 27.0:
            raise RuntimeError("a convolution of ones gave another number than 27")
    except Exception as error:
        raise InputError(
            f"torch: is installed and does not compute ({type(error).__name__}: {' '.join(str(error).split())}); "
            "install another version with the PyTorch extension"
        ) from error
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    return {"torch": torch.__version__, "numpy": np.__version__, "device": device, "python": sys.version.split()[0]}
