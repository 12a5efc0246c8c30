"""The exit statuses of the command line."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's exit status says."""

    DONE = 0
    FAILED = 1  # bad input or a failure: one line on stderr says what to do
    USAGE = 2  # argparse's own
    MISSING = 3  # a package is not installed
    SOME_FRAMES = 4  # finished, but some frames failed; they are named
    INTERRUPTED = 130
