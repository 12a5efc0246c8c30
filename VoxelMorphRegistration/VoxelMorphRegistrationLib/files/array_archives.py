"""Arrays in numpy's and torch's files, of which nothing is read that is not wanted or that the file does not hold.

A header of a few bytes may claim an array of any size, and a zip archive of a few kilobytes unpack to gigabytes; numpy
and torch allocate first. Pickled objects are never run.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from ..errors import InputError, error_summary
from .compressed import check_expansion
from .detached import check_readable

_ENDING = ".npy"


def npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array in a .npz file, from their headers; raises InputError for a damaged file."""
    check_readable(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(_ENDING)]
            found = {}
            for member in members:
                with archive.open(member) as stream:
                    found[member.filename.removesuffix(_ENDING)] = _header(stream)[0]
            return found
    except Exception as error:  # zipfile and numpy raise nearly anything on a damaged file
        raise _damaged(path, error) from error


def read_npz(path: Path, name: str) -> np.ndarray:
    """One array of a .npz file. Raises InputError when it is damaged or claims more than is stored of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(name + _ENDING)
            with archive.open(member) as stream:
                shape, dtype = _header(stream)
            claimed = _bytes(shape, dtype)
            check_expansion(path, max(claimed, member.file_size), member.compress_size)
            if claimed > member.file_size:
                raise InputError(f"{path}: the array {name!r} is cut short; copy or save it again")
            with archive.open(member) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
    except InputError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def npy_shape(path: Path) -> tuple[int, ...]:
    """The shape of the array of a .npy file, from its header; raises InputError for a damaged file."""
    check_readable(path)
    try:
        with open(path, "rb") as stream:
            return _header(stream)[0]
    except Exception as error:
        raise _damaged(path, error) from error


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file. Raises InputError when it is damaged or claims more than the file holds."""
    check_readable(path)
    try:
        with open(path, "rb") as stream:
            shape, dtype = _header(stream)
            if stream.tell() + _bytes(shape, dtype) > path.stat().st_size:
                raise InputError(f"{path}: the array is cut short; copy or save it again")
        return np.load(path, allow_pickle=False)
    except InputError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def load_torch(path: Path, content: Literal["numbers", "weights"] = "numbers") -> Any:
    """What a torch file holds, read with `weights_only=True`.

    Args:
        content: what messages say should be in it.

    Raises InputError when it is damaged, holds Python objects, unpacks to more than it can mean, or holds a tensor that
    claims more numbers than are stored (a view that repeats them) or is none of plain numbers.
    """
    import torch

    check_readable(path)
    kind = "torch weights file" if content == "weights" else "torch file"
    with open(path, "rb") as stream:
        start = stream.read(2)
    if start != b"PK" and start[:1] != b"\x80":  # a zip archive, or a pickle of torch before 1.6
        raise InputError(f"{path}: not a {kind}; check where it comes from")
    try:
        if start == b"PK":
            with zipfile.ZipFile(path) as archive:
                check_expansion(path, sum(one.file_size for one in archive.infolist()), path.stat().st_size)
        else:
            _check_pickled_sizes(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # torch raises nearly anything on a file that is not its own
        if "weights_only" in str(error) or "Unsupported" in str(error) or "global" in str(error).lower():
            raise InputError(
                f"{path}: it holds Python objects and not {content} alone, and is not opened for safety; "
                "save the tensors (of a network its state_dict()) and give that"
            ) from error
        raise InputError(
            f"{path}: not a {kind}, or a truncated or damaged one ({error_summary(error)}); copy it again"
        ) from error
    _check_tensors(path, loaded)
    return loaded


def _check_pickled_sizes(path: Path) -> None:
    """Before 1.6 a file was a row of pickles, the fourth of which says how many numbers follow: torch makes room for
    them before it reads.
    """
    size = path.stat().st_size
    with open(path, "rb") as stream:
        for number in range(4):
            for _, value, _ in pickletools.genops(stream):
                if number == 3 and isinstance(value, int) and value > size:
                    raise InputError(f"{path}: it claims {value} numbers and has {size} bytes; copy or save it again")


def _check_tensors(path: Path, content: Any) -> None:
    import torch

    waiting, seen = [content], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple, set)):
            waiting.extend(item)
        elif isinstance(item, torch.Tensor):
            if item.layout != torch.strided or item.is_quantized or item.device.type != "cpu":
                raise InputError(f"{path}: it holds a tensor that is not one of plain numbers; save it as such")
            if item.numel() * item.element_size() > item.untyped_storage().nbytes():
                raise InputError(f"{path}: it claims more numbers than it holds; copy or save it again")


def _header(stream: BinaryIO | Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if any(count < 0 for count in shape):
        raise ValueError(f"shape {shape}")
    return shape, dtype


def _bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    size = dtype.itemsize
    for count in shape:
        size *= count
    return size


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: not readable as an array ({error_summary(error)}); save the field alone, as plain numbers"
    )
