"""What the commands of the program take."""

from __future__ import annotations

import argparse
from collections.abc import Iterable


def options_of(parsers: Iterable[argparse.ArgumentParser]) -> set[str]:
    """Every option of these parsers and of those below them."""
    found: set[str] = set()
    waiting = list(parsers)
    while waiting:
        for action in waiting.pop()._actions:
            found.update(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                waiting.extend(action.choices.values())
    return found
