"""The force that pulls a warped moving image towards the fixed one at one resolution: LNCC, or MIND-SSC.

Both give the gradient for an update composed from the right, m o phi o (id + w): the slope in the
warped image times its own gradient (Vercauteren et al., Diffeomorphic demons, NeuroImage 2009), in voxels of the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ..flow import sampling
from ..flow.filters import apply_separable, gaussian_matrices, resize_matrices
from ..flow.similarity import LocalCorrelation, mind_ssc, standardised
from ..flow.slabs import Box, gathered, inside, slabs, spread

Similarity = Literal["lncc", "mind"]
SIMILARITIES: tuple[str, ...] = get_args(Similarity)
_WINDOW = 7
_SMALLEST_AXIS = 5
_STRUCTURE = 0.01  # share of the image's variance that a window has when it shows more than empty surroundings
_NOISE_SMOOTHING = 1.0  # voxels; leaves a fiftieth of white noise's variance
_BLUR = 0.45  # of the shrink factor, in voxels: keeps what the coarser grid can hold


def level_shape(shape: Sequence[int], factor: float) -> tuple[int, ...]:
    return tuple(min(n, max(int(round(n / factor)), _SMALLEST_AXIS)) for n in shape)


def shrink(image: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Smooth and resample (B, C, *any) to (B, C, *shape); corner voxel centres stay where they are."""
    old = image.shape[2:]
    if tuple(old) == tuple(shape):
        return image
    factor = max(n / m for n, m in zip(old, shape))
    blurred = apply_separable(image, gaussian_matrices(old, _BLUR * factor, image.device))
    return apply_separable(blurred, resize_matrices(old, shape, image.device))


def shrink_inside(image: torch.Tensor, mask: torch.Tensor | None, shape: Sequence[int]) -> torch.Tensor:
    """`shrink`, but what lies outside the mask does not bleed into it."""
    if mask is None or tuple(image.shape[2:]) == tuple(shape):
        return shrink(image, shape)
    weight = shrink(mask, shape)
    return torch.where(weight > 1e-3, shrink(image * mask, shape) / weight.clamp(min=1e-3), torch.zeros_like(weight))


def agreement(fixed: torch.Tensor, warped: torch.Tensor, mask: torch.Tensor | None = None) -> float:
    """How alike two images (1, 1, *shape) are but for noise: their squared local correlation, 0 to 1, after a little
    smoothing, over the windows in which the fixed image has structure."""
    matrices = gaussian_matrices(fixed.shape[2:], _NOISE_SMOOTHING, fixed.device)
    with torch.no_grad():
        correlation = LocalCorrelation(apply_separable(fixed, matrices), _WINDOW, mask, stride=2)
        local = correlation.local(apply_separable(warped, matrices))
        return float(local[correlation.structured(_STRUCTURE)].mean().nan_to_num())


class Lattice:
    """A level's image grid (*shape) and the coarser one (*velocity_shape) its velocity lives on; corner centres are
    shared.
    """

    def __init__(self, shape: Sequence[int], velocity_shape: Sequence[int], device: torch.device | str = "cpu"):
        self.shape = tuple(shape)
        self._up = resize_matrices(velocity_shape, shape, device)
        self._down = [matrix.t() / matrix.t().sum(1, keepdim=True) for matrix in self._up]

    def warped(self, image: torch.Tensor, displacement: torch.Tensor, boxes: Sequence[Box]) -> torch.Tensor:
        """An image (1, C, *shape) pulled by a displacement (1, d, *velocity_shape) in voxels of that grid; 0 outside
        boxes.
        """
        position = sampling.normalised_positions(displacement, tuple(displacement.shape[2:]))
        warped = torch.zeros_like(image)
        for box, moved in spread(position, boxes, self._up):
            inside(warped, box).copy_(sampling.sample_normalised(image, moved, "border"))
        return warped

    def ascent(self, slope: torch.Tensor, warped: torch.Tensor, boxes: Sequence[Box]) -> torch.Tensor:
        """Slope times the warped image's gradient (central differences), both (1, C, *shape), summed over the channels
        and averaged down: (1, d, *velocity_shape), in voxels of the images."""

        def climbed(box: Box) -> torch.Tensor:
            along = [torch.zeros_like(inside(slope[:, :1], box)) for _ in self.shape]
            for channel in range(warped.shape[1]):
                one, pull = warped[:, channel : channel + 1], inside(slope[:, channel : channel + 1], box)
                for axis, total in enumerate(along):
                    inner, difference = _twice(one, axis, box)
                    total[inner].addcmul_(difference, pull[inner], value=0.5)
            return torch.cat(along, dim=1)

        return gathered(climbed, boxes, self._down)


