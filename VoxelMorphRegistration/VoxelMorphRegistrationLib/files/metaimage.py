"""The header of a MetaImage file (.mha, .mhd): ITK reports one that is cut short by itself and misnames the reason.

Its few lines are read by hand: SimpleITK hands out only what it makes of them.
Format: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .compressed import check_packed
from .detached import beside, check_exact

_SUFFIXES = (".mha", ".mhd")
_LONGEST_HEADER = 1 << 16
_VOXEL_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4,
    "MET_LONG": 8, "MET_ULONG": 8, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
_DATA = "ElementDataFile"
#: Of those that are as large everywhere.
_NUMBERS = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


@dataclass(frozen=True)
class PlainVoxels:
    """Where the voxels of a file lie, one number each, the first axis the fastest.

    Attributes:
        data: the file. offset: bytes before them. dtype: byte order included.
        packed: whether they are compressed by zlib. stored: bytes they take then.
    """

    data: Path
    offset: int
    dtype: np.dtype
    packed: bool
    stored: int | None


def plain_voxels(path: Path) -> PlainVoxels | None:
    """Of a file that passed `check_metaimage`; None where its header says more of them than ITK and this know alike."""
    fields, offset = _header(path)
    kind = _NUMBERS.get(fields.get("ElementType", ""))
    plain = fields.get("HeaderSize", "0") == "0" and fields.get("ElementNumberOfChannels", "1") == "1"
    if kind is None or not plain or any(key.startswith("ElementToIntensity") for key in fields):
        return None
    local = fields[_DATA].upper() == "LOCAL"
    order = ">" if _is_true(fields, "BinaryDataByteOrderMSB") or _is_true(fields, "ElementByteOrderMSB") else "<"
    packed = _is_true(fields, "CompressedData")
    stored = int(fields["CompressedDataSize"]) if packed and "CompressedDataSize" in fields else None
    return PlainVoxels(
        path if local else beside(path, fields[_DATA]), offset if local else 0, np.dtype(order + kind), packed, stored
    )


def check_metaimage(path: Path, voxels: bool = True) -> None:
    """Raises InputError, naming the file, for one that is cut short or damaged, or whose voxels lie elsewhere than
    beside it, or that has no whole header (ITK reads on behind a damaged line, and may end the process).

    Args:
        voxels: unpack compressed ones to see whether they are damaged; who unpacks them later finds that as well.
    """
    if not path.name.lower().endswith(_SUFFIXES) or not path.is_file():
        return
    fields, offset = _header(path)
    name = fields.get(_DATA)
    if name is None:
        raise InputError(f"{path}: holds no whole header of a MetaImage; copy or export it again")
    if "ElementType" not in fields:
        raise InputError(f"{path}: its header names no type of voxels; copy or export it again")
    if fields.get("BinaryData", "true").lower() not in ("true", "1"):
        raise InputError(f"{path}: its voxels are text, which is not supported; save it again as it comes by default")
    data = path
    if name.upper() != "LOCAL":
        words = name.split()
        if not words or words[0].upper().startswith("LIST") or "%" in words[0]:
            raise InputError(f"{path}: voxels in several files are not supported; save it as one .mha file")
        data, offset = beside(path, name), 0
    try:
        _check_lengths(fields)
        skipped = int(fields.get("HeaderSize", "0"))
        needed = _needed(fields)
        stored = int(fields["CompressedDataSize"]) if "CompressedDataSize" in fields else None
    except ValueError as error:
        raise InputError(f"{path}: its header is damaged ({error}); copy or export it again") from error
    if data == path and skipped > 0:
        raise InputError(
            f"{path}: its header says HeaderSize {skipped} of voxels that follow it in the same file, where readers do "
            "not agree what is skipped; save it again"
        )
    if not _is_true(fields, "CompressedData"):
        if data.stat().st_size < offset + max(skipped, 0) + needed:
            raise InputError(f"{path}: the file is cut short; copy or download it again")
        if data != path and "HeaderSize" not in fields and needed:
            check_exact(path, data, needed)
        return
    if data == path and stored is None:
        raise InputError(
            f"{path}: its header does not say how many bytes its compressed voxels take (CompressedDataSize), without "
            "which ITK reads zeros; save it again"
        )
    held = data.stat().st_size - offset
    if held < (stored or 1):
        raise InputError(f"{path}: the file is cut short; copy or download it again")
    if needed and voxels:
        check_packed(data, offset, "zlib", needed, stored)


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The fields up to the name of the data, and how many bytes they take."""
    with open(path, "rb") as stream:
        start = stream.read(_LONGEST_HEADER)
    fields: dict[str, str] = {}
    offset = 0
    while (end := start.find(b"\n", offset)) >= 0:
        key, mark, value = start[offset:end].decode("latin-1").partition("=")
        offset = end + 1
        if not mark:
            break
        fields[key.strip()] = value.strip()
        if key.strip() == _DATA:
            break
    return fields, offset


def _is_true(fields: dict[str, str], key: str) -> bool:
    return fields.get(key, "").lower() in ("true", "1")


def _check_lengths(fields: dict[str, str]) -> None:
    """Raises ValueError where lists of numbers are not as long as the dimension says: ITK's reader trusts it."""
    dimension = int(fields.get("NDims", ""))
    if not 1 <= dimension <= 10:
        raise ValueError(f"NDims {dimension}")
    lengths = {
        "DimSize": 1,
        "ElementSpacing": 1,
        "ElementSize": 1,
        "Offset": 1,
        "Position": 1,
        "Origin": 1,
        "CenterOfRotation": 1,
    }
    squares = {"TransformMatrix": dimension, "Rotation": dimension, "Orientation": dimension}
    for key, each in {**lengths, **squares}.items():
        if key in fields and len([float(word) for word in fields[key].split()]) != each * dimension:
            raise ValueError(f"{key} {fields[key]}")


def _needed(fields: dict[str, str]) -> int:
    """Bytes of the voxels; 0 for a type that is not known, which the reader tells. Raises ValueError."""
    axes = [int(count) for count in fields.get("DimSize", "0").split()]
    if any(count < 1 for count in axes):
        raise ValueError(f"DimSize {fields['DimSize']}" if "DimSize" in fields else "no DimSize")
    components = int(fields.get("ElementNumberOfChannels", 1))
    return math.prod(axes) * components * _VOXEL_BYTES.get(fields.get("ElementType", "").removesuffix("_ARRAY"), 0)
