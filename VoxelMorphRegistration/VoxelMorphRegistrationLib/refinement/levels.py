"""Coarser forms of an image, and a velocity that lives on a grid coarser than its image's.

All grids of a pair share their first and last voxel centres (align_corners=True), whatever their number of voxels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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
    """A level's image grid (*shape) and the coarser grid (*velocity_shape) on which its velocity lives.

    Args:
        pull: where displacements (1, d, *velocity_shape) pull from, as `sampling.sample_normalised` takes it, for a
            moving image on a grid of its own; as they are, for one on the level's grid, unless given.
    """

    def __init__(
        self,
        shape: Sequence[int],
        velocity_shape: Sequence[int],
        device: torch.device | str = "cpu",
        pull: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.shape, self.velocity_shape, self.device = tuple(shape), tuple(velocity_shape), device
        self._pull = pull
        self._up = resize_matrices(velocity_shape, shape, device)
        self._down = [matrix.t() / matrix.t().sum(1, keepdim=True) for matrix in self._up]

    def warped(self, image: torch.Tensor, displacement: torch.Tensor, boxes: Sequence[Box]) -> torch.Tensor:
        """The moving image (1, C, *any) pulled by a displacement (1, d, *velocity_shape) in voxels of the velocity's
        grid: (1, C, *shape), 0 outside the boxes.
        """
        if self._pull is None:
            position = sampling.normalised_positions(displacement, tuple(displacement.shape[2:]))
        else:
            position = self._pull(displacement)
        warped = image.new_zeros((1, image.shape[1], *self.shape))
        for box, moved in spread(position, boxes, self._up):
            inside(warped, box).copy_(sampling.sample_normalised(image, moved, "border", quick=True))
        return warped

    def gradient(self, slope: torch.Tensor, warped: torch.Tensor, boxes: Sequence[Box]) -> torch.Tensor:
        """The gradient of a similarity by the displacement: (1, d, *velocity_shape), per voxel of the image grid.

        `slope`, the similarity's derivative by the warped image's values, times the spatial gradient of `warped`
        (`_derivative`), both (1, C, *shape), summed over the channels and averaged down to the velocity's grid; only
        inside the boxes.
        """

        def product(box: Box) -> torch.Tensor:
            along = [torch.zeros_like(inside(slope[:, :1], box)) for _ in self.shape]
            for channel in range(warped.shape[1]):
                image, pull = warped[:, channel : channel + 1], inside(slope[:, channel : channel + 1], box)
                for axis, total in enumerate(along):
                    total.addcmul_(_derivative(image, axis, box), pull)
            return torch.cat(along, dim=1)

        return gathered(product, boxes, self._down)


def _derivative(image: torch.Tensor, axis: int, box: Box) -> torch.Tensor:
    """The derivative along a spatial axis of an image (1, 1, *shape) in a box: (1, 1, *box), per voxel.

    Differences of fourth order, which tell steps between neighbours better than those of second order; of second order
    one voxel from either end, and one-sided at the end itself, where organs are cut.
    """
    count, part = image.shape[2 + axis], box[axis]

    def planes(first: int, stop: int) -> torch.Tensor:
        return inside(image, (*box[:axis], slice(first, stop), *box[axis + 1 :]))

    derivative = torch.zeros_like(inside(image, box))
    first, stop = max(part.start, 2), min(part.stop, count - 2)
    if first < stop:
        inner = derivative.narrow(2 + axis, first - part.start, stop - first)
        torch.sub(planes(first + 1, stop + 1), planes(first - 1, stop - 1), out=inner).mul_(2 / 3)
        inner.sub_(planes(first + 2, stop + 2) - planes(first - 2, stop - 2), alpha=1 / 12)
    for place in {0, 1, count - 2, count - 1}.intersection(range(part.start, part.stop)):
        behind, ahead = max(place - 1, 0), min(place + 1, count - 1)
        if ahead > behind:
            difference = planes(ahead, ahead + 1) - planes(behind, behind + 1)
            derivative.narrow(2 + axis, place - part.start, 1).copy_(difference).div_(ahead - behind)
    return derivative
