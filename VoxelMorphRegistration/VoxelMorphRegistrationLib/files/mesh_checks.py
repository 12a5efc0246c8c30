"""Surface files that are cut short, of which VTK makes up the rest, takes what is left, or ends the process.

STL: as text it ends with `endsolid`; in binary, 80 bytes and a count of triangles precede 50 bytes for each.
PLY: its header names elements, how many there are of each, and the numbers of one
(G. Turk, The PLY polygon file format, 1994).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_HEADER = 1 << 16


def check_stl(path: Path) -> None:
    """Raises InputError, naming the file, for an STL file that is cut short."""
    content = path.read_bytes()
    count = int.from_bytes(content[80:84], "little")
    if len(content) >= 84 and len(content) == 84 + 50 * count:
        return
    as_text = content.lstrip()[:5].lower() == b"solid"
    whole = b"endsolid" in content[-512:].lower() if as_text else len(content) > 84 + 50 * count
    if not whole:
        raise _cut_short(path)


def check_ply(path: Path) -> None:
    """Raises InputError, naming the file, for a PLY file that is cut short, damaged, or whose faces have corners that
    are not there.
    """
    content = path.read_bytes()
    header = re.match(rb"ply\r?\n.*?\nend_header\r?\n", content[:_LONGEST_HEADER], re.DOTALL)
    if header is None:
        raise InputError(f"{path}: holds no whole header of a PLY file; save or copy it again")
    lines = [line.split() for line in header.group().decode("latin-1").splitlines()]
    try:
        kind, elements = _elements(lines)
        if kind == "ascii":
            _check_text(path, content[header.end() :].split(), elements)
        else:
            _check_binary(path, content, header.end(), _ORDERS[kind], elements)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path}: is damaged; save or copy it again") from error


@dataclass
class _Element:
    """`numbers` of each: (type, None), or for a list (type of its numbers, type of its count)."""

    name: str
    count: int
    numbers: list[tuple[str, str | None]] = field(default_factory=list)


def _elements(lines: list[list[str]]) -> tuple[str, list[_Element]]:
    kind, elements = "", []
    for words in lines:
        if words[:1] == ["format"]:
            kind = words[1]
        elif words[:1] == ["element"]:
            elements.append(_Element(words[1], int(words[2])))
            if elements[-1].count < 0:
                raise ValueError(words)
        elif words[:2] == ["property", "list"]:
            elements[-1].numbers.append((_TYPES[words[3]], _TYPES[words[2]]))
        elif words[:1] == ["property"]:
            elements[-1].numbers.append((_TYPES[words[1]], None))
    if kind != "ascii" and kind not in _ORDERS:
        raise ValueError(kind)
    return kind, elements


def _check_text(path: Path, words: list[bytes], elements: list[_Element]) -> None:
    place, vertices = 0, _vertices(elements)
    for element in elements:
        if all(count is None for _, count in element.numbers):
            place += element.count * len(element.numbers)
            continue
        for _ in range(element.count):
            for _, count in element.numbers:
                length = 1 if count is None else int(words[place]) + 1 if place < len(words) else 1
                if length < 1:
                    raise ValueError(words[place])
                if count is not None and element.name == "face":
                    _check_corners(path, [int(float(word)) for word in words[place + 1 : place + length]], vertices)
                place += length
            if place > len(words):
                raise _cut_short(path)
    if place > len(words):
        raise _cut_short(path)


def _check_binary(path: Path, content: bytes, place: int, order: str, elements: list[_Element]) -> None:
    vertices = _vertices(elements)
    for element in elements:
        if all(count is None for _, count in element.numbers):
            place += element.count * sum(np.dtype(number).itemsize for number, _ in element.numbers)
            continue
        table = _alike(content, place, order, element)
        if table is not None:
            if element.name == "face":
                _check_corners(path, [int(table["corners"].min()), int(table["corners"].max())], vertices)
            place += table.nbytes
            continue
        for _ in range(element.count):
            for number, count in element.numbers:
                width = np.dtype(number).itemsize
                if count is None:
                    place += width
                    continue
                if place + np.dtype(count).itemsize > len(content):
                    raise _cut_short(path)
                length = int(np.frombuffer(content, order + count, 1, place)[0])
                place += np.dtype(count).itemsize
                if length < 0 or place + length * width > len(content):
                    raise _cut_short(path)
                if element.name == "face":
                    _check_corners(path, np.frombuffer(content, order + number, length, place), vertices)
                place += length * width
    if place > len(content):
        raise _cut_short(path)


def _alike(content: bytes, place: int, order: str, element: _Element) -> np.ndarray | None:
    """An element that is one list each, all of one length, as most surfaces have their triangles; else None."""
    if len(element.numbers) != 1 or not element.count:
        return None
    number, count = element.numbers[0]
    length = int(np.frombuffer(content[place : place + 8].ljust(8, b"\0"), order + str(count), 1)[0])
    if not 1 <= length < 100:
        return None
    row = np.dtype([("length", order + str(count)), ("corners", order + number, (length,))])
    if place + element.count * row.itemsize > len(content):
        return None
    table = np.frombuffer(content, row, element.count, place)
    return table if (table["length"] == length).all() else None


def _vertices(elements: list[_Element]) -> int:
    return sum(element.count for element in elements if element.name == "vertex")


def _check_corners(path: Path, corners: np.ndarray | list[int], vertices: int) -> None:
    if len(corners) and not (0 <= min(corners) and max(corners) < vertices):
        raise InputError(f"{path}: a face has a corner that is none of its {vertices} vertices; save or copy it again")


def _cut_short(path: Path) -> InputError:
    return InputError(f"{path}: the file is cut short; save or copy it again")
