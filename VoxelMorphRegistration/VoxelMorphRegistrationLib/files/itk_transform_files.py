"""ITK's transform files as the transforms they list: each by its class, its fixed parameters and its parameters.

Three forms: text (.tfm, .txt: lines `Transform:`, `Parameters:`, `FixedParameters:`), Matlab 4 matrices in pairs (.mat:
one named as the class, one named `fixed`), and HDF5 (.h5: groups `TransformGroup/0`, `1`, ...). They are read here and
not by ITK, whose readers take the first of a list, leave a transform at identity where a line is missing, and crash on
a damaged file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, error_summary
from .guarded import check_hdf5

if TYPE_CHECKING:
    import h5py

HDF5_SUFFIXES = (".h5", ".hdf5")
_KEYS = ("Parameters", "FixedParameters")
_LONGEST_NAME = 256
#: Of a Matlab 4 matrix: byte order, then row or column order, then precision (Matlab's "MAT-File Format", level 4).
_MATLAB_TYPES = {0: ("<", "f8"), 10: ("<", "f4"), 100: ("<", "f8"), 110: ("<", "f4"),
                 1000: (">", "f8"), 1010: (">", "f4"), 1100: (">", "f8"), 1110: (">", "f4")}  # fmt: skip


@dataclass(frozen=True)
class TransformRecord:
    """One transform of a file, as written: `name` is ITK's class with its precision and dimensions."""

    name: str
    fixed: np.ndarray
    parameters: np.ndarray


def read_records(path: Path) -> list[TransformRecord]:
    """The transforms in a file, in its order.

    Raises InputError, naming the file, when it is none of ITK's transform files, damaged, or incomplete.
    """
    if path.name.lower().endswith(HDF5_SUFFIXES):
        records = _of_hdf5(path)
    elif path.name.lower().endswith(".mat"):
        records = _of_matlab(path)
    else:
        records = _of_text(path)
    if not records:
        raise InputError(f"{path}: it lists no transform; give an ITK transform file")
    return records


def is_text_of_transforms(start: str) -> bool:
    """Whether a file that begins so is ITK's list of transforms in text."""
    start = start.removeprefix("\ufeff")
    return start.startswith("#Insight Transform File") or bool(re.search(r"^Transform:[ \t]*\w", start, re.MULTILINE))


def _of_text(path: Path) -> list[TransformRecord]:
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    listed: list[tuple[str, dict[str, np.ndarray]]] = []
    for line in text.splitlines():
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not colon or key == "ComponentTransformFile" or (key in _KEYS and not listed):
            raise InputError(
                f"{path}: {line.strip()[:60]!r} stands where an ITK transform file has none; export it again"
            )
        if key == "Transform":
            listed.append((value, {}))
        elif key in _KEYS:
            if key in listed[-1][1]:
                raise InputError(f"{path}: {key} stands twice under one transform; export it again")
            listed[-1][1][key] = numbers_of(value.split(), f"{path}: {key}")
    nothing = np.zeros(0)
    for name, values in listed:
        if len(values) < len(_KEYS) and not name.startswith("CompositeTransform"):
            missing = next(key for key in _KEYS if key not in values)
            raise InputError(f"{path}: its {name[:60]} has no {missing}; export it again")
    return [
        TransformRecord(name, values.get("FixedParameters", nothing), values.get("Parameters", nothing))
        for name, values in listed
    ]


def numbers_of(words: Iterable[str], name: str) -> np.ndarray:
    """Words as float64 numbers; raises InputError, beginning with `name`, when one is no decimal number."""
    try:
        # float() takes 1_000 for a thousand.
        return np.array([float(word.replace("_", "?")) for word in words])
    except ValueError as error:
        raise InputError(f"{name} is not made of numbers ({error_summary(error)}); export it again") from error