@dataclass(frozen=True)
class Images:
    """A pair on one grid, and where it is compared: (1, 1, *shape) each."""

    fixed: torch.Tensor
    moving: torch.Tensor
    mask: torch.Tensor | None = None


class LnccForce:
    """Local normalised cross-correlation over windows of 7 voxels, centred on every second voxel."""

    def __init__(self, images: Images, factor: float):
        shape = level_shape(images.fixed.shape[2:], factor)
        mask = None if images.mask is None else shrink(images.mask, shape)
        self.moving = standardised(shrink(images.moving, shape), mask)
        self._correlation = LocalCorrelation(shrink_inside(images.fixed, images.mask, shape), _WINDOW, mask, stride=2)

    def value(self, displacement: torch.Tensor) -> float:
        """The similarity (larger is better) at a displacement (1, d, *level shape)."""
        with torch.no_grad():
            return float(self._correlation(sampling.warp(self.moving, displacement, "border")))

    def __call__(self, displacement: torch.Tensor, lattice: Lattice) -> tuple[float, torch.Tensor]:
        """The similarity and its ascent direction (1, d, *velocity shape) at a displacement of the velocity's grid."""
        with torch.no_grad():
            boxes = self._correlation.boxes
            warped = lattice.warped(self.moving, displacement, boxes)
            value, slope = self._correlation.with_slope(warped)
            return value, lattice.ascent(slope, warped, boxes)


class MindForce:
    """Minus the mean squared difference of MIND-SSC features, made one level finer and averaged down to this one."""

    def __init__(self, images: Images, factor: float, known: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor]]):
        """`known` holds the features of both images by the shape they were made at, for other levels too."""
        shape = level_shape(images.fixed.shape[2:], factor)
        finer = level_shape(images.fixed.shape[2:], max(factor / 2, 1))
        if finer not in known:
            known[finer] = (
                mind_ssc(shrink_inside(images.fixed, images.mask, finer)),
                mind_ssc(shrink(images.moving, finer)),
            )
        self._fixed, self.moving = (shrink(features, shape) for features in known[finer])
        self._weight = torch.ones((), device=self.moving.device) if images.mask is None else shrink(images.mask, shape)
        self._total = float(self._weight.mean()) or 1.0

    def value(self, displacement: torch.Tensor) -> float:
        """The similarity (0 is perfect, else negative) at a displacement (1, d, *level shape)."""
        with torch.no_grad():
            return self._similarity(self._fixed - sampling.warp(self.moving, displacement, "border"))

    def _similarity(self, difference: torch.Tensor) -> float:
        return -float((difference**2 * self._weight).mean()) / self._total

    def __call__(self, displacement: torch.Tensor, lattice: Lattice) -> tuple[float, torch.Tensor]:
        """The similarity and its ascent direction (1, d, *velocity shape) at a displacement of the velocity's grid."""
        with torch.no_grad():
            boxes = slabs(lattice.shape, self.moving.shape[1])
            warped = lattice.warped(self.moving, displacement, boxes)
            difference = self._fixed - warped
            value = self._similarity(difference)
            return value, lattice.ascent(difference.mul_(self._weight), warped, boxes)


class Forces:
    """The forces between two images by one similarity, level by level, each made once."""

    def __init__(self, images: Images, similarity: Similarity):
        self.similarity = similarity
        self._images = images
        self._made: dict[float, LnccForce | MindForce] = {}
        self._features: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor]] = {}

    def at(self, factor: float) -> LnccForce | MindForce:
        """The force between the images made coarser by a factor."""
        if factor not in self._made:
            self._made[factor] = (
                LnccForce(self._images, factor)
                if self.similarity == "lncc"
                else MindForce(self._images, factor, self._features)
            )
        return self._made[factor]


def _twice(image: torch.Tensor, axis: int, box: Box) -> tuple[Box, torch.Tensor]:
    """Twice the central differences along a spatial axis of an image (1, 1, *shape) in a box of it.

    And where in the box they are: an image's outermost voxels have none.
    """
    part = box[axis]
    first, last = max(part.start, 1), min(part.stop, image.shape[2 + axis] - 1)
    last = max(first, last)
    ahead, behind = (
        inside(image, (*box[:axis], slice(first + shift, last + shift), *box[axis + 1 :])) for shift in (1, -1)
    )
    return (..., slice(first - part.start, last - part.start), *[slice(None)] * (len(box) - 1 - axis)), ahead - behind
