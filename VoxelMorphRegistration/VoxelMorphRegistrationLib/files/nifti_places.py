"""NIfTI headers that put one image in two places (sform, qform and voxel size do not agree), or in none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..space.grid import Grid
from .images import header_of
from .nifti import nifti_header, units

_SAME = 0.02  # voxels; qforms are stored in single precision
_MILLIMETRES = {"meter": 1e3, "micron": 1e-3}
_PLURALS = {"meter": "metres", "micron": "micrometres"}
_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz")


def coded_grids(path: Any) -> dict[str, Grid]:
    """The grids of a NIfTI file by its 'sform' and its 'qform', where these have a code, in this order; {} for what is
    no path of a NIfTI file.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path).lower().endswith(_SUFFIXES):
        return {}
    from nibabel.spatialimages import HeaderDataError

    header = nifti_header(Path(path)) if os.path.isfile(path) else None
    if header is None:
        return {}
    size = tuple(header.get_data_shape()[:3])
    size = size[:2] if len(header.get_data_shape()) < 3 else size
    found = {}
    for name, read in (("sform", header.get_sform), ("qform", header.get_qform)):
        try:
            affine, code = read(coded=True)
        except (ValueError, HeaderDataError):  # a quaternion or a size of voxels that is none
            continue
        if code and np.isfinite(affine).all() and abs(np.linalg.det(affine)) > 0:
            found[name] = Grid.from_ras_matrix(size, affine)
    return found


def says_no_place(path: Any) -> bool:
    """Whether this is the path of a NIfTI file whose sform and qform have no code: each tool puts it elsewhere."""
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path).lower().endswith(_SUFFIXES):
        return False
    header = nifti_header(Path(path)) if os.path.isfile(path) else None
    return header is not None and header["sform_code"] <= 0 and header["qform_code"] <= 0


def apart(grid: Grid, other: Grid) -> float:
    """The largest distance in mm between the places of one corner voxel; 0 where it is next to nothing."""
    if grid.dimension != other.dimension:
        return 0.0
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in grid.size], indexing="ij"), -1).reshape(-1, grid.dimension)
    distance = float(np.linalg.norm(grid.to_physical(corners) - other.to_physical(corners), axis=-1).max())
    return distance if distance > _SAME * min(grid.spacing) else 0.0


def contradiction(path: Any, grid: Grid) -> str:
    """One line that says how the header of an image file contradicts itself, and which place was used; '' where it does
    not, and for what is no path of a NIfTI file.

    Args:
        grid: the image's as SimpleITK has it.
    """
    coded = coded_grids(path)
    if says_no_place(path):
        return (
            f"{path}: its header does not say where it lies (no code of sform and qform); it was put at the origin, "
            "axes to the left, back and up, as SimpleITK and Slicer do"
        )
    if not any(apart(grid, other) for other in coded.values()):
        return ""
    header = nifti_header(Path(path))
    unit = "mm" if header is None else units(header)[0]
    if unit in _MILLIMETRES and not any(apart(grid, _scaled(one, _MILLIMETRES[unit])) for one in coded.values()):
        return f"{path}: its header counts in {_PLURALS[unit]}, and was converted to mm, as SimpleITK and Slicer do"
    most = max(apart(one, other) for one in coded.values() for other in (grid, *coded.values()))
    used = next((f"the {name}" for name, other in coded.items() if not apart(grid, other)), "neither alone")
    which = " and ".join(coded) + (" put" if len(coded) > 1 else " and voxel size put")
    return (
        f"{path}: its header contradicts itself: {which} voxels up to {most:.3g} mm apart; {used} was used, as "
        "SimpleITK and Slicer do"
    )


def _scaled(grid: Grid, factor: float) -> Grid:
    spacing, origin = (tuple(factor * number for number in numbers) for numbers in (grid.spacing, grid.origin))
    return Grid(grid.size, spacing, origin, grid.direction)


def contradictions(paths: list[str]) -> list[str]:
    """`contradiction` of each image file, where there is one. Raises InputError for one that cannot be read."""
    found = []
    for path in paths:
        if coded_grids(path) or says_no_place(path):
            reader = header_of(Path(path))
            dimension = min(reader.GetDimension(), 3)
            direction = np.reshape(reader.GetDirection(), (reader.GetDimension(), -1))[:dimension, :dimension]
            size, spacing, origin = reader.GetSize(), reader.GetSpacing(), reader.GetOrigin()
            grid = Grid(size[:dimension], spacing[:dimension], origin[:dimension], tuple(direction.ravel().tolist()))
            found.append(contradiction(path, grid))
    return [line for line in found if line]
