"""What a conversion knows besides the field itself: the images it lies between, and how arrays are laid out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import SimpleITK as sitk

from ..errors import InputError
from ..files.detached import check_readable
from ..files.images import header_of
from ..space.grid import Grid

ArrayAxes = Literal["kji", "ijk"]
VoxelUnit = Literal["own", "full"]
VectorAxes = Literal["lps", "ras"]
Padding = Literal["end", "both"]
ImageLike = str | os.PathLike | sitk.Image | Grid
#: What every adapter reads into: a canonical displacement, or an ITK transform from fixed to moving points (LPS mm).
Mapping = sitk.Image | sitk.Transform

_COLLECTED: ContextVar[list[str] | None] = ContextVar("collected_warnings", default=None)


class ExchangeWarning(UserWarning):
    """The target convention cannot hold all that the displacement says."""


@dataclass(frozen=True)
class Context:
    """The images and layout options of one conversion.

    Attributes:
        reference: the fixed image's grid, on which the displacement shall lie.
        moving: the moving image's grid; only sampling grids, theta and FreeSurfer's files depend on it.
        align_corners: the flag that `torch.nn.functional.grid_sample` will be called with.
        array_axes: 'kji' for arrays as SimpleITK and Slicer make them (last axis i), 'ijk' for nibabel's, ANTsPy's and
            MONAI's (first axis i).
        dtype: 'float32' or 'float16', for array files.
        voxel_unit: whose voxels a half-resolution array counts: its 'own' half grid's (VoxelMorph) or the 'full'
            image's (Learn2Reg).
        vectors: 'lps' or 'ras', the axes of vectors in mm, where a file does not say them.
        padding: where an array larger than the reference was padded: at the 'end' of each axis, or on 'both' sides.
    """

    reference: Grid | None = None
    moving: Grid | None = None
    align_corners: bool | None = None
    array_axes: ArrayAxes | None = None
    dtype: str = "float32"
    voxel_unit: VoxelUnit | None = None
    vectors: VectorAxes | None = None
    padding: Padding | None = None

    def __post_init__(self) -> None:
        for value, choices, reason in (
            (
                self.array_axes,
                ("kji", "ijk"),
                "kji is SimpleITK's and Slicer's order, ijk nibabel's, ANTsPy's and MONAI's",
            ),
            (
                self.voxel_unit,
                ("own", "full"),
                "own is the half grid's voxel (VoxelMorph), full the image's (Learn2Reg)",
            ),
            (self.vectors, ("lps", "ras"), "lps is ITK's, ras FreeSurfer's, NiftyReg's and nibabel's"),
            (self.padding, ("end", "both"), "end is after the last voxel, both is around the image"),
        ):
            if value not in (None, *choices):
                raise InputError(f"{value!r}: unknown ({reason}); choose {' or '.join(choices)}")

    def need_reference(self, what: str) -> Grid:
        if self.reference is None:
            raise InputError(f"{what}: it holds no grid of its own; name the fixed image (--reference)")
        return self.reference

    def need_moving(self, what: str) -> Grid:
        if self.moving is None:
            raise InputError(f"{what}: it is normalised by the moving image's size; name that image (--moving)")
        return self.moving

    def need_align_corners(self, what: str) -> bool:
        if self.align_corners is None:
            raise InputError(f"{what}: it depends on grid_sample's align_corners; say --align-corners yes or no")
        return self.align_corners


@overload
def grid_of(image: ImageLike, name: str = "reference") -> Grid: ...
@overload
def grid_of(image: None, name: str = "reference") -> None: ...
@overload
def grid_of(image: ImageLike | None, name: str = "reference") -> Grid | None: ...
def grid_of(image: ImageLike | None, name: str = "reference") -> Grid | None:
    """The grid of an image, an image file or a grid; None stays None. Raises InputError for anything else."""
    if image is None or isinstance(image, Grid):
        return image
    if isinstance(image, sitk.Image):
        grid = Grid.of(image)
    elif isinstance(image, (str, os.PathLike)):
        grid = _grid_of_file(image)
    else:
        raise InputError(f"{name}: a {type(image).__name__} is no image; give a SimpleITK image or the path of one")
    if grid.dimension not in (2, 3):
        raise InputError(f"{name}: it is {grid.dimension}D; give a 2D or 3D image")
    return grid


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """The messages of the conversions inside the block, which then are no Python warnings.

    For callers that show them in a way of their own; `warnings.catch_warnings` would switch the filters of the whole
    process, other threads included.
    """
    messages: list[str] = []
    before = _COLLECTED.set(messages)
    try:
        yield messages
    finally:
        _COLLECTED.reset(before)


def warn(message: str) -> None:
    """Tell the caller of the package what the target convention loses: `ExchangeWarning`, or `collected_warnings`."""
    messages = _COLLECTED.get()
    if messages is None:
        warnings.warn(message, ExchangeWarning, stacklevel=4)
    else:
        messages.append(message)


def warn_of_axes(name: str, taken: str) -> None:
    """Tell that a shape reads the same as (k, j, i) and (i, j, k), and which was taken."""
    other = "ijk" if taken == "kji" else "kji"
    warn(
        f"{name}: its shape reads the same as (k, j, i) and as (i, j, k), and was taken as {taken}; say --array-axes"
        f" {other} if it is the other: kji for SimpleITK and Slicer, ijk for nibabel, ANTsPy and MONAI"
    )


def _grid_of_file(path: str | os.PathLike) -> Grid:
    check_readable(Path(path))
    reader = header_of(Path(path))
    return Grid(reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())
