"""The force that pulls a warped moving image towards the fixed one at one resolution: LNCC, or MIND-SSC.

Both give the gradient for an update composed from the right, m o phi o (id + w): the slope in the
warped image times its own gradient (Vercauteren et al., Diffeomorphic demons, NeuroImage 2009), in voxels of the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from . import warping
from .separable import apply_separable, gaussian_matrices, resize_matrices
from .similarity import LocalCorrelation, mind_ssc

Similarity = Literal["lncc", "mind"]
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


class LnccForce:
    """Local normalised cross-correlation over windows of `window` voxels, centred on every second voxel."""

    def __init__(
        self, fixed: torch.Tensor, moving: torch.Tensor, factor: float, mask: torch.Tensor | None, window: int = _WINDOW
    ):
        shape = level_shape(fixed.shape[2:], factor)
        self.moving = shrink(moving, shape)
        reference = shrink_inside(fixed, mask, shape)
        self._correlation = LocalCorrelation(reference, window, None if mask is None else shrink(mask, shape), stride=2)

    def value(self, displacement: torch.Tensor) -> float:
        """The similarity (larger is better) at a displacement (1, d, *level shape)."""
        with torch.no_grad():
            return float(self._correlation(warping.warp(self.moving, displacement, "border")))

    def __call__(self, displacement: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The similarity and its ascent direction (1, d, *level shape) at a displacement of the level's grid."""
        with torch.no_grad():
            warped = warping.warp(self.moving, displacement, "border")
        warped.requires_grad_(True)
        with torch.enable_grad():
            value = self._correlation(warped)
            (slope,) = torch.autograd.grad(value, warped)
        warped = warped.detach()
        return float(value.detach()), torch.cat([slope * along for along in _gradients(warped)], dim=1)


class MindForce:
    """Minus the mean squared difference of MIND-SSC features, made one level finer and averaged down to this one."""

    def __init__(self, fixed: torch.Tensor, moving: torch.Tensor, factor: float, mask: torch.Tensor | None):
        shape = level_shape(fixed.shape[2:], factor)
        finer = level_shape(fixed.shape[2:], max(factor / 2, 1))
        self._fixed = shrink(mind_ssc(shrink_inside(fixed, mask, finer)), shape)
        self.moving = shrink(mind_ssc(shrink(moving, finer)), shape)
        self._weight = torch.ones((), device=fixed.device) if mask is None else shrink(mask, shape)
        self._total = float(self._weight.mean()) or 1.0

    def value(self, displacement: torch.Tensor) -> float:
        """The similarity (0 is perfect, else negative) at a displacement (1, d, *level shape)."""
        with torch.no_grad():
            return self._similarity(self._fixed - warping.warp(self.moving, displacement, "border"))

    def _similarity(self, difference: torch.Tensor) -> float:
        return -float((difference**2 * self._weight).mean()) / self._total

    def __call__(self, displacement: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The similarity and its ascent direction (1, d, *level shape) at a displacement of the level's grid."""
        with torch.no_grad():
            warped = warping.warp(self.moving, displacement, "border")
            difference = self._fixed - warped
            value = self._similarity(difference)
            weighted = difference.mul_(self._weight)
            ascent = torch.zeros_like(displacement)
            # Feature by feature: a dozen images at a time do not fit a processor's cache.
            for feature in range(warped.shape[1]):
                one, pull = warped[:, feature : feature + 1], weighted[:, feature : feature + 1]
                for axis in range(2, warped.dim()):
                    inner = (axis, 1, warped.shape[axis] - 2)
                    ascent[:, axis - 2 : axis - 1].narrow(*inner).addcmul_(_twice(one, axis), pull.narrow(*inner), value=0.5)
            return value, ascent


FORCES = {"lncc": LnccForce, "mind": MindForce}


def _gradients(image: torch.Tensor) -> list[torch.Tensor]:
    """Central differences along each spatial axis, zero on the border."""
    gradients = []
    for axis in range(2, image.dim()):
        gradient = torch.zeros_like(image)
        gradient.narrow(axis, 1, image.shape[axis] - 2).copy_(_twice(image, axis) * 0.5)
        gradients.append(gradient)
    return gradients


def _twice(image: torch.Tensor, axis: int) -> torch.Tensor:
    """Twice the central differences at the inner voxels of an axis."""
    inner = image.shape[axis] - 2
    return image.narrow(axis, 2, inner) - image.narrow(axis, 0, inner)
