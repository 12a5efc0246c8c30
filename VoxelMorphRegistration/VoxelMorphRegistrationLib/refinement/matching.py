"""Discrete matching of coarse features: every cell is compared with every cell within reach, and the choices coupled.

A displacement of many cells is found as surely as a short one, where gradients see only what is near. The coupled
convex optimisation is that of Heinrich et al., Non-parametric discrete registration with convex optimisation (WBIR
2014), as in Siebert et al., Fast 3D registration with accurate optimisation and little learning for Learn2Reg 2021.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ..flow import sampling
from ..flow.filters import box_smoothed

_COUPLING = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # from hardly smooth to smooth
_CONSISTENCY_ROUNDS = 15


def matched_displacement(fixed: torch.Tensor, moving: torch.Tensor, reach: tuple[int, ...]) -> torch.Tensor:
    """The displacement (1, 3, *cells), in cells, that pulls the moving features onto the fixed ones.

    Forward and backward displacements are found alone and then made inverse to one another.

    Args:
        fixed, moving: features (1, C, *cells) on one grid of cells.
        reach: the longest displacement looked at along each array axis, in cells.
    """
    axes = [torch.arange(-n, n + 1, dtype=torch.float32, device=fixed.device) for n in reach]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(reach))
    cells = tuple(fixed.shape[2:])
    forward, backward = (
        _coupled(_costs(one, other, reach), offsets, cells) for one, other in ((fixed, moving), (moving, fixed))
    )
    for _ in range(_CONSISTENCY_ROUNDS):
        forward, backward = (
            0.5 * (forward - sampling.warp(backward, forward, "border", quick=True)),
            0.5 * (backward - sampling.warp(forward, backward, "border", quick=True)),
        )
    return forward


def _costs(fixed: torch.Tensor, moving: torch.Tensor, reach: tuple[int, ...]) -> torch.Tensor:
    """Squared feature distances of each cell to each displaced one, smoothed over cells: (cells, displacements)."""
    shape = tuple(fixed.shape[2:])
    padded = F.pad(moving, [n for n in reversed(reach) for _ in range(2)], mode="replicate")[0]
    own, other = fixed[0].square().sum(0), padded.square().sum(0)
    counts = [2 * n + 1 for n in reach]
    found = []
    for i in range(counts[0]):
        for j in range(counts[1]):
            rows = (slice(i, i + shape[0]), slice(j, j + shape[1]))
            candidates = padded[(slice(None), *rows)].unfold(3, shape[2], 1)
            products = torch.einsum("cabx,cabkx->kabx", fixed[0], candidates)
            found.append(own + other[rows].unfold(2, shape[2], 1).permute(2, 0, 1, 3) - 2 * products)
    costs = box_smoothed(torch.cat(found)[:, None], 2)[:, 0]
    return costs.reshape(math.prod(counts), -1).t().contiguous()


def _coupled(costs: torch.Tensor, offsets: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Each cell's cheapest displacement, near to the smoothed choice of its neighbours: (1, 3, *shape), in cells."""

    def smoothed(chosen: torch.Tensor) -> torch.Tensor:
        return box_smoothed(offsets[chosen].t().reshape(1, -1, *shape))

    displacement = smoothed(costs.argmin(1))
    lengths = offsets.square().sum(1)
    for weight in _COUPLING:
        near = displacement.reshape(len(shape), -1).t()
        # |offset - displacement|^2 without the displacement's own square, which is the same for all offsets.
        apart = torch.addmm(lengths, near, offsets.t(), alpha=-2)
        displacement = smoothed(torch.add(costs, apart, alpha=weight).argmin(1))
    return displacement
