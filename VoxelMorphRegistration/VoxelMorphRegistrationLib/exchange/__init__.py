"""Displacements of other tools, in and out.

One canonical field (`displacement.py`) and one adapter a convention: `itk`, `slicer`, `ants`, `elastix`, `niftyreg`,
`freesurfer`, `voxelmorph`, `torch`, `monai`.

    displacement = exchange.read(["1Warp.nii.gz", "0GenericAffine.mat"], reference="fixed.nii.gz")
    exchange.write(displacement, "transform.nrrd", "slicer")
    grid = exchange.to_sampling_grid(displacement, "fixed.nii.gz", "moving.nii.gz", align_corners=False)
"""

from __future__ import annotations

from .affines import affine_to_displacement
from .context import ExchangeWarning, grid_of
from .conventions import read, read_mapping, write
from .identify import CONVENTIONS
from .points import to_fixed as points_to_fixed
from .points import to_moving as points_to_moving
from .sampling_grids import affine_to_theta, to_sampling_grid

__all__ = [
    "CONVENTIONS",
    "ExchangeWarning",
    "affine_to_displacement",
    "affine_to_theta",
    "grid_of",
    "points_to_fixed",
    "points_to_moving",
    "read",
    "read_mapping",
    "to_sampling_grid",
    "write",
]
