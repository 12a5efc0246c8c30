"""What a network predicts for a pair: a field on its own grid, and how to read it as a displacement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch

from ..flow.integration import integrate, integrate_coarsely, resize_flow
from ..flow.sampling import Padding
from ..flow.surroundings import Surroundings


@dataclass(frozen=True)
class Flow:
    """A predicted field that pulls the moving image onto the fixed grid: `warped(x) = moving(x + u(x))`.

    Attributes:
        field: (B, d, *any), float32, in voxels of its own grid, which shares its corner voxel centres with the
            network's; channel c is along array axis c.
        kind: 'velocity' is a stationary velocity field, to be integrated; 'displacement' is u itself.
        factor: what VoxelMorph multiplies a displacement by that it predicts on a coarser grid (2, ...); 1 for what
            keeps its length in mm, on as fine a grid or a coarser one.
        padding: what the integration samples outside the grid: 'zeros' for networks made with VoxelMorph's torch
            versions, 'border' for TensorFlow's.
        squarings: of the integration, a displacement scaled by 2 ** -squarings composed with itself as many times
            (unused for a displacement).
        unfinished: whether the network would have repeated its last pass, had it been let.
        detailed: where a velocity on the network's own grid has full detail, if not everywhere; and then `elsewhere`
            is its displacement around that, (B, d, *shape).
    """

    field: torch.Tensor
    kind: Literal["velocity", "displacement"]
    factor: int = 1
    padding: Padding = "zeros"
    squarings: int = 7
    unfinished: bool = False
    detailed: Surroundings | None = None
    elsewhere: torch.Tensor | None = None

    def displacement(self, shape: tuple[int, ...]) -> torch.Tensor:
        """u on the network's input grid of array shape `shape`: (B, d, *shape), in voxels of that grid."""
        if self.detailed is not None and self.elsewhere is not None:
            return self.detailed.integrated(self.field, self.elsewhere, self.squarings, self.padding)
        return self._at_full_resolution(self.field, shape)

    def rough_displacement(self, shape: tuple[int, ...]) -> torch.Tensor:
        """`displacement` integrated on every second voxel: less exact, a sixth of the time, for what is not kept."""
        if self.kind == "velocity" and tuple(self.field.shape[2:]) == tuple(shape):
            return self._integrated_coarsely
        return self.displacement(shape)

    def inverse(self, shape: tuple[int, ...]) -> torch.Tensor | None:
        """The inverse displacement, exp(-v), shaped as `displacement`; None where the network gives no velocity."""
        if self.kind != "velocity":
            return None
        return self._at_full_resolution(-self.field, shape)

    @cached_property
    def _integrated_coarsely(self) -> torch.Tensor:
        return integrate_coarsely(self.field, self.squarings, self.padding)

    def faded(self, share: torch.Tensor) -> Flow:
        """The flow of a share of the field, (1, 1, *any)."""
        return replace(self, field=self.field * share, detailed=None, elsewhere=None)

    def _at_full_resolution(self, field: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        if self.kind == "velocity":
            field = integrate(field, self.squarings, self.padding)
        # VoxelMorph maps corner centre to corner centre (align_corners) and yet multiplies by the factor itself, not by
        # (n - 1) / (m - 1): its networks were trained with exactly this field.
        return resize_flow(field, tuple(shape), None if self.factor == 1 else float(self.factor))
