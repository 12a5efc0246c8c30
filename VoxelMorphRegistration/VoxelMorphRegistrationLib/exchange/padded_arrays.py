"""Fields of networks that were run on padded images: an array larger than the reference, cropped back to it."""

from __future__ import annotations

from itertools import product

import numpy as np

from ..errors import InputError
from ..space.grid import Grid
from .context import Padding, warn, warn_of_axes

_MULTIPLE = 8  # networks of three levels and more
_MOST = 64  # voxels that may have been added along an axis


def cropped(
    array: np.ndarray, grid: Grid, axes: str | None, usual: str, padding: Padding | None, name: str
) -> tuple[np.ndarray, str | None]:
    """The part of a padded field that lies on the reference, and the order of its axes; others as they are.

    Padded is an array whose every axis is as long as the reference's or up to 64 voxels longer and then a multiple of
    8. Where it was padded, and in which order its axes run, its zeros tell; else `padding` and `axes`, else the end of
    each axis and the `usual` order, which is said.

    Raises InputError when `padding` was said and the array is not padded.
    """
    dimension = grid.dimension
    candidates = {
        (channels, key, side): part
        for channels, key, side in product(
            ("first", "last"), _orders(axes, usual), (padding,) if padding else ("end", "both")
        )
        if (part := _part(array.shape, dimension, channels, grid.shape if key == "kji" else grid.size, side))
    }
    if not candidates:
        if padding is not None and not _same_shape(array.shape, grid):
            raise InputError(f"{name}: its shape {array.shape} is not the padded reference's; leave --padding out")
        return array, axes
    shown = [chosen for chosen, part in candidates.items() if _zero_outside(array, part)]
    chosen = shown[0] if shown else next(iter(candidates))
    _, key, side = chosen
    if not shown and axes is None and len({order for _, order, _ in candidates}) > 1:
        warn_of_axes(name, key)
    reason = (
        "as its zeros show"
        if shown
        else "as was said"
        if padding
        else "which its values do not show; if it was padded on both sides, say --padding both"
    )
    where = "the end of each axis" if side == "end" else "both sides"
    warn(f"{name}: larger than the reference; taken as padded at {where} and cropped, {reason}")
    return array[candidates[chosen]], key


def _orders(axes: str | None, usual: str) -> tuple[str, ...]:
    return (axes,) if axes else (usual, "ijk" if usual == "kji" else "kji")


def _part(
    shape: tuple[int, ...], dimension: int, channels: str, wanted: tuple[int, ...], side: str
) -> tuple[slice, ...] | None:
    """What to keep of an array of `shape`, or None where it is not the padded `wanted`."""
    start = len(shape) - dimension - 1
    if start not in (0, 1):
        return None
    spatial = shape[start + 1 :] if channels == "first" else shape[start:-1]
    if (shape[start] if channels == "first" else shape[-1]) != dimension or tuple(spatial) == tuple(wanted):
        return None
    if any(n != m and (n < m or n > m + _MOST or n % _MULTIPLE) for n, m in zip(spatial, wanted)):
        return None
    begins = [(n - m) // 2 if side == "both" else 0 for n, m in zip(spatial, wanted)]
    inner = [slice(begin, begin + m) for begin, m in zip(begins, wanted)]
    whole = [slice(None)]
    return tuple([slice(None)] * start + (whole + inner if channels == "first" else inner + whole))


def _zero_outside(array: np.ndarray, part: tuple[slice, ...]) -> bool:
    """Whether all that would be cropped is zero."""
    return np.count_nonzero(array) == np.count_nonzero(array[part])


def _same_shape(shape: tuple[int, ...], grid: Grid) -> bool:
    return any(
        tuple(grid_shape) in (shape[-grid.dimension :], shape[-1 - grid.dimension : -1])
        for grid_shape in (grid.shape, grid.size)
    )
