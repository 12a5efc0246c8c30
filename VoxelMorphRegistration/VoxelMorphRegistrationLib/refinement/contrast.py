"""What a roughly aligned pair is like: of one contrast or of two, and how similar but for noise."""

from __future__ import annotations

from functools import cached_property

import torch

from ..flow import integration
from ..flow.filters import apply_separable, gaussian_matrices, resized
from ..flow.similarity import LocalCorrelation, mind_ssc, ncc, weighted_mean
from .levels import level_shape, shrink
from .pair import ImagePair
from .similarities import Similarity

_SAME_CONTRAST = 0.6  # correlation of the foregrounds; pairs of one contrast reach .9 and more, ADC and b-value .5
_FOREGROUND = 0.05  # of an image's range
_COARSER = 4
_COARSE_VOXELS = 650_000
_WINDOW = 7
_STRUCTURE = 0.01  # share of the image's variance that a window has when it shows more than empty surroundings
_ALIKE, _DIFFERENT = 0.99, 0.95  # of the local correlation; by real pairs and simulated ones together
_AROUND = 2.0  # windows, which are 2 voxels apart
_NOISE_SMOOTHING = 1.0  # voxels; leaves a fiftieth of white noise's variance


def choose_similarity(images: ImagePair) -> Similarity:
    """'lncc' where the foregrounds of a roughly aligned pair correlate by .6 or more, 'mind' where they do not.

    Pearson's correlation, at a quarter of the resolution and inside the mask, over the voxels that exceed 5 % of either
    image's range: the empty background, alike in every contrast, and noise say nothing about it.
    """
    shape = level_shape(images.shape, _COARSER)
    fixed, moving = shrink(images.fixed, shape), shrink(images.moving, shape)
    foreground = torch.zeros_like(fixed)
    for image in (fixed, moving):
        low, high = image.min(), image.max()
        foreground = torch.maximum(foreground, (image > low + _FOREGROUND * (high - low)).float())
    if images.mask is not None:
        foreground = foreground * shrink(images.mask, shape)
    return "lncc" if float(ncc(fixed, moving, foreground)) >= _SAME_CONTRAST else "mind"


class CoarseComparison:
    """How similar a pair is inside its field of view, whatever pulls its moving image: what does not depend on that is
    made once, when it is asked for.

    On at most about 650,000 isotropic voxels. What is left out, a grid's padding, ends at a cut through the anatomy,
    which tissue moves through. Displacements are (1, d, *shape), in voxels of the images' grid.
    """

    def __init__(self, images: ImagePair) -> None:
        self._seen, self._view = images.seen, images.field_of_view

    def lncc(self, displacement: torch.Tensor | None = None, weight: torch.Tensor | None = None) -> float:
        """The squared local correlation, averaged over the windows of 7 voxels in which the fixed image has structure.
        0 to 1.

        Args:
            weight: how much each place counts, (1, 1, *shape).
        """
        local, structured = self._correlation.local(self._pulled(displacement)), self._structured
        if weight is None:
            return float(local[structured].mean().nan_to_num())
        shares = resized(self._view.cut(weight), tuple(local.shape[2:]))[structured]
        return float((local[structured] * shares).sum() / shares.sum().clamp(min=1e-6))

    def denoised_lncc(self, displacement: torch.Tensor | None = None) -> float:
        """`lncc` of images smoothed by a Gaussian of 1 voxel: how similar a pair is but for noise."""
        local, structured = self._denoised(displacement)
        return float(local[structured].mean().nan_to_num())

    def distance(self, displacement: torch.Tensor) -> float:
        """The mean squared difference of the pair's MIND-SSC features; 0 is perfect. It judges what LNCC found."""
        difference = (self._features - mind_ssc(self._pulled(displacement))).square_()
        return float(weighted_mean(difference, self._images.mask))

    def unlike(self, displacement: torch.Tensor | None = None) -> torch.Tensor:
        """How far the places of a pair are from being alike, 0 (nothing to gain) to 1: (1, 1, *shape).

        From the local correlation, averaged over some windows: 0 from .99 on, where what is left is interpolation, 1 up
        to .95; of images smoothed by a Gaussian of 1 voxel, for noise is nothing to follow.
        """
        local, structured = self._denoised(displacement)
        matrices = gaussian_matrices(local.shape[2:], _AROUND, local.device)
        weight = apply_separable(structured.float(), matrices)
        similar = apply_separable(local * structured, matrices) / weight.clamp(min=1e-3)
        unlike = ((_ALIKE - similar) / (_ALIKE - _DIFFERENT)).clamp(0, 1)
        return self._view.extended(resized(unlike, self._seen.shape))

    def _pulled(self, displacement: torch.Tensor | None) -> torch.Tensor:
        if displacement is None:
            return self._images.moving
        inside = self._view.cut(displacement)
        return self._images.pulled(integration.resize_flow(inside, self._images.shape)).moving

    @cached_property
    def _images(self) -> ImagePair:
        return self._seen.shrunk(self._seen.isotropic_shape(_COARSE_VOXELS))

    @cached_property
    def _correlation(self) -> LocalCorrelation:
        return LocalCorrelation(self._images.fixed, _WINDOW, self._images.mask, stride=2)

    @cached_property
    def _structured(self) -> torch.Tensor:
        return self._correlation.structured(_STRUCTURE)

    @cached_property
    def _features(self) -> torch.Tensor:
        return mind_ssc(self._images.fixed)

    @cached_property
    def _smoothing(self) -> list[torch.Tensor]:
        return gaussian_matrices(self._images.shape, _NOISE_SMOOTHING, self._images.fixed.device)

    @cached_property
    def _denoised_correlation(self) -> LocalCorrelation:
        fixed = apply_separable(self._images.fixed, self._smoothing)
        return LocalCorrelation(fixed, _WINDOW, self._images.mask, stride=2)

    def _denoised(self, displacement: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The squared correlation of the smoothed images in each window, and in which the fixed image has structure."""
        moving = apply_separable(self._pulled(displacement), self._smoothing)
        return self._denoised_correlation.local(moving), self._denoised_correlation.structured(_STRUCTURE)
