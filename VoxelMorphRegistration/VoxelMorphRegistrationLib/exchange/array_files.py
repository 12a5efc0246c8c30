"""Arrays in .npy, .npz and torch files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files.array_archives import load_torch, npy_shape, npz_shapes, read_npy, read_npz
from ..files.atomic import atomic_write
from .context import warn

#: What VoxelMorph's scripts and people call a field in an archive of several arrays.
_FIELD_NAMES = ("displacement", "flow", "warp", "disp", "ddf", "field", "grid", "theta", "vol")
SUFFIXES = (".npy", ".npz", ".pt", ".pth")


def as_array(source: Any, name: str = "input") -> np.ndarray:
    """A numpy array of a numpy array, torch tensor or nested list; raises InputError for anything else.

    Numbers that numpy has no type for (bfloat16) become float32.
    """
    if hasattr(source, "detach"):
        source = _of_tensor(source)
    try:
        array = np.asarray(source)
        if array.dtype.name == "bfloat16":
            array = array.astype(np.float32)
        if array.dtype.kind in "fiu":
            return array
        if array.dtype.kind in "cbSU":
            raise InputError(f"{name}: its numbers are of type {array.dtype}; save them as float32")
    except (ValueError, TypeError):
        pass
    raise InputError(f"{name}: a {type(source).__name__} is no array of numbers; give a numpy array or a torch tensor")


def read_array(path: Path) -> np.ndarray:
    """The one field in a .npy, .npz or torch file. Raises InputError when there is none or more than one."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return as_array(read_npy(path), str(path))
    if suffix == ".npz":
        return as_array(read_npz(path, _field_of_npz(path)), str(path))
    return as_array(_torch_field(path), str(path))


def array_shape(path: Path) -> tuple[int, ...]:
    """The shape of the one field in an array file; the numbers of .npy and .npz are not read for it."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return npy_shape(path)
    if suffix == ".npz":
        return npz_shapes(path)[_field_of_npz(path)]
    return tuple(as_array(_torch_field(path), str(path)).shape)


def _field_of_npz(path: Path) -> str:
    return _only_field({name: len(shape) for name, shape in npz_shapes(path).items()}, path)


def _torch_field(path: Path) -> Any:
    loaded = load_torch(path)
    if not isinstance(loaded, dict):
        return loaded
    return loaded[_only_field({name: getattr(one, "ndim", 0) for name, one in loaded.items()}, path)]


def _of_tensor(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if str(tensor.layout) != "torch.strided":
        tensor = tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg()
    try:
        return tensor.numpy()
    except TypeError:  # bfloat16 and smaller
        return tensor.float().numpy()


def write_array(array: np.ndarray, path: Path, dtype: str, unit_mm: float, size: float) -> None:
    """Write an array; float16 warns when it rounds by more than a hundredth of a millimetre.

    Args:
        unit_mm: millimetres that one unit of the array stands for, at most.
        size: the largest value, by which float16 may overflow.
    """
    if dtype not in ("float32", "float16"):
        raise InputError(f"dtype {dtype!r}: a field is written as float32 or float16; choose one")
    if dtype == "float16":
        if size > float(np.finfo(np.float16).max):
            raise InputError(f"{path}: values up to {size:.3g} do not fit into float16; write float32")
        lost = float(np.abs(array.astype(np.float16).astype(np.float64) - array).max()) * unit_mm
        if lost > 0.01:
            warn(f"{path}: float16 rounds this displacement by up to {lost:.2g} mm; float32 would not")
    array = np.ascontiguousarray(array, dtype=dtype)
    suffix = path.suffix.lower()
    with atomic_write(path) as partial:
        if suffix == ".npy":
            np.save(partial, array)
        elif suffix == ".npz":
            np.savez_compressed(partial, displacement=array)
        elif suffix in (".pt", ".pth"):
            import torch

            torch.save(torch.from_numpy(array), partial)
        else:
            raise InputError(f"{path}: an array is written as {', '.join(SUFFIXES)}; rename the output")


def _only_field(axes: dict[str, int], path: Path) -> str:
    """The name of the field, of arrays of so many axes."""
    fields = [name for name, count in axes.items() if count >= 2]
    if len(fields) > 1:
        known = [name for name in fields if name in _FIELD_NAMES]
        fields = known if len(known) == 1 else fields
    if len(fields) != 1:
        raise InputError(
            f"{path}: it holds {', '.join(map(str, axes)) or 'nothing'}, and which is the field is not clear; save the"
            " field alone"
        )
    return fields[0]
