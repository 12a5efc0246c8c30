"""The force that pulls a warped moving image towards the fixed one at one resolution: LNCC, or MIND-SSC.

Both give the gradient for an update composed from the right, m o phi o (id + w): the similarity's slope by the warped
image times that image's own gradient (Vercauteren et al., Diffeomorphic demons, NeuroImage 2009), in voxels of the
level.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch

from ..flow import sampling
from ..flow.similarity import LocalCorrelation, mind_ssc, standardised
from ..flow.slabs import slabs
from .levels import Lattice, level_shape, shrink, shrink_inside
from .pair import ImagePair
from .similarities import Similarity

_WINDOW = 7
_MOST_VOXELS = 2_500_000  # of the finest level, or thereabouts: a 2 mm head has 1 million


class Force(Protocol):
    """A similarity of two images at one resolution, and its gradient."""

    shape: tuple[int, ...]  # of the level's grid, the fixed image's

    def __call__(self, displacement: torch.Tensor, lattice: Lattice) -> tuple[float, torch.Tensor]:
        """The similarity and its gradient (1, d, *velocity shape), at a displacement (1, d, *velocity shape) in voxels
        of the velocity's grid; the gradient is per voxel of the level's images.
        """


class LnccForce:
    """Local normalised cross-correlation over windows centred on every second voxel; 0 to 1.

    Args:
        fixed: (1, 1, *shape).
        moving: standardised, on the same grid, or on one of its own, which the lattices that it is called with know.
        mask: weights on the fixed image, (1, 1, *shape); None = everywhere.
        window: edge in voxels.
    """

    def __init__(
        self, fixed: torch.Tensor, moving: torch.Tensor, mask: torch.Tensor | None = None, window: int = _WINDOW
    ) -> None:
        self.shape = tuple(fixed.shape[2:])
        self._moving = moving
        self._correlation = LocalCorrelation(fixed, window, mask, stride=2)

    @classmethod
    def of(cls, images: ImagePair, factor: float) -> LnccForce:
        """Between a pair's images made coarser by a factor."""
        shape = level_shape(images.shape, factor)
        mask = None if images.mask is None else shrink(images.mask, shape)
        moving = standardised(shrink(images.moving, shape), mask)
        return cls(shrink_inside(images.fixed, images.mask, shape), moving, mask)

    def __call__(self, displacement: torch.Tensor, lattice: Lattice) -> tuple[float, torch.Tensor]:
        with torch.no_grad():
            boxes = self._correlation.boxes
            warped = lattice.warped(self._moving, displacement, boxes)
            value, slope = self._correlation.with_slope(warped)
            return value, lattice.gradient(slope, warped, boxes)


class MindForce:
    """Minus the mean squared difference of MIND-SSC features, made one level finer and averaged down to this one; 0 is
    perfect.
    """

    def __init__(self, features: MindFeatures, factor: float) -> None:
        images = features.images
        shape = level_shape(images.shape, factor)
        finer = level_shape(images.shape, max(factor / 2, 1))
        self._fixed, self._moving = (shrink(made, shape) for made in features.at(finer))
        self.shape = shape
        self._weight = torch.ones((), device=self._moving.device) if images.mask is None else shrink(images.mask, shape)
        self._total = float(self._weight.mean()) or 1.0

    def value(self, displacement: torch.Tensor) -> float:
        """The similarity (larger is better) at a displacement (1, d, *level shape), in voxels of the level."""
        with torch.no_grad():
            return self._similarity(self._fixed - sampling.warp(self._moving, displacement, "border", quick=True))

    def _similarity(self, difference: torch.Tensor) -> float:
        return -float((difference**2 * self._weight).mean()) / self._total

    def __call__(self, displacement: torch.Tensor, lattice: Lattice) -> tuple[float, torch.Tensor]:
        with torch.no_grad():
            boxes = slabs(lattice.shape, self._moving.shape[1])
            warped = lattice.warped(self._moving, displacement, boxes)
            difference = self._fixed - warped
            value = self._similarity(difference)
            return value, lattice.gradient(difference.mul_(self._weight), warped, boxes)


class MindFeatures:
    """The MIND-SSC features of a pair's images by resolution, each made once: two levels may want the same."""

    def __init__(self, images: ImagePair) -> None:
        self.images = images
        self._made: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor]] = {}

    def at(self, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """The features of the fixed and the moving image, (1, C, *shape) each."""
        if shape not in self._made:
            images = self.images
            self._made[shape] = (
                mind_ssc(shrink_inside(images.fixed, images.mask, shape)),
                mind_ssc(shrink(images.moving, shape)),
            )
        return self._made[shape]


class Forces:
    """The forces between a pair's images by one similarity, level by level, each made once.

    Attributes:
        finest: how many times coarser than the images the finest level is: 1, or more for more than 2.5 million voxels.
            A whole number, or some voxels would be blurred more than others.
    """

    def __init__(self, images: ImagePair, similarity: Similarity) -> None:
        self.similarity = similarity
        self.images = images
        self.finest = max(1, round((math.prod(images.shape) / _MOST_VOXELS) ** (1 / len(images.shape))))
        self._made: dict[float, Force] = {}
        self._features = MindFeatures(images)

    def at(self, factor: float) -> Force:
        """The force between the images made coarser by a factor."""
        if factor not in self._made:
            self._made[factor] = (
                LnccForce.of(self.images, factor) if self.similarity == "lncc" else MindForce(self._features, factor)
            )
        return self._made[factor]
