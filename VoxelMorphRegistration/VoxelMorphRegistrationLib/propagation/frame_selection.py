"""Which frames of a sequence are wanted: as text, and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, error_summary


def select_frames(text: str | None, count: int) -> list[int]:
    """The frame numbers of a Python slice `START:STOP:STEP` (or one number, or several of either with commas),
    ascending; None selects all.

    `@list.txt` takes the numbers and slices of a text file, one a line; what follows a `#` is left out. The page of a
    run exports such lists.

    Raises InputError for anything else, for a number that no frame has, and when nothing is left.
    """
    if text is None:
        return list(range(count))
    if text.startswith("@"):
        return _listed_frames(Path(text[1:]), count)
    chosen = sorted({number for part in text.split(",") for number in _part_of_frames(part, count, text)})
    if not chosen:
        raise InputError(
            f"frames {text!r}: selects none of the {count} frames; they are numbered from 0 to {count - 1}"
        )
    return chosen


def _part_of_frames(part: str, count: int, text: str) -> list[int]:
    """The numbers of one slice or number of `text`."""
    words = part.split(":")
    try:
        if len(words) == 1:
            return [range(count)[int(part)]]
        if len(words) > 3:
            raise ValueError
        return list(range(count)[slice(*(int(word) if word.strip() else None for word in words))])
    except (ValueError, TypeError):
        raise InputError(
            f"frames {text!r}: not a slice; write START:STOP:STEP as in Python, such as 0:100:2, or 3,5,9:12, "
            "or @list.txt"
        ) from None
    except IndexError:
        raise InputError(f"frames {text!r}: there is no such frame among {count} (0 to {count - 1})") from None


def _listed_frames(path: Path, count: int) -> list[int]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"frames @{path}: cannot be read ({error_summary(error)}); give a text file with one number a line"
        ) from error
    wanted = [line.partition("#")[0].strip() for line in lines]
    try:
        chosen = sorted({index for text in wanted if text for index in _part_of_frames(text, count, text)})
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not chosen:
        raise InputError(f"{path}: names no frame; write one number a line")
    return chosen


def check_selected(select: Sequence[int] | None, count: int) -> list[int]:
    """The numbers of the frames wanted, ascending, each once; None selects all.

    Raises InputError where there are none, and for a number that none of the `count` frames has.
    """
    chosen = sorted(set(range(count) if select is None else select))
    if not chosen or not 0 <= chosen[0] <= chosen[-1] < count:
        raise InputError(f"frames {chosen[:1]} to {chosen[-1:]}: the sequence has 0 to {count - 1}")
    return chosen
