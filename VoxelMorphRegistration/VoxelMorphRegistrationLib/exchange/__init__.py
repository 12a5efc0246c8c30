"""Displacements of other tools, in and out.

One canonical field (see `space.displacement`) and one adapter a convention: `itk`, `slicer`, `ants`, `elastix`,
`niftyreg`, `freesurfer`, `voxelmorph`, `torch`, `monai`.

    displacement = exchange.read(["1Warp.nii.gz", "0GenericAffine.mat"], reference="fixed.nii.gz")
    exchange.write(displacement, "transform.nrrd", "slicer")
    grid = exchange.to_sampling_grid(displacement, "fixed.nii.gz", "moving.nii.gz", align_corners=False)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .names import CONVENTIONS

if TYPE_CHECKING:
    from .affines import affine_to_displacement
    from .context import ArrayAxes, ExchangeWarning, collected_warnings, grid_of
    from .conventions import read, read_mapping, write
    from .points import to_fixed as points_to_fixed
    from .points import to_moving as points_to_moving
    from .sampling_grids import affine_to_theta, to_sampling_grid

_HOMES = {
    "affine_to_displacement": ("affines", "affine_to_displacement"),
    "ArrayAxes": ("context", "ArrayAxes"),
    "ExchangeWarning": ("context", "ExchangeWarning"),
    "collected_warnings": ("context", "collected_warnings"),
    "grid_of": ("context", "grid_of"),
    "read": ("conventions", "read"),
    "read_mapping": ("conventions", "read_mapping"),
    "write": ("conventions", "write"),
    "points_to_fixed": ("points", "to_fixed"),
    "points_to_moving": ("points", "to_moving"),
    "affine_to_theta": ("sampling_grids", "affine_to_theta"),
    "to_sampling_grid": ("sampling_grids", "to_sampling_grid"),
}
__all__ = [
    "CONVENTIONS",
    "ArrayAxes",
    "ExchangeWarning",
    "affine_to_displacement",
    "affine_to_theta",
    "collected_warnings",
    "grid_of",
    "points_to_fixed",
    "points_to_moving",
    "read",
    "read_mapping",
    "to_sampling_grid",
    "write",
]


def __getattr__(name: str) -> object:
    """Each name is imported when it is first asked for: the readers bring SimpleITK and more with them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _HOMES[name]
    return getattr(import_module(f".{module}", __name__), there)
