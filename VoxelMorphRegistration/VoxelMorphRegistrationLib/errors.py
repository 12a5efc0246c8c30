"""What goes wrong, told to the person who meets it: one line naming what, which file, node or value, and what to do."""

from __future__ import annotations

import re

_LONGEST = 160
_MARK = re.compile(r"ERROR:|Unpickler error:")
_OBJECT = re.compile(r"^\w+ ?\([0-9A-Fa-fx]+\):\s*")  # "NrrdImageIO(0x55975294e200): "
_NOISE = re.compile(r"Exception raised from|frame #|Check the documentation")


class InputError(Exception):
    """Bad input or a failure a person can mend.

    The message is one line: which file or value, the reason, the remedy.
    """


class DependencyMissing(Exception):
    """A package that this step needs is not installed. The message names the command that installs it."""


def telling_line(error: BaseException) -> str:
    """What another library's error says is wrong: one line of at most 160 characters, for the brackets of a message.

    It is the system's own words where the error has them. SimpleITK puts the place in its source first, then "ERROR:"
    with the message, and often the reason or a long list of what it knows beneath. Others end on the reason; torch lets
    a stack or advice on its own options follow.
    """
    said = getattr(error, "strerror", None) or str(error)
    lines = [line.strip() for line in said.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    if not lines:
        return type(error).__name__
    marked = next((number for number, line in enumerate(lines) if _MARK.search(line)), None)
    if marked is None:
        return lines[-1][:_LONGEST]
    telling, beneath = _OBJECT.sub("", _MARK.split(lines[marked])[-1].strip()), lines[marked + 1 :]
    if beneath and (not telling or telling.endswith(":")):
        telling = beneath[-1]
    elif beneath and beneath[0].startswith("failed"):
        telling = beneath[0]
    elif beneath and beneath[0].startswith("Reason: ") and re.search("for writing|be written", telling):
        # After a failed reading it is whatever the system last complained of, often about another file.
        telling = beneath[0].removeprefix("Reason: ")
    return (telling or lines[marked])[:_LONGEST]
