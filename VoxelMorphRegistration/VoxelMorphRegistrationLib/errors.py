"""The errors a person meets. Their messages are one line: what is wrong, in which file, node or value, what to do."""

from __future__ import annotations

import re

_LONGEST = 160
_MARK = re.compile(r"ERROR:|Unpickler error:")
_OBJECT = re.compile(r"^\w+ ?\([0-9A-Fa-fx]+\):\s*")  # "NrrdImageIO(0x55975294e200): "
_NOISE = re.compile(r"Exception raised from|frame #|Check the documentation")


class InputError(Exception):
    """Bad input or a failure a person can mend.

    The message is one line: which file or value, the reason, the remedy. Bytes of a file's name that are no text are
    shown by their numbers, so that the message can be printed and written everywhere.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message.encode("utf-8", "backslashreplace").decode())


class DependencyMissing(Exception):
    """A package that this step needs is not installed. The message names the command that installs it."""


def error_summary(error: BaseException) -> str:
    """The reason in another library's error: one line of at most 160 characters, for the brackets of a message.

    The operating system's own words where the error has them (`strerror`), the type's name where it says nothing.
    SimpleITK puts the place in its source first, then "ERROR:" with the message, and often the reason or a long list
    of what it knows beneath. Others end on the reason; torch lets a stack or advice on its own options follow.
    """
    said = getattr(error, "strerror", None) or str(error)
    lines = [line.strip() for line in said.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    if not lines:
        return type(error).__name__
    marked = next((number for number, line in enumerate(lines) if _MARK.search(line)), None)
    if marked is None:
        return lines[-1][:_LONGEST]
    reason, beneath = _OBJECT.sub("", _MARK.split(lines[marked])[-1].strip()), lines[marked + 1 :]
    if beneath and (not reason or reason.endswith(":")):
        reason = beneath[-1]
    elif beneath and beneath[0].startswith("failed"):
        reason = beneath[0]
    elif beneath and beneath[0].startswith("Reason: ") and re.search("for writing|be written", reason):
        # After a failed reading it is whatever the system last complained of, often about another file.
        reason = beneath[0].removeprefix("Reason: ")
    return (reason or lines[marked])[:_LONGEST]
