"""NIfTI headers that put one image in two places: sform, qform and voxel size do not agree.

SimpleITK (and with it Slicer, ANTs, elastix) chooses by rules of its own; NiftyReg, FreeSurfer and nibabel go by the
sform where it has a code, else by the qform. A transform of the second group is restated for the first through the
voxels: one index of the fixed image is at one point here and at another there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files.nifti_places import apart, coded_grids, contradiction, says_no_place
from ..space.affine import apply_affine, itk_transform
from ..space.displacement import from_array, to_transform
from ..space.grid import Grid
from .context import ImageLike, Mapping, grid_of, warn


@dataclass(frozen=True)
class Places:
    """Where an image lies.

    Attributes:
        grid: as SimpleITK has it.
        by_sform: as NiftyReg, FreeSurfer and nibabel have it; `grid` itself where both agree.
    """

    grid: Grid
    by_sform: Grid

    @property
    def differ(self) -> bool:
        return self.by_sform is not self.grid

    def to_sform(self) -> np.ndarray:
        """Homogeneous matrix, LPS mm, from where SimpleITK has a voxel to where the sform has it."""
        return self.by_sform.index_to_physical() @ self.grid.physical_to_index()


@dataclass(frozen=True)
class Pair:
    """Fixed and moving image of one conversion, and whether the tool it comes from goes by the sform."""

    fixed: Places | None
    moving: Places | None
    by_sform: bool

    @classmethod
    def of(cls, reference: ImageLike | None, moving: ImageLike | None, by_sform: bool, name: str) -> Pair:
        """Warns, for each image, of a header that contradicts itself, and that a transform was restated for it. Raises
        InputError for one that says no place, where the tool goes by the sform.
        """
        for image in (reference, moving) if by_sform else ():
            _refuse_no_place(image)
        pair = cls(_places(reference, "reference"), _places(moving, "moving"), by_sform)
        if pair.restates:
            warn(f"{name}: its tool goes by the sform; the transform was restated for where SimpleITK has the images")
        return pair

    @property
    def restates(self) -> bool:
        """Whether the tool has an image elsewhere than SimpleITK."""
        return self.by_sform and any(place is not None and place.differ for place in (self.fixed, self.moving))

    @property
    def grids(self) -> tuple[Grid | None, Grid | None]:
        """Of the fixed and the moving image, as the tool has them."""
        fixed, moving = (
            None if place is None else place.by_sform if self.by_sform else place.grid
            for place in (self.fixed, self.moving)
        )
        return fixed, moving

    def restated(self, displacement: sitk.Image) -> sitk.Image:
        """A displacement between the tool's points as the one between SimpleITK's, on the same voxels."""
        if not self.restates:
            return displacement
        grid = self.fixed.grid if self.fixed is not None else Grid.of(displacement)
        moved = Grid.of(displacement).points() + sitk.GetArrayViewFromImage(displacement)
        if self.moving is not None:
            moved = apply_affine(np.linalg.inv(self.moving.to_sform()), moved)
        return from_array(moved - grid.points(), grid)

    def restated_mapping(self, mapping: Mapping) -> Mapping:
        """A mapping between the tool's points as the one between SimpleITK's."""
        if not self.restates:
            return mapping
        steps = [to_transform(mapping) if isinstance(mapping, sitk.Image) else mapping]
        if self.fixed is not None:
            steps.append(itk_transform(self.fixed.to_sform()))
        if self.moving is not None:
            steps.insert(0, itk_transform(np.linalg.inv(self.moving.to_sform())))
        return sitk.CompositeTransform(steps)


def check_fields(sources: Any, by_sform: bool) -> None:
    """Warn of NIfTI fields whose own header contradicts itself; raises InputError for one that says no place."""
    for source in sources if isinstance(sources, (list, tuple)) else [sources]:
        if by_sform:
            _refuse_no_place(source)
        coded = coded_grids(source)
        if len(coded) < 2 or not (distance := apart(*coded.values())):
            continue
        used = "sform" if by_sform else "one that SimpleITK goes by"
        warn(
            f"{source}: its header contradicts itself: sform and qform put voxels up to {distance:.3g} mm apart; the "
            f"{used} was used"
        )


def _refuse_no_place(image: Any) -> None:
    if says_no_place(image):
        raise InputError(
            f"{image}: its header does not say where it lies (no code of sform and qform), and NiftyReg and FreeSurfer "
            "put it elsewhere than SimpleITK and Slicer do; give a file whose header says it"
        )


def _places(image: ImageLike | None, role: str) -> Places | None:
    """The places of an image; only a NIfTI file can contradict itself, and is warned of."""
    grid = grid_of(image, role)
    if grid is None:
        return None
    told = contradiction(image, grid)
    if not told:
        return Places(grid, grid)
    warn(told)
    by_sform = next(iter(coded_grids(image).values()), grid)
    return Places(grid, by_sform if apart(grid, by_sform) else grid)
