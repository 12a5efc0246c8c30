"""VoxelMorph and MONAI: displacements in voxels of one grid, channel c along array axis c, that pull.

Both warp by `image(x + u(x))` with fixed and moving image on the SAME grid, the reference's. They differ in nothing but
the array order that comes with their loaders: nibabel and MONAI make (i, j, k), SimpleITK and Slicer (k, j, i). A shape
tells which, unless it reads the same both ways; then it is the usual order of the tool, with a warning, unless said.
VoxelMorph's half-resolution fields are in voxels of their half grid and are brought to full size with
align_corners=True and a factor of exactly 2.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files.atomic import atomic_write
from ..files.nifti import load_nifti
from ..space.displacement import from_voxel_flow, to_voxel_flow
from ..space.grid import Grid
from .affines import is_affine
from .array_files import as_array, read_array, write_array
from .context import Context, warn, warn_of_axes
from .identify import label
from .padded_arrays import cropped


@dataclass(frozen=True)
class _Layout:
    axes: str  # 'kji' or 'ijk'
    channel: str  # 'first' or 'last'
    half: bool


def read_voxelmorph(source: Any, context: Context) -> sitk.Image:
    """A VoxelMorph field, full or half resolution, as the displacement on the reference grid. Raises InputError."""
    return _read(source, context, usual="kji", half=True)


def read_monai(source: Any, context: Context) -> sitk.Image:
    """A dense displacement field for MONAI's Warp block as the displacement on the reference grid. Raises
    InputError.
    """
    return _read(source, context, usual="ijk", half=False)


def write_voxelmorph(displacement: sitk.Image, path: Path, context: Context) -> None:
    """(1, d, k, j, i), or i, j, k by `array_axes`; NIfTI as VoxelMorph's scripts write it: (i, j, k, d) without an
    intent.
    """
    _write(displacement, path, context.array_axes or "kji", context)


def write_monai(displacement: sitk.Image, path: Path, context: Context) -> None:
    """(1, d, i, j, k), the order in which MONAI loads images; NIfTI likewise as (i, j, k, d)."""
    _write(displacement, path, context.array_axes or "ijk", context)


def _read(source: Any, context: Context, usual: str, half: bool) -> sitk.Image:
    name = label(source)
    grid = context.need_reference(name)
    array, axes = _load(source, context)
    half = half or context.voxel_unit is not None
    array, axes = cropped(array, grid, axes, usual, context.padding, name)
    layout = _layout(array.shape, grid, axes, usual, half, name)
    field = array.reshape(array.shape[-(grid.dimension + 1) :]) if array.ndim == grid.dimension + 2 else array
    if layout.channel == "last":
        field = np.moveaxis(field, -1, 0)
    if layout.axes == "ijk":
        field = np.transpose(field, (0, *range(field.ndim - 1, 0, -1)))[::-1]
    field = np.ascontiguousarray(field, dtype=np.float32)
    if not np.isfinite(field).all():
        raise InputError(
            f"{name}: the field holds NaN or infinite values; compute it again (one NaN voxel in an image suffices)"
        )
    _refuse_normalised(field, name)
    if layout.half:
        if context.voxel_unit is None:
            warn(
                f"{name}: a field of half resolution, whose numbers were taken as voxels of its own half grid, as "
                "VoxelMorph's; if they count the full image's voxels, as Learn2Reg's, say --voxel-unit full"
            )
        field = _full_resolution(field, grid, 1.0 if context.voxel_unit == "full" else 2.0)
    return from_voxel_flow(field, grid)


def _load(source: Any, context: Context) -> tuple[np.ndarray, str | None]:
    if isinstance(source, (list, tuple)) and len(source) == 1:
        source = source[0]
    if not isinstance(source, (str, os.PathLike)):
        return as_array(source), context.array_axes
    path = Path(source)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return read_array(path), context.array_axes
    array = np.asarray(load_nifti(path).dataobj)
    if array.ndim == 5 and array.shape[3] == 1:
        array = array[:, :, 0, 0] if array.shape[4] == 2 and array.shape[2] == 1 else array[:, :, :, 0]
    if context.array_axes == "kji":
        raise InputError(f"{path}: a NIfTI file's array is (i, j, k) by definition; leave --array-axes out")
    return array, "ijk"


def _layout(shape: tuple[int, ...], grid: Grid, axes: str | None, usual: str, half: bool, name: str) -> _Layout:
    dimension = grid.dimension
    if len(shape) == dimension + 2 and shape[0] == 1:
        shape = shape[1:]
    elif len(shape) == dimension + 2:
        raise InputError(f"{name}: a batch of {shape[0]} fields; give one of them")
    wanted = {"kji": grid.shape, "ijk": tuple(grid.size)}
    wanted = {key: value for key, value in wanted.items() if axes in (None, key)}
    found = []
    for channel, components, spatial in (("first", shape[0], shape[1:]), ("last", shape[-1], shape[:-1])):
        if len(shape) == dimension + 1 and components == dimension:
            found += [_Layout(key, channel, False) for key, full in wanted.items() if tuple(spatial) == tuple(full)]
            if half and not found:
                found += [_Layout(key, channel, True) for key, full in wanted.items() if _is_half(spatial, full)]
    if not found:
        sizes = " or ".join(f"{' x '.join(map(str, value))} ({key})" for key, value in wanted.items())
        raise InputError(
            f"{name}: shape {' x '.join(map(str, shape))} is no field of {dimension} channels on the reference image, "
            f"which is {sizes}{' or half of it' if half else ''}; give the image the field was computed on"
            f"{'' if half else ', or say --voxel-unit for one of half resolution'}"
        )
    if len({layout.channel for layout in found}) > 1:
        raise InputError(
            f"{name}: shape {' x '.join(map(str, shape))} has its channels first or last; give it as (1, {dimension},"
            " ...)"
        )
    if len(found) > 1:
        warn_of_axes(name, usual)
        return next(layout for layout in found if layout.axes == usual)
    return found[0]


def _is_half(spatial: tuple[int, ...], full: tuple[int, ...]) -> bool:
    return all(n // 2 == m or (n + 1) // 2 == m for m, n in zip(spatial, full))


def _full_resolution(field: np.ndarray, grid: Grid, scale: float) -> np.ndarray:
    import torch

    from ..flow.integration import resize_flow

    return resize_flow(torch.from_numpy(field)[None], grid.shape, scale=scale)[0].numpy()


def _refuse_normalised(field: np.ndarray, name: str) -> None:
    """A sampling grid read as (d, k, j, i) runs from -1 to 1 along the LAST axis in its first channel, and so on."""
    dimension = len(field)
    for channel in range(dimension):
        along = dimension - 1 - channel
        profile = field[channel].mean(axis=tuple(axis for axis in range(dimension) if axis != along))
        ramp = np.linspace(-1, 1, len(profile))
        if len(profile) < 3 or np.abs(profile - ramp).max() > 0.3:
            return
    raise InputError(
        f"{name}: its values run from -1 to 1 across the image, so it is a sampling grid and no displacement; say"
        " --from torch"
    )


def _write(displacement: sitk.Image, path: Path, axes: str, context: Context) -> None:
    grid = Grid.of(displacement)
    if is_affine(displacement):
        warn(f"{path}: the displacement is an affine, and is written as vectors at the reference's voxels only")
    if context.moving is not None and not context.moving.same_as(grid, 1e-3):
        warn(
            f"{path}: fixed and moving image have different grids, and this convention knows one; resample the moving"
            " image onto the reference before warping it with this field"
        )
    flow = to_voxel_flow(displacement)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        if context.array_axes == "kji":
            raise InputError(f"{path}: a NIfTI file's array is (i, j, k) by definition; leave --array-axes out")
        _write_nifti(np.moveaxis(_to_ijk(flow), 0, -1), grid, path)
        return
    array = _to_ijk(flow) if axes == "ijk" else flow
    write_array(array[None], path, context.dtype, max(grid.spacing), float(np.abs(array).max(initial=0)))


def _to_ijk(flow: np.ndarray) -> np.ndarray:
    return np.transpose(flow, (0, *range(flow.ndim - 1, 0, -1)))[::-1]


def _write_nifti(array: np.ndarray, grid: Grid, path: Path) -> None:
    import nibabel

    with atomic_write(path) as partial:
        nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(array, dtype=np.float32), grid.ras_matrix()), partial)
