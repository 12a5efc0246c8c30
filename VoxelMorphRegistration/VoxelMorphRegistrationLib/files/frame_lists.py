"""A list of frames, one file each, with what distinguishes them: `.json`, as Slicer's panel hands a sequence over.

    {"sequence": "cine", "index": {"name": "time", "unit": "s", "type": "numeric"},
     "frames": [{"file": "frames/00000.nrrd", "value": "0.04"}, ...]}

Paths are relative to the list. `value` is text, and no two are the same; `sequence` and `index` may be left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, error_summary
from .atomic import atomic_write
from .detached import check_readable

_TYPES = ("numeric", "text")


@dataclass(frozen=True)
class FrameList:
    """Frames in their order.

    Attributes:
        files: of each frame. values: its index value each, as text.
        sequence: what people call them all, '' for nothing.
        index_name, index_unit, index_type: of what distinguishes them, as in a Slicer sequence.
    """

    files: tuple[Path, ...]
    values: tuple[str, ...]
    sequence: str = ""
    index_name: str = "frame"
    index_unit: str = ""
    index_type: str = "numeric"


def read_frame_list(path: Path) -> FrameList:
    """Raises InputError, naming the file, when it is no such list."""
    check_readable(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        frames, index = content["frames"], content.get("index", {})
        files = tuple(path.parent / _text(frame["file"]) for frame in frames)
        values = tuple(_text(frame["value"]) for frame in frames)
        named = {f"index_{name}": _text(index[name]) for name in ("name", "unit", "type") if name in index}
        found = FrameList(files, values, _text(content.get("sequence", "")), **named)
        if not files or len(set(values)) < len(values) or found.index_type not in _TYPES:
            raise ValueError("no frame, a value twice, or another type of index than numeric and text")
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise InputError(
            f"{path}: is no list of frames ({error_summary(error)}); Docs/formats.md says what one is"
        ) from error
    return found


def write_frame_list(frames: FrameList, path: Path) -> None:
    """The same list leaves the file as it is. Raises InputError when it cannot be written."""
    content = {
        "sequence": frames.sequence,
        "index": {"name": frames.index_name, "unit": frames.index_unit, "type": frames.index_type},
        "frames": [
            {"file": file.relative_to(path.parent).as_posix(), "value": value}
            for file, value in zip(frames.files, frames.values)
        ],
    }
    text = json.dumps(content, indent=0) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
        return
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value
