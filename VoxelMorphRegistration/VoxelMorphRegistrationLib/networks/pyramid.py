"""One network run from coarse to fine, each pass on the image warped so far, with one velocity field as the outcome."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..warping import Padding, integrate, resize_flow, warp
from .flow import Flow
from .pairwise import PairwiseNetwork

_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}


class PyramidNetwork(PairwiseNetwork):
    """A `VxmPairwise` that looks at the pair several times, first coarsely.

    Every pass adds its velocity to the sum so far: to first order the logarithm of the composed deformation (Vercauteren
    et al., Symmetric Log-Domain Diffeomorphic Registration, MICCAI 2008), and what that leaves the next pass sees. The
    outcome stays one stationary velocity field, with its inverse for free.

    Attributes:
        factors: how much coarser than the input each pass looks, such as (4, 2, 1); powers of two up to `multiple`.
    """

    def __init__(self, *args, factors: tuple[int, ...] = (1,), **options) -> None:
        super().__init__(*args, **options)
        self.factors = tuple(factors)

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> Flow:
        self._check(fixed, moving)
        velocity = None
        for factor in self.factors:
            velocity = self.improve(fixed, moving, velocity, factor)
        return Flow(velocity, self.kind, 1, self.padding, self.steps)

    def improve(
        self, fixed: torch.Tensor, moving: torch.Tensor, velocity: torch.Tensor | None, factor: int
    ) -> torch.Tensor:
        """The velocity (B, d, *shape) after one more pass, with the images averaged over `factor` voxels an axis."""
        if velocity is not None:
            moving = warp(moving, coarsely_integrated(velocity, self.steps, self.padding), "border")
        shape = tuple(fixed.shape[2:])
        pool = _POOL[self.dimension]
        if factor > 1:
            fixed, moving = pool(fixed, factor), pool(moving, factor)
        seen = tuple(fixed.shape[2:])
        padding = [p for n in reversed(seen) for p in (0, -n % self.multiple)]
        if any(padding):
            fixed, moving = (F.pad(image, padding, mode="replicate") for image in (fixed, moving))
        step = self.predict(moving, fixed).float()
        step = step[(..., *(slice(n) for n in seen))]
        if factor > 1:
            # Averaged voxels lie between the fine ones, so here the faces of the grids coincide, not the corner centres.
            step = factor * F.interpolate(step, size=shape, mode=_LINEAR[self.dimension], align_corners=False)
        return step if velocity is None else velocity + step


def coarsely_integrated(velocity: torch.Tensor, steps: int, padding: Padding) -> torch.Tensor:
    """exp(velocity) computed on a grid of half the voxels: an eighth of the work, and all that a pass between needs."""
    shape = tuple(velocity.shape[2:])
    half = tuple((n + 1) // 2 for n in shape)
    return resize_flow(integrate(resize_flow(velocity, half), steps, padding), shape)
