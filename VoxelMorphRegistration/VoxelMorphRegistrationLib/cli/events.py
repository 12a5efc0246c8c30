"""What a command tells a program that started it: one JSON object a line, the same alone and in the worker."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

Emit = Callable[[Mapping[str, Any]], None]
"""Takes an event: {'event': its name, ...}. May be called from any thread."""


def print_event(event: Mapping[str, Any]) -> None:
    """One line on stdout, at once. Whoever read it may be gone: what a command writes does not depend on that."""
    try:
        # In one piece: with a GPU two threads tell.
        print(json.dumps(event) + "\n", end="", flush=True)
    except BrokenPipeError:
        stop_printing()


def stop_printing() -> None:
    """Send what is still printed nowhere, after the reader of a pipe went away (`... | head`).

    Python would otherwise complain when it flushes the stream at the end.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def describe_error(message: str, details: str = "") -> dict[str, str]:
    """The parts of an error's line as the project writes them, `which: what; remedy`; missing parts are ''.

    Returns {'which', 'what', 'remedy', 'details', 'message'}: the file or node, the reason, what to do, several lines
    for a person who reports it, and the line itself.
    """
    which, colon, rest = message.partition(": ")
    if not colon:
        which, rest = "", message
    what, _, remedy = rest.rpartition("; ")
    if not what:
        what, remedy = remedy, ""
    return {"which": which, "what": what, "remedy": remedy, "details": details, "message": message}
