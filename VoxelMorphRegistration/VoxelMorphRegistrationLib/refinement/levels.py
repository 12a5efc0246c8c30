"""Coarser forms of an image, and a velocity that lives on a grid coarser than its image's.

All grids of a pair share their first and last voxel centres (align_corners=True), whatever their number of voxels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..flow import sampling
from ..flow.filters import apply_separable, gaussian_matrices, resize_matrices
from ..flow.slabs import Box, gathered, inside, spread
from ..flow.transfers import constant

_SMALLEST_AXIS = 5
_LEAST_VOXELS = 100_000  # hippocampi of 90,000 lose .004 of Dice on half as many an axis, livers and hearts nothing
_BLUR = 0.45  # of the shrink factor, in voxels: keeps what the coarser grid can hold


def level_shape(shape: Sequence[int], factor: float) -> tuple[int, ...]:
    """The array shape of a grid `factor` times coarser, with 5 voxels an axis at least where there are as many."""
    return tuple(min(n, max(int(round(n / factor)), _SMALLEST_AXIS)) for n in shape)


def integration_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The grid on which a smooth velocity of images of array shape (*shape) is kept and integrated: half as many voxels
    an axis, which is an eighth of the time, but not fewer than 100,000 where the images have as many.
    """
    return level_shape(shape, min(2.0, max(1.0, (math.prod(shape) / _LEAST_VOXELS) ** (1 / len(shape)))))


def shrink(image: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """An image (B, C, *any) smoothed and resampled linearly to (B, C, *shape); the image itself where that is its
    shape.
    """
    old = image.shape[2:]
    if tuple(old) == tuple(shape):
        return image
    sigma = _BLUR * max(n / m for n, m in zip(old, shape))
    return apply_separable(image, [constant(image.device, _shrinking, n, m, sigma) for n, m in zip(old, shape)])


def shrink_inside(image: torch.Tensor, mask: torch.Tensor | None, shape: Sequence[int]) -> torch.Tensor:
    """`shrink` of the image (1, 1, *any) weighted by a mask of its shape: values outside do not reach what is inside;
    0 where the coarser mask is empty.
    """
    if mask is None or tuple(image.shape[2:]) == tuple(shape):
        return shrink(image, shape)
    weight = shrink(mask, shape)
    return torch.where(weight > 1e-3, shrink(image * mask, shape) / weight.clamp(min=1e-3), torch.zeros_like(weight))


def _shrinking(n: int, m: int, sigma: float) -> torch.Tensor:
    """(m, n): smoothing and linear resampling as one matrix, so that only what is kept is computed."""
    return (resize_matrices([n], [m])[0].double() @ gaussian_matrices([n], sigma)[0].double()).float()


class Lattice:
    """A level's image grid (*shape) and the coarser grid (*velocity_shape) on which its velocity lives."""

    def __init__(self, shape: Sequence[int], velocity_shape: Sequence[int], device: torch.device | str = "cpu"):
        self.shape = tuple(shape)
        self._up = resize_matrices(velocity_shape, shape, device)
        self._down = [matrix.t() / matrix.t().sum(1, keepdim=True) for matrix in self._up]

    def warped(self, image: torch.Tensor, displacement: torch.Tensor, boxes: Sequence[Box]) -> torch.Tensor:
        """An image (1, C, *shape) pulled by a displacement (1, d, *velocity_shape) in voxels of the velocity's grid:
        (1, C, *shape), 0 outside the boxes.
        """
        position = sampling.normalised_positions(displacement, tuple(displacement.shape[2:]))
        warped = torch.zeros_like(image)
        for box, moved in spread(position, boxes, self._up):
            inside(warped, box).copy_(sampling.sample_normalised(image, moved, "border"))
        return warped

    def gradient(self, slope: torch.Tensor, warped: torch.Tensor, boxes: Sequence[Box]) -> torch.Tensor:
        """The gradient of a similarity by the displacement: (1, d, *velocity_shape), per voxel of the image grid.

        `slope`, the similarity's derivative by the warped image's values, times the spatial gradient of `warped`
        (central differences, 0 at the outermost voxels), both (1, C, *shape), summed over the channels and averaged
        down to the velocity's grid; only inside the boxes.
        """

        def product(box: Box) -> torch.Tensor:
            along = [torch.zeros_like(inside(slope[:, :1], box)) for _ in self.shape]
            for channel in range(warped.shape[1]):
                image, pull = warped[:, channel : channel + 1], inside(slope[:, channel : channel + 1], box)
                for axis, total in enumerate(along):
                    inner, difference = _twice_central_differences(image, axis, box)
                    total[inner].addcmul_(difference, pull[inner], value=0.5)
            return torch.cat(along, dim=1)

        return gathered(product, boxes, self._down)


def _twice_central_differences(image: torch.Tensor, axis: int, box: Box) -> tuple[tuple, torch.Tensor]:
    """Where in a box of an image (1, 1, *shape) central differences along a spatial axis exist, and twice their values.

    The image's outermost voxels have none.
    """
    part = box[axis]
    first, last = max(part.start, 1), min(part.stop, image.shape[2 + axis] - 1)
    last = max(first, last)
    ahead, behind = (
        inside(image, (*box[:axis], slice(first + shift, last + shift), *box[axis + 1 :])) for shift in (1, -1)
    )
    where = (..., slice(first - part.start, last - part.start), *[slice(None)] * (len(box) - 1 - axis))
    return where, ahead - behind
