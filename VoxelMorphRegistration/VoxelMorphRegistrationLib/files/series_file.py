"""What every sequence in one file has, and the frames of those whose voxels are bytes that can be entered anywhere."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.checks import check_geometry
from ..space.grid import Grid
from .compressed import check_claimed, check_expansion
from .random_access import RandomAccess, Told


class SeriesFile:
    """The frames of one file. Safe to read from one thread at a time.

    Attributes:
        count: of frames. frame_bytes: of the voxels of one, as they are stored.
        index_name, index_unit, index_type: of what distinguishes the frames, as in a Slicer sequence.
        values: the index value of each frame, as text.
        preparation: what has to be done before the first frame can be read, '' for nothing; of a file whose frames
            each cost more than their own bytes, that.
    """

    count: int
    frame_bytes: int
    preparation = ""
    index_name, index_unit, index_type = "frame", "", "numeric"
    values: list[str]

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self, told: Told = lambda share: None) -> None:
        """Do what has to be done before the first frame; `told` is called with the share that is done.

        Raises InputError when it cannot be done.
        """

    def read(self, index: int) -> sitk.Image:
        """Raises InputError, naming file and frame, when it cannot be read whole."""
        raise NotImplementedError


class RawSeries(SeriesFile):
    """Frames stored one after the other: `count` times the bytes of one frame.

    Args:
        grid, dtype: of one frame. data: the file's bytes, of which the first frame begins at `offset`.

    Raises InputError when the file is too small for what its header claims.
    """

    def __init__(self, path: Path, grid: Grid, dtype: np.dtype, data: RandomAccess, offset: int) -> None:
        super().__init__(path)
        self._grid, self._dtype, self._data, self._offset = grid, dtype, data, offset
        self.frame_bytes = math.prod(grid.size) * dtype.itemsize
        stored = data.path.stat().st_size
        check_expansion(path, self.frame_bytes, stored)
        # Each frame has an index value in memory, so a header that claims millions is met before.
        check_claimed(path, offset + self.count * self.frame_bytes, stored)

    @property
    def preparation(self) -> str:  # type: ignore[override]
        return self._data.preparation

    def prepare(self, told: Told = lambda share: None) -> None:
        self._data.prepare(told)

    def read(self, index: int) -> sitk.Image:
        found = self._data.read(self._offset + index * self.frame_bytes, self.frame_bytes)
        if len(found) < self.frame_bytes:
            raise InputError(f"{self.path}: frame {index} is cut short; copy or download the file again")
        array = np.frombuffer(found, self._dtype).reshape(self._grid.shape)
        return self._grid.image(self._scaled(array.astype(self._dtype.newbyteorder("="), copy=False)))

    def _scaled(self, array: np.ndarray) -> np.ndarray:
        return array


def check_grid(grid: Grid, name: str) -> None:
    """Raises InputError, naming the file, for a geometry that no image can have."""
    image = sitk.Image([1] * grid.dimension, sitk.sitkUInt8)
    try:
        image.SetSpacing(grid.spacing)
        image.SetOrigin(grid.origin)
        image.SetDirection(grid.direction)
    except RuntimeError:
        raise InputError(
            f"{name}: spacing {grid.spacing}, direction {grid.direction}: give no volume; correct the file's header"
        ) from None
    check_geometry(image, name)


def spatial_grid(reader: sitk.ImageFileReader) -> Grid:
    """The first three axes of a 4D header."""
    direction = np.reshape(reader.GetDirection(), (4, 4))[:3, :3]
    size, spacing, origin = reader.GetSize()[:3], reader.GetSpacing()[:3], reader.GetOrigin()[:3]
    grid = Grid(tuple(size), tuple(spacing), tuple(origin), tuple(direction.ravel().tolist()))
    check_grid(grid, reader.GetFileName())
    return grid


def no_sequence(path: Path, size: tuple[int, ...], components: int) -> InputError:
    """What is to be raised for a file whose image has this size and so many numbers a voxel."""
    what = f"{components} numbers a voxel and " if components > 1 else ""
    return InputError(
        f"{path}: holds {what}{len(size)} axes {tuple(size)}, a sequence has one scalar 3D image a frame; "
        "give a 4D file, a folder or list of images, or a .seq.nrrd"
    )
