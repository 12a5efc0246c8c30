"""Vectors in NIfTI files, read by nibabel: ITK reads NaN as zero, ends the process over scaled whole numbers, and turns
the RAS vectors of intent 1006 only where they have three components.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, error_summary
from ..space.grid import Grid
from .images import header_of
from .nifti import load_nifti, units

if TYPE_CHECKING:
    import nibabel

#: Intent codes of vectors: displacements in RAS mm, and any vectors, which ITK writes displacements in LPS mm as.
RAS_INTENT, VECTOR_INTENT = 1006, 1007


def read_vectors(path: Path) -> tuple[np.ndarray, Grid, int]:
    """Vectors (*grid.shape, d) as stored, the grid where SimpleITK has it, and the intent code of a NIfTI file.

    Raises InputError, naming the file, when it is missing, damaged, or no field of vectors.
    """
    image = load_nifti(path)
    unit = units(image.header)[0]
    if unit not in ("mm", "unknown"):
        raise InputError(
            f"{path}: its header counts in {unit}, and does not say whether its vectors do; save it in mm (units 2)"
        )
    vectors, _ = vectors_of(image, str(path))
    dimension, reader = vectors.shape[-1], header_of(path)
    direction = np.reshape(reader.GetDirection(), (reader.GetDimension(), -1))[:dimension, :dimension]
    grid = Grid(
        reader.GetSize()[:dimension],
        reader.GetSpacing()[:dimension],
        reader.GetOrigin()[:dimension],
        tuple(direction.ravel().tolist()),
    )
    return vectors, grid, int(image.header["intent_code"])


def grid_of_affine(size: tuple[int, ...], affine: np.ndarray, name: str) -> Grid:
    """The grid of `size` (2 or 3 numbers) along a 4 x 4 matrix to RAS mm. Raises InputError for a degenerate matrix."""
    try:
        return Grid.from_ras_matrix(tuple(size), affine)
    except ValueError as error:
        raise InputError(f"{name}: its header gives no usable geometry ({error}); repair the sform or qform") from error


def vectors_of(image: nibabel.spatialimages.SpatialImage, name: str) -> tuple[np.ndarray, Grid]:
    """Vectors (*grid.shape, d) as stored, and the grid, of a file of shape (x, y, z, 1, d), (x, y, z, d) or (x, y, 1,
    1, 2).

    Raises InputError for another shape or values that are not finite.
    """
    if image.get_data_dtype().kind not in "fiu":
        raise InputError(f"{name}: its voxels are {image.get_data_dtype()}, no plain numbers; export it as float32")
    try:
        array = np.asarray(image.dataobj, dtype=np.float64)
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"{name}: cut short or damaged ({error_summary(error)}); copy or export it again") from error
    if array.ndim == 5 and array.shape[3] == 1:
        array = array[:, :, :, 0]
    if array.ndim == 4 and array.shape[2] == 1 and array.shape[3] == 2:
        array = array[:, :, 0]
    dimension = array.ndim - 1
    if dimension not in (2, 3) or array.shape[-1] != dimension:
        shape = " x ".join(map(str, image.shape))
        raise InputError(
            f"{name}: shape {shape} is no field of vectors; it needs (x, y, z, 1, 3), (x, y, z, 3) or, in 2D, (x, y, 1,"
            " 1, 2)"
        )
    if not (np.abs(array) <= np.finfo(np.float32).max).all():
        raise InputError(f"{name}: the field holds NaN or infinite values; export it again without them")
    grid = grid_of_affine(array.shape[:-1], image.affine, name)
    return np.moveaxis(array, range(dimension), range(dimension - 1, -1, -1)), grid


def stored_of(vectors: np.ndarray) -> np.ndarray:
    """The array (x, y, z, 1, d) that a NIfTI file stores of vectors (*grid.shape, d); (x, y, 1, 1, 2) in 2D."""
    dimension = vectors.shape[-1]
    array = np.moveaxis(vectors, range(dimension), range(dimension - 1, -1, -1))
    shape = (*array.shape[:-1], *([1] * (4 - dimension)), dimension)
    return np.ascontiguousarray(array.reshape(shape), dtype=np.float32)
