"""What a roughly aligned pair is like: of one contrast or of two, and how similar but for noise."""

from __future__ import annotations

import math

import torch

from ..flow import integration, sampling
from ..flow.filters import apply_separable, gaussian_matrices
from ..flow.similarity import LocalCorrelation, ncc
from .levels import level_shape, shrink
from .pair import ImagePair
from .settings import Similarity

_SAME_CONTRAST = 0.6  # correlation of the foregrounds; pairs of one contrast reach .9 and more, ADC and b-value .5
_FOREGROUND = 0.05  # of an image's range
_COARSER = 4
_COARSE_VOXELS = 300_000
_WINDOW = 7
_STRUCTURE = 0.01  # share of the image's variance that a window has when it shows more than empty surroundings
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


def smoothed_lncc(images: ImagePair) -> float:
    """How similar a pair is but for noise: the squared local correlation of both images, smoothed by a Gaussian of 1
    voxel, averaged over the windows of 7 voxels in which the fixed image has structure. 0 to 1; 0 where none has.
    """
    matrices = gaussian_matrices(images.shape, _NOISE_SMOOTHING, images.fixed.device)
    with torch.no_grad():
        correlation = LocalCorrelation(apply_separable(images.fixed, matrices), _WINDOW, images.mask, stride=2)
        local = correlation.local(apply_separable(images.moving, matrices))
        return float(local[correlation.structured(_STRUCTURE)].mean().nan_to_num())


def coarse_similarity(images: ImagePair, displacement: torch.Tensor | None = None) -> float:
    """`smoothed_lncc` of the pair at a coarse resolution, about 300,000 voxels, the moving image pulled by a
    displacement (1, d, *shape), in voxels of the images' grid, where one is given: it tells starts apart.
    """
    factor = max(1.0, (math.prod(images.shape) / _COARSE_VOXELS) ** (1 / len(images.shape)))
    shape = level_shape(images.shape, factor)
    moving = shrink(images.moving, shape)
    if displacement is not None:
        moving = sampling.warp(moving, integration.resize_flow(displacement, shape), "border")
    mask = None if images.mask is None else shrink(images.mask, shape)
    return smoothed_lncc(ImagePair(shrink(images.fixed, shape), moving, mask))
