"""Whether two images share any part of space, and where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk
import torch

from ..errors import InputError
from ..space.displacement import transform_points
from ..space.grid import Grid

_PROBES = 17  # points along each axis that stand for an image
_LEAST_COVERED = 0.6  # of the fixed image, or it is said
_ALL_COVERED = 0.95  # of the fixed image: the edge that an alignment leaves is no cut through the anatomy
_FADE = 10.0  # voxels outside what is covered, along which a motion ends


@dataclass(frozen=True)
class Coverage:
    """Where the fixed image is covered by the moving one, on the network's grid.

    Attributes:
        covered: (1, 1, *shape), 1 where both images are, 0 elsewhere.
        share: of the fixed image that is covered.
    """

    covered: torch.Tensor
    share: float

    @classmethod
    def of(cls, grid: Grid, fixed: Grid, moving: Grid, alignment: sitk.Transform | None) -> Coverage | None:
        """Of a fixed and a moving grid after an alignment, on `grid`; None where all is covered."""
        return _unaligned(grid, fixed, moving) if alignment is None else cls._of(grid, fixed, moving, alignment)

    @classmethod
    def _of(cls, grid: Grid, fixed: Grid, moving: Grid, alignment: sitk.Transform | None) -> Coverage | None:
        inside = _ones_on(grid, fixed, None)
        both = inside & _ones_on(grid, moving, alignment)
        share = float(both.sum() / max(inside.sum(), 1))
        if share >= _ALL_COVERED:
            return None
        return cls(torch.from_numpy(both.astype(np.float32))[None, None], share)

    @property
    def note(self) -> str | None:
        """What is to be said where little is covered."""
        if self.share >= _LEAST_COVERED:
            return None
        return (
            f"the moving image covers {self.share:.0%} of the fixed image: elsewhere the transform is the alignment's"
        )

    def fading(self) -> torch.Tensor:
        """The share of a motion that stays, (1, 1, *shape): 1 where covered, down to 0 at 10 voxels from there."""
        image = sitk.GetImageFromArray(self.covered[0, 0].cpu().numpy().astype(np.uint8))
        distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False)
        share = np.clip(1.0 - sitk.GetArrayFromImage(distance) / _FADE, 0.0, 1.0)
        return torch.from_numpy(share.astype(np.float32))[None, None]


@lru_cache(maxsize=4)
def _unaligned(grid: Grid, fixed: Grid, moving: Grid) -> Coverage | None:
    """Frames of a sequence all lie alike."""
    return Coverage._of(grid, fixed, moving, None)


def _ones_on(grid: Grid, image: Grid, alignment: sitk.Transform | None) -> np.ndarray:
    """Which voxels of a grid lie in an image after an alignment: bool, grid.shape."""
    ones = image.empty_image(sitk.sitkUInt8) + 1
    transform = sitk.Transform(grid.dimension, sitk.sitkIdentity) if alignment is None else alignment
    found = sitk.Resample(
        ones, grid.empty_image(sitk.sitkUInt8), transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8
    )
    return sitk.GetArrayFromImage(found) > 0


def check_overlap(fixed: Grid, moving: Grid, alignment: sitk.Transform | None) -> None:
    """Raises InputError when the images have different dimensions or share no point of space after the alignment."""
    if fixed.dimension != moving.dimension:
        raise InputError(
            f"fixed image has {fixed.dimension} dimensions, moving image {moving.dimension}; give two of one kind"
        )
    lattice = fixed.lattice(_PROBES)
    if alignment is not None:
        lattice = transform_points(alignment, lattice)
    if moving.contains(lattice).any():
        return
    if alignment is None or alignment.IsLinear():
        back = moving.lattice(_PROBES)
        if alignment is not None:
            back = transform_points(alignment.GetInverse(), back)
        if fixed.contains(back).any():
            return
    raise InputError(
        "fixed and moving image do not overlap in space; check their headers, bring them together with "
        "an initial transform, or lay one centre on the other with the alignment 'centers'"
    )
