"""Images finer than the grid on which a pair is refined, for the last level of refinement.

The moving image is not brought onto the fixed one's grid, pulled and then pulled again: each time it is interpolated it
is blurred, most across thick slices. It is sampled once for every update, on its own grid, where the whole displacement
points: livers in slices of 4 mm end .07 mm nearer for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..flow import integration, sampling
from ..flow.similarity import standardised
from .field_of_view import FieldOfView
from .forces import Force, LnccForce
from .levels import shrink

# Voxels; with 7, as on the coarser grid, livers end .01 mm further off, brains .002 of Dice worse, hearts .001 better.
_WINDOW = 5


class FinerLevel(NamedTuple):
    """The last level: the force between the finer images, and where displacements pull the moving one from."""

    force: Force
    pull: Pull


@dataclass(frozen=True)
class FinerImages:
    """A pair's images, normalised alike, on grids finer than the one on which it is refined.

    Attributes:
        fixed: (1, 1, *finer), on a grid that shares its corner voxel centres with the coarser one and halves the
            spacing along some axis or all of them: 2 n - 1 voxels where that has n.
        moving: (1, 1, *any), on any grid.
        to_moving: homogeneous (d+1, d+1), from a voxel of the coarser grid to the voxel of `moving` that lies there
            while nothing has moved, both in array order.
    """

    fixed: torch.Tensor
    moving: torch.Tensor
    to_moving: np.ndarray

    def level(self, view: FieldOfView, before: torch.Tensor, mask: torch.Tensor | None) -> FinerLevel:
        """What lies inside a field of view.

        Args:
            before: the displacement so far (1, d, *inside), in voxels of the coarser grid.
            mask: on the coarser grid, (1, 1, *inside); None = everywhere.
        """
        fixed = view.cut(self.fixed)
        weights = None if mask is None else shrink(mask, tuple(fixed.shape[2:]))
        moved = np.eye(len(self.to_moving))
        moved[:-1, -1] = view.start
        pull = Pull(before, self.to_moving @ moved, tuple(self.moving.shape[2:]))
        return FinerLevel(LnccForce(fixed, standardised(self.moving), weights, _WINDOW), pull)


class Pull:
    """Where displacements that come after another one pull a moving image from, which lies on a grid of its own.

    Args:
        before: (1, d, *shape), in voxels of its grid.
        to_moving: homogeneous (d+1, d+1), from a voxel of that grid to the moving image's, both in array order.
        moving_shape: of the moving image's array.
    """

    def __init__(self, before: torch.Tensor, to_moving: np.ndarray, moving_shape: tuple[int, ...]) -> None:
        self._before = before
        # As `sampling.sample_normalised` counts: from -1 at the first voxel centre to 1 at the last, last axis first.
        extent = np.array([sampling.extent(n) for n in moving_shape])
        linear, offset = extent[:, None] * to_moving[:-1, :-1], extent * to_moving[:-1, -1] - 1.0
        self._linear = torch.from_numpy(linear[::-1].astype(np.float32)).to(before.device)
        still = sampling.affine_over(linear[::-1], offset[::-1], tuple(before.shape[2:]))
        self._still = still[None].to(before.device)

    def __call__(self, displacement: torch.Tensor) -> torch.Tensor:
        """The positions (1, d, *shape) that x -> before(displacement(x)) gives, for `sampling.sample_normalised`."""
        whole = integration.compose_flows(self._before, displacement, "border", quick=True)
        return self._still + (self._linear @ whole[0].flatten(1)).view_as(whole)
