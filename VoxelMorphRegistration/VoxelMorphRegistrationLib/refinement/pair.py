"""Two images on one grid, and where they are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from ..errors import InputError
from ..flow import sampling
from ..flow.surroundings import Surroundings
from .field_of_view import FieldOfView
from .levels import shrink


@dataclass(frozen=True)
class ImagePair:
    """A fixed and a moving image on one grid, and where they are compared.

    Attributes:
        fixed, moving: (1, 1, *shape), 2D or 3D, normalised alike.
        mask: (1, 1, *shape), weights on the fixed image; only there the images are compared. None = everywhere.
        spacing: of the grid along the array's axes, mm or any unit; None for voxels as long as they are wide.
        within: outside of this nothing counts, and nothing is to change; None for the whole grid.

    Raises:
        InputError: for shapes that do not fit.
    """

    fixed: torch.Tensor
    moving: torch.Tensor
    mask: torch.Tensor | None = None
    spacing: tuple[float, ...] | None = None
    within: Surroundings | None = None

    def __post_init__(self) -> None:
        fixed, moving, mask = self.fixed, self.moving, self.mask
        if fixed.shape != moving.shape or tuple(fixed.shape[:2]) != (1, 1) or len(self.shape) not in (2, 3):
            raise InputError(
                f"refinement: fixed {tuple(fixed.shape)} and moving {tuple(moving.shape)} must both be (1, 1, *shape); "
                "prepare them on one grid"
            )
        if mask is not None and tuple(mask.shape) != tuple(fixed.shape):
            raise InputError(
                f"refinement: a mask of shape {tuple(mask.shape)} does not fit images of {self.shape}; "
                "resample it to their grid"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Array shape of the grid, without batch and channel."""
        return tuple(self.fixed.shape[2:])

    @cached_property
    def field_of_view(self) -> FieldOfView:
        """Where the images have content that counts, found once."""
        view = FieldOfView.of(self.fixed, self.moving)
        return view if self.within is None else view.within(self.within.box)

    @cached_property
    def seen(self) -> ImagePair:
        """What lies inside the pair's own field of view."""
        return self.inside(self.field_of_view)

    def inside(self, view: FieldOfView) -> ImagePair:
        """What lies inside a field of view, of the images and of the mask."""
        mask = None if self.mask is None else view.cut(self.mask)
        return ImagePair(view.cut(self.fixed), view.cut(self.moving), mask, self.spacing)

    def pulled(self, displacement: torch.Tensor) -> ImagePair:
        """The pair with the moving image pulled by a displacement (1, d, *shape), in voxels."""
        return replace(self, moving=sampling.warp(self.moving, displacement, "border", quick=True))

    def shrunk(self, shape: tuple[int, ...]) -> ImagePair:
        """The pair on a coarser grid over the same corners."""
        mask = None if self.mask is None else shrink(self.mask, shape)
        spacing = self.spacing or (1.0,) * len(shape)
        coarser = tuple(step * (n - 1) / max(m - 1, 1) for step, n, m in zip(spacing, self.shape, shape))
        return ImagePair(shrink(self.fixed, shape), shrink(self.moving, shape), mask, coarser)

    def isotropic_shape(self, voxels: int) -> tuple[int, ...]:
        """The shape of a grid of about so many isotropic voxels over the same corners, nowhere finer than this one."""
        shape = self.shape
        spacing = self.spacing or (1.0,) * len(shape)
        lengths = [max(n - 1, 1) * step for n, step in zip(shape, spacing)]
        edge = (math.prod(lengths) / voxels) ** (1 / len(shape))
        return tuple(min(n, int(round(length / edge)) + 1) for n, length in zip(shape, lengths))