def minc_matrix(path: Path) -> np.ndarray:
    """The 4 x 4 matrix of a MINC transform file (.xfm) of one linear transform, as written.

    Raises InputError, naming the file, when it is damaged, holds several transforms, or one that is not linear. It is
    read here because MINC's own reader prints what it does not take, and takes a singular matrix for the identity.
    """
    head, *lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines() or [""]
    body = " ".join(line for line in lines if not line.lstrip().startswith("%"))
    parted = (one.partition("=") for one in body.split(";") if one.strip())
    stated = [(key.strip(), value.strip()) for key, _, value in parted]
    kinds = [value for key, value in stated if key == "Transform_Type"]
    if head.strip() != "MNI Transform File" or not kinds:
        raise InputError(f"{path}: not a MINC transform file, or damaged; export it again")
    if kinds != ["Linear"]:
        raise InputError(f"{path}: it holds {', '.join(kinds)[:60]}; only one linear transform is read; export that")
    values = dict(stated[1:])
    if len(stated) != 2 or "Linear_Transform" not in values:
        raise InputError(f"{path}: its linear transform is not followed by its matrix alone; export it again")
    numbers = numbers_of(values["Linear_Transform"].split(), f"{path}: Linear_Transform")
    if len(numbers) != 12:
        raise InputError(f"{path}: Linear_Transform has {len(numbers)} numbers and needs 12; export it again")
    return np.vstack([numbers.reshape(3, 4), np.eye(4)[3]])


def _of_matlab(path: Path) -> list[TransformRecord]:
    raw = path.read_bytes()
    if raw.startswith(b"MATLAB"):
        raise InputError(f"{path}: a Matlab file of level 5 or later; ITK keeps transforms as level 4 (save -v4)")
    matrices: list[tuple[str, np.ndarray]] = []
    position = 0
    while position < len(raw):
        name, values, position = _matlab_matrix(raw, position, path)
        matrices.append((name, values))
    if len(matrices) % 2 or any(name != "fixed" for name, _ in matrices[1::2]):
        raise InputError(f"{path}: a Matlab file, but no pairs of a transform and its 'fixed'; export it again")
    return [
        TransformRecord(name, fixed, parameters)
        for (name, parameters), (_, fixed) in zip(matrices[::2], matrices[1::2])
    ]


def _matlab_matrix(raw: bytes, position: int, path: Path) -> tuple[str, np.ndarray, int]:
    """Name, values and end of the matrix that begins at `position`."""
    for order in "<>":
        if len(raw) < position + 20:
            break
        kind, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", raw, position)
        if _MATLAB_TYPES.get(kind, ("", ""))[0] != order or min(rows, columns, imaginary) < 0 or imaginary:
            continue
        number = np.dtype("".join(_MATLAB_TYPES[kind]))
        start = position + 20 + length
        end = start + rows * columns * number.itemsize
        if 0 < length <= _LONGEST_NAME and end <= len(raw):
            name = raw[position + 20 : start].rstrip(b"\0").decode("latin-1")
            return name, np.frombuffer(raw[start:end], number).astype(float), end
    raise InputError(f"{path}: not a Matlab 4 file of transforms, or damaged; export it again")


def _of_hdf5(path: Path) -> list[TransformRecord]:
    import h5py

    check_hdf5(path)
    try:
        with h5py.File(path) as file:
            if "TransformGroup" not in file:
                raise InputError(
                    f"{path}: an HDF5 file, but not of ITK's transforms; give one that ITK or Slicer wrote"
                )
            group = file["TransformGroup"]
            return [_hdf5_record(group[key]) for key in sorted(group, key=int)]
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not readable as an HDF5 transform file; export it again") from error


def _hdf5_record(group: h5py.Group) -> TransformRecord:
    name = np.ravel(group["TransformType"][()])[0]
    values = []
    for what in ("FixedParameters", "Parameters"):
        # ITK wrote it without an s up to version 4.
        key = next((key for key in (f"Transform{what}", f"Tranform{what}") if key in group), None)
        values.append(np.zeros(0) if key is None else np.ravel(group[key][()]).astype(float))
    return TransformRecord(name.decode() if isinstance(name, bytes) else str(name), *values)
