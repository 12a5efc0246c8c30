"""Similarities of two images in torch, with masks, differentiable but for `nmi`.

Images are (B, 1, *shape) in 2D or 3D; a mask has the same shape (or broadcasts to it) and weights voxels, 0 = ignored.
Every similarity is a scalar, larger for more similar images, except the distance `mse`.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product

import torch
import torch.nn.functional as F

from .filters import apply_separable, box_matrices
from .slabs import Box, gathered, inside, slabs, slabs_around, spread

_TINY = 1e-6
_BINS = 32  # of the histograms of `nmi`
_CONSTANT = 1e-3  # of the floor: windows that vary by less have no say
_MOMENTS = 3  # images whose sums over windows a correlation needs


def mse(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Mean squared difference, over the mask where one is given (a distance: 0 is perfect)."""
    return weighted_mean((a - b) ** 2, mask)


def ncc(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Pearson's correlation over the whole image or the mask, in -1..1; 0 where an image is constant."""
    a = a - weighted_mean(a, mask)
    b = b - weighted_mean(b, mask)
    scale = weighted_mean(a * a, mask) * weighted_mean(b * b, mask)
    return weighted_mean(a * b, mask) / torch.sqrt(scale + _TINY**2)


def nmi(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor | None = None) -> float:
    """Normalised mutual information (H(a) + H(b)) / H(a, b) of two tensors of one shape, in 1..2; not differentiable.

    Over the mask where one is given, 1 where it is empty, from histograms between each one's extremes. Studholme et
    al., An overlap invariant entropy measure of 3D medical image alignment, Pattern Recognition 32, 1999.
    """
    if mask is not None:
        keep = mask.expand_as(a) > 0
        a, b = a[keep], b[keep]
        if a.numel() == 0:
            return 1.0
    joint = torch.bincount(_bins(a) * _BINS + _bins(b), minlength=_BINS**2).double().reshape(_BINS, _BINS)
    joint = joint / joint.sum()
    together = _entropy(joint)
    return float((_entropy(joint.sum(0)) + _entropy(joint.sum(1))) / together) if together > 0 else 1.0


def _bins(values: torch.Tensor) -> torch.Tensor:
    values = values.reshape(-1)
    low, high = values.min(), values.max()
    scaled = (values - low) / (high - low).clamp(min=1e-12) * _BINS
    return scaled.long().clamp(0, _BINS - 1)


def _entropy(probability: torch.Tensor) -> torch.Tensor:
    kept = probability[probability > 0]
    return -(kept * kept.log()).sum()


class LocalCorrelation:
    """Local normalised cross-correlation against one image whose window statistics are computed once.

    The mean over window centres of cov(a, b)^2 / (var(a) var(b)), in 0..1 (Avants et al., Symmetric diffeomorphic image
    registration with cross-correlation, MedIA 2008). Windows hold only voxels inside the image and the mask; windows
    where an image is flat give 0 and no gradient: `floor` is the share of the image's whole variance below which a
    window counts as flat.

    Args:
        reference: (B, 1, *shape).
        window: edge of the window in voxels, odd.
        mask: (B or 1, 1, *shape) weights on the reference's grid; None = everywhere.
        stride: distance of the window centres in voxels; every voxel still contributes to the windows around it.
    """

    def __init__(
        self,
        reference: torch.Tensor,
        window: int = 9,
        mask: torch.Tensor | None = None,
        stride: int = 1,
        floor: float = 1e-4,
    ):
        self.mask = None if mask is None else mask.to(reference.dtype)
        self.floor = floor
        self.reference = standardised(reference, self.mask)
        shape = reference.shape[2:]
        self._matrices = box_matrices(shape, window, stride, reference.device)
        ones = torch.ones((1, 1, *shape), dtype=reference.dtype, device=reference.device)
        self._count = self._sums(ones).clamp(min=_TINY)
        a = self.reference
        self._mean, square = (self._sums(torch.cat([a, a * a], 1)) / self._count).split(1, dim=1)
        self._variance = (square - self._mean**2).clamp(min=0) + floor
        # A window counts as far as it is filled by the mask; without one, all count alike, cut ones at the border too.
        self._weight = (
            torch.ones_like(self._count) if mask is None else self._count / apply_separable(ones, self._matrices)
        )

    def _sums(self, values: torch.Tensor) -> torch.Tensor:
        return apply_separable(values if self.mask is None else values * self.mask, self._matrices)

    @cached_property
    def boxes(self) -> list[Box]:
        """Where an image can matter: slabs around the windows in which the reference (1, 1, *shape) is not constant."""
        varied = (self._variance - self.floor > _CONSTANT * self.floor) & (self._weight > 0)
        active = apply_separable(varied.float(), [matrix.t() for matrix in self._matrices])[0, 0] > 0
        return slabs_around(active, _MOMENTS) or slabs(active.shape, _MOMENTS)

    def local(self, image: torch.Tensor) -> torch.Tensor:
        """The squared correlation in each window, (B, 1, *centres)."""
        b = standardised(image, self.mask)
        sums = self._sums(torch.cat([b, b * b, self.reference * b], 1))
        mean, square, cross = (sums / self._count).split(1, dim=1)
        covariance = cross - self._mean * mean
        return covariance**2 / (self._variance * ((square - mean**2).clamp(min=0) + self.floor))

    def with_slope(self, image: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The similarity of one image (1, 1, *shape) and its derivative by each of that image's voxels, of its shape.

        What autograd gives, written out, slab by slab. The image has to be `standardised`, or be warped from one that
        is; outside of `boxes` it is not looked at.
        """

        def moments(box: Box) -> torch.Tensor:
            b, a = inside(image, box), inside(self.reference, box)
            values = torch.cat([b, b * b, a * b], dim=1)
            return values if self.mask is None else values * inside(self.mask, box)

        mean, square, cross = (gathered(moments, self.boxes, self._matrices) / self._count).split(1, dim=1)
        raw, covariance = square - mean**2, cross - self._mean * mean
        variance = raw.clamp(min=0) + self.floor
        towards = covariance / (self._variance * variance)
        local = covariance * towards
        weight = 2 * self._weight / (self._weight.sum() * self._count)
        towards = weight * towards
        away = weight * local / variance * (raw > 0)
        pulls = torch.cat([towards, away, away * mean - towards * self._mean], dim=1)
        slope = torch.zeros_like(image)
        for box, found in spread(pulls, self.boxes, [matrix.t() for matrix in self._matrices]):
            toward, back, rest = found.split(1, dim=1)
            pull = rest.addcmul_(toward, inside(self.reference, box)).addcmul_(back, inside(image, box), value=-1)
            inside(slope, box).copy_(pull if self.mask is None else pull * inside(self.mask, box))
        return float(weighted_mean(local, self._weight)), slope

    def structured(self, share: float) -> torch.Tensor:
        """Windows, (B, 1, *centres), where the reference varies by more than this share of its whole variance."""
        return (self._variance > self.floor + share) & (self._weight > 0)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return weighted_mean(self.local(image), self._weight)


def lncc(
    a: torch.Tensor, b: torch.Tensor, window: int = 9, mask: torch.Tensor | None = None, stride: int = 1
) -> torch.Tensor:
    """Local normalised cross-correlation of two images, squared, in 0..1: see `LocalCorrelation`. Symmetric."""
    return LocalCorrelation(a, window, mask, stride)(b)


def mind_ssc(image: torch.Tensor, distance: int = 2, radius: int = 1) -> torch.Tensor:
    """The self-similarity context of each voxel: (B, 12, *shape) in 3D, (B, 4, *shape) in 2D, values in 0..1.

    Patch distances between the neighbours that are sqrt(2) x `distance` voxels apart, over patches of (2 radius + 1)^d
    voxels, as exp(-(D - min D) / mean D): equations 1-3 of Heinrich et al., Towards Realtime Multimodal Fusion for
    Image-Guided Interventions Using Self-similarities, MICCAI 2013. It tells structure, not intensity, so that images
    of different contrasts compare by mean squared difference.
    """
    axes = image.dim() - 2
    shape = image.shape[2:]
    reach = distance
    padded = F.pad(image.float(), [reach] * (2 * axes), mode="replicate")
    neighbours = [
        inside(padded, tuple(slice(reach + step[a], reach + step[a] + shape[a]) for a in range(axes)))
        for step in _neighbour_steps(axes, distance)
    ]
    differences = [(neighbours[i] - neighbours[j]) ** 2 for i, j in _neighbour_pairs(axes)]
    sums = box_matrices(shape, 2 * radius + 1, 1, image.device)
    filled = apply_separable(torch.ones((1, 1, *shape), device=image.device), sums)
    distances = apply_separable(torch.cat(differences, 1), sums) / filled
    distances = distances - distances.amin(dim=1, keepdim=True)
    spread = distances.mean(dim=1, keepdim=True)
    typical = spread.detach().mean(dim=tuple(range(1, spread.dim())), keepdim=True).clamp(min=1e-12)
    # The bounds keep noise in flat regions from counting as structure, and one strong edge from silencing the rest.
    spread = torch.minimum(torch.maximum(spread, 1e-3 * typical), 1e3 * typical)
    return torch.exp(-distances / spread)


def _neighbour_steps(axes: int, distance: int) -> list[tuple[int, ...]]:
    return [
        tuple(sign * distance if a == axis else 0 for a in range(axes)) for axis, sign in product(range(axes), (-1, 1))
    ]


def _neighbour_pairs(axes: int) -> list[tuple[int, int]]:
    """The pairs of face neighbours that do not face each other."""
    count = 2 * axes
    return [(i, j) for i in range(count) for j in range(i + 1, count) if i // 2 != j // 2]


def weighted_mean(values: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """The mean of values (B, C, *shape), by weights (B or 1, 1, *shape) where there are any."""
    if weights is None:
        return values.mean()
    weights = weights.to(values.dtype).expand_as(values)
    return (values * weights).sum() / weights.sum().clamp(min=_TINY)


def standardised(image: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Mean 0 and variance 1, image by image of a batch: window variances lose no digits to a large offset (CT's
    -1000).
    """
    axes = tuple(range(1, image.dim()))
    image = image.float()
    with torch.no_grad():
        weights = torch.ones_like(image) if mask is None else mask.float().expand_as(image)
        total = weights.sum(axes, keepdim=True).clamp(min=_TINY)
        mean = (image * weights).sum(axes, keepdim=True) / total
        deviation = (((image - mean) ** 2 * weights).sum(axes, keepdim=True) / total).sqrt()
    return (image - mean) / deviation.clamp(min=_TINY)
