"""How well two images or label maps agree, and what a label map measures."""

from __future__ import annotations

from typing import Literal

import numpy as np
import SimpleITK as sitk
import torch

from . import similarity, warping
from .displacement import lps_to_ras
from .errors import InputError
from .grid import Grid

Metric = Literal["ncc", "nmi"]
_ALL_VOXELS = 2**18  # up to so many voxels a similarity uses every one, beyond that every second along each axis


class PairSimilarity:
    """How alike the fixed image is to a moving image under a flow, on the network's grid, cheaply.

    'ncc' is Pearson's correlation (-1..1), for images of one contrast; 'nmi' is normalised mutual information (1..2), for
    any two.

    Args:
        fixed: (1, 1, *shape), normalised.
        mask: (1, 1, *shape), not zero where the images are compared; None = everywhere.
    """

    def __init__(self, fixed: torch.Tensor, metric: Metric = "ncc", mask: torch.Tensor | None = None) -> None:
        shape = tuple(fixed.shape[2:])
        step = 1 if fixed.numel() <= _ALL_VOXELS else 2
        self.metric = metric
        self._every = (slice(None), slice(None), *([slice(None, None, step)] * len(shape)))
        self._fixed = fixed[self._every]
        self._mask = None if mask is None else mask[self._every].to(fixed.device)
        axes = [torch.arange(0, n, step, dtype=torch.float32, device=fixed.device) for n in shape]
        self._position = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]

    def __call__(
        self, moving: torch.Tensor, flow: torch.Tensor | None = None, padding: warping.Padding = "border"
    ) -> float:
        """Similarity of the fixed image and `moving` (1, 1, *shape) warped by `flow` (1, d, *shape), network voxels."""
        if flow is None:
            seen = moving[self._every]
        else:
            seen = warping.sample(moving, self._position + flow[self._every], padding)
        if self.metric == "ncc":
            return float(similarity.ncc(self._fixed, seen, self._mask))
        return similarity.nmi(self._fixed, seen, self._mask)


def dice(a: sitk.Image, b: sitk.Image) -> dict[int, float]:
    """Dice overlap 2 |A and B| / (|A| + |B|) of each label but 0 that either label map (on one grid) holds.

    Raises InputError when the two are of different size.
    """
    if a.GetSize() != b.GetSize():
        raise InputError(f"Dice: label maps of size {a.GetSize()} and {b.GetSize()}; resample one like the other")
    first, second = (sitk.GetArrayViewFromImage(image).ravel() for image in (a, b))
    in_a, in_b = _counts(first), _counts(second)
    common = _counts(first[first == second])
    found = sorted({*in_a, *in_b})
    return {label: 2.0 * common.get(label, 0) / (in_a.get(label, 0) + in_b.get(label, 0)) for label in found}


def measure_labels(labels: sitk.Image) -> dict[int, tuple[float, tuple[float, ...]]]:
    """Millilitres (2D: mm2 / 1000) and centroid (RAS mm) of each label but 0."""
    array = sitk.GetArrayViewFromImage(labels)
    grid = Grid.of(labels)
    where = np.flatnonzero(array)
    if where.size == 0:
        return {}
    values = array.ravel()[where]
    small = values.dtype.kind == "u" and values.dtype.itemsize <= 2
    kinds, member = (None, values) if small else np.unique(values, return_inverse=True)
    counts = np.bincount(member)
    sums, rest = [], where
    for n in reversed(array.shape):
        rest, position = np.divmod(rest, n)
        sums.append(np.bincount(member, position, len(counts)))
    millilitres = abs(float(np.linalg.det(grid.axes))) / 1000.0
    found = np.flatnonzero(counts)
    index = np.stack([total[found] / counts[found] for total in sums], axis=-1)
    centroids = lps_to_ras(index @ grid.axes.T + np.asarray(grid.origin))
    names = found if kinds is None else kinds[found]
    return {
        int(name): (float(counts[code]) * millilitres, tuple(centroid.tolist()))
        for name, code, centroid in zip(names, found, centroids)
    }


def _counts(values: np.ndarray) -> dict[int, int]:
    found, counts = np.unique(values[values != 0], return_counts=True)
    return {int(value): int(count) for value, count in zip(found, counts)}
