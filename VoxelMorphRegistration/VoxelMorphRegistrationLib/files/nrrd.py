"""The text header of a NRRD file: where its voxels lie in the file and what its axes are.

SimpleITK and pynrrd read the voxels of a NRRD file only all at once, which a sequence of thousands of frames does not
allow; with the header, parsed by hand for that reason, they can be read frame by frame.
Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.grid import Grid
from .compressed import check_packed, unpack
from .detached import beside, check_exact

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

    def grid(self, axes: Sequence[int]) -> Grid:
        """The grid of two or three of the axes. Raises InputError when it has no volume.

        A slice in space (two axes with steps of three numbers) lies in the coordinates of its own plane: those two of
        LPS that it is seen from the third along, turned into the plane where it is oblique. A slice that is axial has
        its L and P, a coronal one L and S, a sagittal one P and S.
        """
        given = self.directions()
        steps = [np.eye(3)[n] if given[axis] is None else given[axis] for n, axis in enumerate(axes)]
        columns, origin = np.stack([step for step in steps if step is not None], axis=1), self.origin()
        matrix = np.eye(len(axes) + 1)
        try:
            if len(axes) == 2:
                plane = _plane(columns)
                columns, origin = plane @ columns, plane @ origin
            matrix[:-1, :-1], matrix[:-1, -1] = columns, origin
            return Grid.from_matrix(tuple(self.sizes[axis] for axis in axes), matrix)
        except ValueError as error:
            raise InputError(f"{self.path}: its spacing is not positive; correct the file's header") from error

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
        if not sizes or min(sizes) < 1 or fields.get("dimension", str(len(sizes))) != str(len(sizes)):
            raise ValueError(f"sizes {fields['sizes']}")
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
    header = NrrdHeader(path, sizes, dtype, encoding, data, offset, fields, metadata)
    try:
        header.origin()
        axes = len(header.directions())
    except ValueError as error:
        raise InputError(f"{path}: its NRRD header is damaged ({error}); save the sequence again") from error
    if axes != len(sizes) or len(header.kinds) != len(sizes):
        raise InputError(f"{path}: its NRRD header names {axes} directions for {len(sizes)} axes; save it again")
    return header


def check_nrrd(path: Path) -> None:
    """Raises InputError, naming the file, for a NRRD file whose voxels are cut short, damaged, or elsewhere than beside
    it.

    Files that `read_nrrd_header` refuses for their encoding, type or layout pass when their voxels are in the file
    itself: ITK reads more kinds, and tells of the others.
    """
    if not path.name.lower().endswith((".nrrd", ".nhdr")) or not path.is_file():
        return
    with open(path, "rb") as stream:
        if not stream.readline().startswith(b"NRRD"):
            return
    try:
        header = read_nrrd_header(path)
    except InputError:
        _check_place(path)
        return
    needed = math.prod(header.sizes) * header.dtype.itemsize
    if header.encoding == "gzip":
        check_packed(header.data, header.offset, "gzip", needed)
    elif header.data.stat().st_size < header.offset + needed:
        raise InputError(f"{path}: the file is cut short; copy or download it again")
    elif header.data != path:
        check_exact(path, header.data, needed)


def _check_place(path: Path) -> None:
    """Raises InputError when the header cannot be read, or names voxels in several files or outside its folder."""
    with open(path, "rb") as stream:
        fields, _ = _parse(_header_lines(stream, path)[0])
    if (name := _data_name(fields)) is not None:
        _place(path, name)


def read_slice(path: Path) -> sitk.Image | None:
    """The 2D image of a NRRD file of two axes that lie in 3D space, which ITK refuses; None for any other file.

    The file must have passed `check_nrrd`. Its grid is that of `NrrdHeader.grid`.
    """
    if not path.name.lower().endswith((".nrrd", ".nhdr")):
        return None
    try:
        header = read_nrrd_header(path)
        steps = header.directions()
    except (InputError, ValueError):
        return None
    lies = [step for step in steps if step is not None]
    if len(header.sizes) != 2 or len(lies) != 2 or header.fields.get("space directions", "").count(",") != 4:
        return None
    needed = math.prod(header.sizes) * header.dtype.itemsize
    with open(header.data, "rb") as stream:
        stream.seek(header.offset)
        packed = header.encoding == "gzip"
        voxels = b"".join(unpack(path, stream, "gzip")) if packed else stream.read(needed)
    array = np.frombuffer(voxels[:needed], header.dtype).reshape(header.sizes[::-1])
    return header.grid((0, 1)).image(array.astype(header.dtype.newbyteorder("=")))


def space_of_nrrd(path: Path) -> str:
    """The space in which a NRRD file gives its grid, where that is another than LPS; '' else and for other files."""
    if not path.name.lower().endswith((".nrrd", ".nhdr")):
        return ""
    try:
        with open(path, "rb") as stream:
            fields, _ = _parse(_header_lines(stream, path)[0])
    except InputError:
        return ""
    space = fields.get("space", "")
    return "" if _TO_LPS.get(space.lower(), (1, 1, 1)) == (1, 1, 1) else space


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


def _data_name(fields: dict[str, str]) -> str | None:
    return fields.get("data file", fields.get("datafile"))


def _place(path: Path, name: str) -> Path:
    if name.startswith("LIST") or "%" in name:
        raise InputError(f"{path}: voxels in several files are not supported; save it as one .nrrd file")
    return beside(path, name)


def _data_file(path: Path, fields: dict[str, str], offset: int) -> tuple[Path, int]:
    name = _data_name(fields)
    if any(fields.get(key, "0") not in ("0", "") for key in ("line skip", "lineskip", "byte skip", "byteskip")):
        raise InputError(f"{path}: voxels behind a line or byte skip are not supported; save it as one .nrrd file")
    return (path, offset) if name is None else (_place(path, name), 0)


def _plane(steps: np.ndarray) -> np.ndarray:
    """Two unit vectors (rows) that span the plane of two steps (columns, 3 x 2), the same for any steps in it."""
    normal = np.cross(steps[:, 0], steps[:, 1])
    if not np.linalg.norm(normal) > 0:
        raise ValueError("the steps span no plane")
    normal = normal / np.linalg.norm(normal)
    first, second = (axis for axis in range(3) if axis != np.argmax(np.abs(normal)))
    one = np.eye(3)[first] - normal[first] * normal
    one = one / np.linalg.norm(one)
    other = np.cross(normal, one)
    return np.stack([one, other * (np.sign(other[second]) or 1.0)])


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
