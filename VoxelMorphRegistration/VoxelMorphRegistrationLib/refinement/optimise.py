"""Gradient ascent of a similarity by a velocity: coarse to fine, each level until it gains no more."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ..flow import integration
from ..flow.filters import apply_separable, gaussian_matrices
from ..flow.sampling import Padding
from .finer import FinerLevel
from .forces import Force, Forces
from .levels import Lattice, level_shape
from .schemes import FINER, Level
from .updates import Updates
from .variation import squarings_for

_WEAK = 0.3  # of the strongest force: what `Scheme.even` moves two thirds as far


def optimise(
    forces: Forces,
    even: float,
    updates: Updates,
    padding: Padding,
    finer: Callable[[], FinerLevel] | None = None,
) -> torch.Tensor:
    """The velocity (1, d, *any), in voxels of its own grid, that raises the similarity of a pair of images (*shape).

    Its grid shares the corner voxel centres of the images' grid and is as fine or coarser.

    Args:
        even: see `Scheme`.
        updates: the levels, with how many each may take.
        padding: of the integration.
        finer: makes a last level of finer images, whose velocity lives on the images' grid.
    """
    whole = forces.images.shape
    dimension, device = len(whole), forces.images.fixed.device
    velocity = torch.zeros((1, dimension, *whole), device=device)
    started = False
    for level in updates.levels:
        if level.updates == 0:
            continue
        if finer is not None and level.factor == FINER:
            force, pull = finer()
            shape = whole
        else:
            force, pull = forces.at(forces.finest * level.factor), None
            shape = level_shape(force.shape, 2)
        velocity = integration.resize_flow(velocity, shape) if started else velocity.new_zeros((1, dimension, *shape))
        started = True
        ascent = _Ascent(force, Lattice(force.shape, shape, device, pull), level, even, padding)
        plateau = _Plateau(level.update_size, updates.ends)
        while plateau.updates < level.updates:
            value, update = ascent.update(velocity)
            length = plateau.next_size(value)
            if length is None:
                break
            velocity = ascent.moved(velocity, update, length)
            updates.count()
    return velocity


class _Ascent:
    """At one resolution: the force on a velocity that lives on a lattice's coarser grid."""

    def __init__(self, force: Force, lattice: Lattice, level: Level, even: float, padding: Padding) -> None:
        self._force, self._lattice, self._even, self._padding = force, lattice, even, padding
        shape, device = lattice.velocity_shape, lattice.device
        self._fluid = gaussian_matrices(shape, level.fluid, device)
        self._elastic = gaussian_matrices(shape, level.elastic, device) if level.elastic else None

    def update(self, velocity: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The similarity at a velocity, and its smoothed gradient, scaled so that its largest vector is one voxel
        long.
        """
        displacement = integration.integrate(velocity, squarings_for(velocity), self._padding, quick=True)
        value, gradient = self._force(displacement, self._lattice)
        gradient = apply_separable(gradient, self._fluid)
        length = (gradient * gradient).sum(1, keepdim=True).sqrt_()
        longest = length.max().clamp_min(1e-20)
        evened = (1 + _WEAK) / (length / longest + _WEAK)
        gradient *= torch.lerp(torch.ones_like(evened), evened, self._even) / longest
        return value, gradient

    def moved(self, velocity: torch.Tensor, update: torch.Tensor, size: float) -> torch.Tensor:
        moved = velocity + size * update
        return moved if self._elastic is None else apply_separable(moved, self._elastic)


class _Plateau:
    """Halves the updates, and in the end stops a level, where the last 5 gained less than 1 % of what the level did."""

    _LOOK_BACK, _SHARE, _SMALLEST = 5, 0.01, 0.2

    def __init__(self, size: float, ends: bool) -> None:
        self.updates = 0
        self._size, self._ends = size, ends
        self._smallest = size * self._SMALLEST
        self._values: list[float] = []

    def next_size(self, value: float) -> float | None:
        """The size of the update to take from a point of this similarity, or None to stop."""
        if not math.isfinite(value):
            return None
        self._values.append(value)
        self.updates += 1
        if len(self._values) > self._LOOK_BACK:
            recent = value - self._values[-1 - self._LOOK_BACK]
            if recent <= self._SHARE * (max(self._values) - self._values[0]):
                if self._ends and self._size <= self._smallest * 1.001:
                    return None
                self._size = max(self._size / 2, self._smallest)
        return self._size
