"""The text header of a NRRD file: where its voxels lie in the file and what its axes are.

SimpleITK and pynrrd read the voxels of a NRRD file only all at once, which a sequence of thousands of frames does not
allow; with the header, parsed by hand for that reason, they can be read frame by frame.
Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import InputError

# numpy's kind and bytes of a voxel, and the names of the format for it: written is the first, read are all.
_TYPES = {
    "i1": "signed char,int8,int8_t",
    "u1": "uchar,unsigned char,uint8,uint8_t",
    "i2": "short,short int,signed short,signed short int,int16,int16_t",
    "u2": "ushort,unsigned short,unsigned short int,uint16,uint16_t",
    "i4": "int,signed int,int32,int32_t",
    "u4": "uint,unsigned int,uint32,uint32_t",
    "i8": "long long,longlong,long long int,signed long long,signed long long int,int64,int64_t",
    "u8": "unsigned long long,ulonglong,unsigned long long int,uint64,uint64_t",
    "f4": "float",
    "f8": "double",
}
_KINDS = {name: kind for kind, names in _TYPES.items() for name in names.split(",")}
_TO_LPS = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
_LONGEST_HEADER = 1 << 24


@dataclass(frozen=True)
class NrrdHeader:
    """What the header says.

    Attributes:
        sizes: of all axes, the fastest first.
        dtype: of the voxels, byte order included.
        encoding: 'raw' or 'gzip'.
        data: the file that holds the voxels (the NRRD file itself unless the header is detached).
        offset: bytes before the voxels (before decompression).
        fields: the fields, names in lower case. metadata: the key/value pairs.
    """

    path: Path
    sizes: tuple[int, ...]
    dtype: np.dtype
    encoding: str
    data: Path
    offset: int
    fields: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def kinds(self) -> list[str]:
        """The kind of each axis, lower case; '' where none is given."""
        return [kind.lower() for kind in self.fields.get("kinds", "").split()] or [""] * len(self.sizes)

    def labels(self, name: str = "labels") -> list[str]:
        """A field of one quoted string an axis (labels, units), '' where none is given."""
        found = re.findall(r'"((?:[^"\\]|\\.)*)"', self.fields.get(name, ""))
        return [text.replace('\\"', '"') for text in found] if len(found) == len(self.sizes) else [""] * len(self.sizes)

    def directions(self) -> list[np.ndarray | None]:
        """The step in LPS mm along each axis, None for an axis that does not lie in space."""
        text = self.fields.get("space directions")
        if text is None:
            spacings = [float(word) for word in self.fields.get("spacings", "").split()] or [float("nan")] * len(
                self.sizes
            )
            return _diagonal(spacings, self.kinds)
        vectors: list[np.ndarray | None] = []
        for word in re.findall(r"none|\([^)]*\)", text):
            vector = None if word == "none" else _vector(word) * self._to_lps()
            vectors.append(None if vector is None or not np.all(np.isfinite(vector)) else vector)
        return vectors

    def origin(self) -> np.ndarray:
        """LPS mm of the first voxel's centre."""
        text = self.fields.get("space origin")
        return np.zeros(3) if text is None else _vector(text) * self._to_lps()

    def _to_lps(self) -> np.ndarray:
        return np.asarray(
            _TO_LPS.get(self.fields.get("space", "lps").lower().removesuffix("-time"), (1, 1, 1)), dtype=float
        )


def read_nrrd_header(path: str | Path) -> NrrdHeader:
    """Raises InputError, naming the file, when it is no NRRD file or one whose voxels cannot be read here."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            lines, offset = _header_lines(stream, path)
        fields, metadata = _parse(lines)
        sizes = tuple(int(word) for word in fields["sizes"].split())
        kind = fields["type"].lower()
        if kind not in _KINDS:
            raise InputError(f"{path}: voxels of type {kind!r} are not supported; convert them to a numeric type")
        order = "<" if fields.get("endian", "little").lower() == "little" else ">"
        dtype = np.dtype(order + _KINDS[kind])
        encoding = {"gz": "gzip"}.get(fields["encoding"].lower(), fields["encoding"].lower())
    except (KeyError, ValueError, OSError) as error:
        raise InputError(f"{path}: its NRRD header is incomplete ({error}); save the sequence again") from error
    if encoding not in ("raw", "gzip"):
        raise InputError(f"{path}: the encoding {encoding!r} is not supported; save it raw or with gzip")
    data, offset = _data_file(path, fields, offset)
    return NrrdHeader(path, sizes, dtype, encoding, data, offset, fields, metadata)


def type_name(dtype: np.dtype) -> str:
    """What a header calls voxels of a numeric type, whatever their byte order."""
    return _TYPES[dtype.str[1:]].split(",")[0]


def _header_lines(stream: BinaryIO, path: Path) -> tuple[list[str], int]:
    if not stream.readline().startswith(b"NRRD"):
        raise InputError(f"{path}: is not a NRRD file; give a whole NRRD file")
    lines: list[str] = []
    while stream.tell() < _LONGEST_HEADER:
        line = stream.readline()
        if not line or not line.strip():
            return lines, stream.tell()
        lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
    raise InputError(f"{path}: its NRRD header has no end; give a whole NRRD file")


def _parse(lines: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    fields: dict[str, str] = {}
    metadata: dict[str, str] = {}
    for line in lines:
        if line.startswith("#"):
            continue
        key, pair, value = line.partition(":=")
        if pair:
            metadata[key] = value.replace("\\n", "\n").replace("\\\\", "\\")
            continue
        key, _, value = line.partition(":")
        fields[key.strip().lower()] = value.strip()
    return fields, metadata


def _data_file(path: Path, fields: dict[str, str], offset: int) -> tuple[Path, int]:
    name = fields.get("data file", fields.get("datafile"))
    if any(fields.get(key, "0") not in ("0", "") for key in ("line skip", "lineskip", "byte skip", "byteskip")):
        raise InputError(f"{path}: voxels behind a line or byte skip are not supported; save it as one .nrrd file")
    if name is None:
        return path, offset
    if name.startswith("LIST") or "%" in name:
        raise InputError(f"{path}: voxels in several files are not supported; save it as one .nrrd file")
    return path.parent / name, 0


def _vector(text: str) -> np.ndarray:
    vector = np.asarray([float(word) for word in text.strip("() ").split(",")])
    return np.pad(vector[:3], (0, max(0, 3 - len(vector))))  # A fourth component is time.


def _diagonal(spacings: list[float], kinds: list[str]) -> list[np.ndarray | None]:
    vectors: list[np.ndarray | None] = []
    for spacing, kind in zip(spacings, kinds):
        spatial = kind not in ("list", "vector", "time") and len([v for v in vectors if v is not None]) < 3
        axis = len([v for v in vectors if v is not None])
        vectors.append(np.eye(3)[axis] * (spacing if np.isfinite(spacing) else 1.0) if spatial else None)
    return vectors
