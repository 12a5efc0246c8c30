"""In what order files follow each other by the numbers in their names, and where these can be read in two ways.

`scan-2` comes before `scan-10`: a dash before a number is a dash, as file managers and natsort take it. Only where some
names have one and others, the same but for their numbers, have none (`t-10`, `t0`, `t10`) it is a sign.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path

#: Endings of images, which are no part of a frame's name: by them `scan.nrrd` would come after `scan1.nrrd`.
IMAGE_ENDINGS = (
    ".nii.gz", ".nrrd", ".nhdr", ".nii", ".mha", ".mhd", ".hdr", ".tif", ".tiff", ".png", ".jpg", ".bmp", ".vtk",
)  # fmt: skip
_SHOWN = 3
_DASHED = re.compile(r"(?<!#)-(?=#)")

Key = list[tuple[int, int | Decimal, str]]


def natural_order(path: str | Path) -> Key:
    """A sorting key by which `frame2` comes before `frame10`."""
    return _key(str(path), r"(\d+)", int)


def in_order(paths: Iterable[Path]) -> list[Path]:
    """The paths by the numbers in their names without endings; with signs where only some have one."""
    paths = list(paths)
    return sorted(paths, key=_with_signs if has_signs(paths) else _without_signs)


def has_signs(paths: Iterable[Path]) -> bool:
    """Whether numbers have signs: names that are the same but for their numbers come with a dash and without."""
    patterns = {pattern_of(path) for path in paths}
    return any(_DASHED.search(one) and _DASHED.sub("", one) in patterns for one in patterns)


def told_order(ordered: Sequence[Path]) -> str:
    """The order, for people, where with signs and decimal places it is another than without; '' where it is not."""
    if sorted(ordered, key=_with_signs) == sorted(ordered, key=_without_signs):
        return ""
    names = [path.name for path in ordered]
    shown = names if len(names) <= 2 * _SHOWN else [*names[:_SHOWN], "...", *names[-_SHOWN:]]
    how = "with their signs" if has_signs(ordered) else "as whole numbers, a dash before them as a dash"
    return f"{', '.join(shown)} (numbers are read {how}; a .txt with one path a line gives any other order)"


def told_signs(ordered: Sequence[Path], where: str) -> list[str]:
    """A note, where numbers are taken to have signs."""
    if not has_signs(ordered):
        return []
    first, last = ordered[0].name, ordered[-1].name
    return [
        f"{where}: numbers in its names are read with their signs, so that {first} is the first and {last} the last"
    ]


def pattern_of(path: Path) -> str:
    """The name without its ending, with '#' for each number in it."""
    return re.sub(r"\d+", "#", stem_of(path.name))


def stem_of(name: str) -> str:
    """The name without the ending of an image."""
    ending = next((end for end in IMAGE_ENDINGS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)] if ending else name


def _without_signs(path: Path) -> Key:
    return natural_order(path.parent / stem_of(path.name))


def _with_signs(path: Path) -> Key:
    return [*natural_order(path.parent), *_key(stem_of(path.name), r"((?<!\d)-?\d+(?:\.\d+)?)", Decimal)]


def _key(text: str, numbers: str, value: Callable[[str], int | Decimal]) -> Key:
    parts = enumerate(re.split(numbers, text))
    return [(0, value(part), "") if place % 2 else (1, 0, part.lower()) for place, part in parts if part]
