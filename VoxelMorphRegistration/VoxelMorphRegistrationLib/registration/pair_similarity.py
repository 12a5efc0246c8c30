"""The similarity of a pair that a report gives, and which one that is."""

from __future__ import annotations

from typing import Literal

import torch

from ..flow import sampling, similarity
from ..flow.sampling import Padding
from ..refinement.pair import ImagePair

Metric = Literal["ncc", "nmi"]
_ALL_VOXELS = 2**18  # up to so many voxels a similarity uses every one, beyond that every second along each axis


class PairSimilarity:
    """The similarity of a pair under a flow, on the network's grid, inside the mask and the field of view: what a grid
    was padded with belongs to neither image, and tissue that moves through the cut would seem to make them less alike.

    'ncc' is Pearson's correlation (-1..1), for images of one contrast; 'nmi' is normalised mutual information (1..2),
    for any two. Of grids of more than 2**18 voxels every second voxel along each axis is used.

    Args:
        images: normalised; compared where their mask is not zero.
        metric: 'ncc' or 'nmi'.
    """

    def __init__(self, images: ImagePair, metric: Metric = "ncc") -> None:
        self._images = images
        fixed, mask, shape = images.seen.fixed, images.seen.mask, images.seen.shape
        step = 1 if fixed.numel() <= _ALL_VOXELS else 2
        self.metric = metric
        self._every = (slice(None), slice(None), *([slice(None, None, step)] * len(shape)))
        self._fixed = fixed[self._every]
        self._mask = None if mask is None else mask[self._every].to(fixed.device)
        axes = [torch.arange(0, n, step, dtype=torch.float32, device=fixed.device) for n in shape]
        self._position = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]

    def __call__(
        self, flow: torch.Tensor | None = None, padding: Padding = "border", moving: torch.Tensor | None = None
    ) -> float:
        """The similarity of the fixed and the moving image, warped by `flow` where one is given.

        Args:
            flow: (1, d, *shape), in voxels; it pulls.
            padding: what lies outside the moving image.
            moving: another one, (1, 1, *shape), in place of the pair's; None = the pair's.
        """
        cut = self._images.field_of_view.cut
        moving = self._images.seen.moving if moving is None else cut(moving)
        if flow is None:
            seen = moving[self._every]
        else:
            seen = sampling.sample(moving, self._position + cut(flow)[self._every], padding)
        if self.metric == "ncc":
            return float(similarity.ncc(self._fixed, seen, self._mask))
        return similarity.nmi(self._fixed, seen, self._mask)
