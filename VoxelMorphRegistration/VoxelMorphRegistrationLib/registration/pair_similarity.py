"""The similarity of a pair that a report gives, and which one that is."""

from __future__ import annotations

from typing import Literal

import torch

from ..flow import sampling, similarity
from ..flow.sampling import Padding
from ..refinement.field_of_view import FieldOfView

Metric = Literal["ncc", "nmi"]
_ALL_VOXELS = 2**18  # up to so many voxels a similarity uses every one, beyond that every second along each axis


class PairSimilarity:
    """The similarity of the fixed image and a moving image under a flow, on the network's grid.

    'ncc' is Pearson's correlation (-1..1), for images of one contrast; 'nmi' is normalised mutual information (1..2),
    for any two. Of grids of more than 2**18 voxels every second voxel along each axis is used.

    Args:
        fixed: (1, 1, *shape), normalised.
        metric: 'ncc' or 'nmi'.
        mask: (1, 1, *shape), not zero where the images are compared; None = everywhere.
        view: what is seen of the images; None = all. What a grid was padded with belongs to neither, and tissue that
            moves through the cut would seem to make them less alike.
    """

    def __init__(
        self,
        fixed: torch.Tensor,
        metric: Metric = "ncc",
        mask: torch.Tensor | None = None,
        view: FieldOfView | None = None,
    ) -> None:
        self._cut = _all if view is None else view.cut
        fixed, mask = self._cut(fixed), None if mask is None else self._cut(mask)
        shape = tuple(fixed.shape[2:])
        step = 1 if fixed.numel() <= _ALL_VOXELS else 2
        self.metric = metric
        self._every = (slice(None), slice(None), *([slice(None, None, step)] * len(shape)))
        self._fixed = fixed[self._every]
        self._mask = None if mask is None else mask[self._every].to(fixed.device)
        axes = [torch.arange(0, n, step, dtype=torch.float32, device=fixed.device) for n in shape]
        self._position = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]

    def __call__(self, moving: torch.Tensor, flow: torch.Tensor | None = None, padding: Padding = "border") -> float:
        """The similarity of the fixed image and `moving` (1, 1, *shape), warped by `flow` where one is given.

        The flow (1, d, *shape) is in voxels and pulls; `padding` is what lies outside the moving image.
        """
        moving = self._cut(moving)
        if flow is None:
            seen = moving[self._every]
        else:
            seen = sampling.sample(moving, self._position + self._cut(flow)[self._every], padding)
        if self.metric == "ncc":
            return float(similarity.ncc(self._fixed, seen, self._mask))
        return similarity.nmi(self._fixed, seen, self._mask)


def _all(values: torch.Tensor) -> torch.Tensor:
    return values
