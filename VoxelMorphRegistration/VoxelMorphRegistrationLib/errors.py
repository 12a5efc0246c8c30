"""What goes wrong, told to the person who meets it: one line naming what, which file, node or value, and what to do."""

from __future__ import annotations


class InputError(Exception):
    """Bad input or a failure a person can mend. The message is one line: which file or value, the reason, the remedy."""


class DependencyMissing(Exception):
    """A package that this step needs is not installed. The message names the command that installs it."""
