"""Gradient ascent of a similarity by a change of velocity: coarse to fine, each level until it gains no more."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..flow import integration
from ..flow.filters import apply_separable, gaussian_matrices
from ..flow.sampling import Padding
from .forces import Force, Forces
from .levels import Lattice, level_shape
from .pair import ImagePair
from .schemes import Scheme
from .settings import RefinementSettings

_WEAK = 0.3  # of the strongest force: what `Scheme.even` moves two thirds as far


@dataclass(frozen=True)
class Optimised:
    """What `optimise` found.

    Attributes:
        change: (1, d, *any) to be added to the start's velocity, in voxels of its own grid, which shares the corner
            voxel centres of the start's grid and is as fine or coarser.
        updates: how many were taken, over all levels.
    """

    change: torch.Tensor
    updates: int


def optimise(
    forces: Forces,
    start: torch.Tensor,
    scheme: Scheme,
    settings: RefinementSettings,
    finer: Callable[[], ImagePair] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Optimised:
    """The change to a velocity that raises the similarity of a pair, smoothed as the scheme says.

    Args:
        forces: between the pair's images, (*shape).
        start: velocity (1, d, *shape), in voxels. It is never smoothed: what is optimised is the change to it.
        settings: `updates` is at least 1, or 'auto'.
        finer: makes the images of a last level on a finer grid, whose velocity lives on the start's grid.
        progress: called after each update with (updates done, most updates possible).
    """
    limits = _limits(scheme, settings, finer is not None)
    dimension, device = start.shape[1], start.device
    change: torch.Tensor | None = None
    taken = 0
    for number, limit in enumerate(limits):
        if limit == 0:
            continue
        if finer is not None and number == len(scheme.factors):
            force = Forces(finer(), forces.similarity).at(1)
            shape = tuple(start.shape[2:])
            elastic, size = scheme.finer_elastic, scheme.finer_update_size
        else:
            force = forces.at(forces.finest * scheme.factors[number])
            shape = level_shape(force.moving.shape[2:], 2)
            elastic, size = scheme.elastic[number], scheme.update_size
        if change is None:
            change = torch.zeros((1, dimension, *shape), device=device)
        else:
            change = integration.resize_flow(change, shape)
        level = _Level(force, integration.resize_flow(start, shape), scheme, elastic, settings.padding)
        plateau = _Plateau(size, ends=settings.updates == "auto")
        while plateau.updates < limit:
            value, update = level.update(change)
            length = plateau.next_size(value)
            if length is None:
                break
            change = level.moved(change, update, length)
            taken += 1
            if progress is not None:
                progress(taken, sum(limits))
    return Optimised(torch.zeros_like(start) if change is None else change, taken)


class _Level:
    """One resolution: the force on a change of velocity that lives on a coarser grid than the level's images."""

    def __init__(self, force: Force, start: torch.Tensor, scheme: Scheme, elastic: float, padding: Padding) -> None:
        self._force, self._start, self._even, self._padding = force, start, scheme.even, padding
        shape, device = tuple(start.shape[2:]), start.device
        self._lattice = Lattice(force.moving.shape[2:], shape, device)
        self._fluid = gaussian_matrices(shape, scheme.fluid, device)
        self._elastic = gaussian_matrices(shape, elastic, device)

    def update(self, change: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The similarity at start + change, and its smoothed gradient, scaled so that its largest vector is one voxel
        long.
        """
        velocity = self._start + change
        # Enough squarings that the first displacement stays below a voxel: what is handed out is integrated in full.
        squarings = max(2, math.ceil(math.log2(max(float(velocity.abs().max()), 1e-3))))
        displacement = integration.integrate(velocity, squarings, self._padding)
        value, gradient = self._force(displacement, self._lattice)
        gradient = apply_separable(gradient, self._fluid)
        length = (gradient * gradient).sum(1, keepdim=True).sqrt_()
        longest = length.max().clamp_min(1e-20)
        evened = (1 + _WEAK) / (length / longest + _WEAK)
        gradient *= torch.lerp(torch.ones_like(evened), evened, self._even) / longest
        return value, gradient

    def moved(self, change: torch.Tensor, update: torch.Tensor, size: float) -> torch.Tensor:
        return apply_separable(change + size * update, self._elastic)


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


def _limits(scheme: Scheme, settings: RefinementSettings, with_finer: bool) -> tuple[int, ...]:
    """The most updates of each level; a fixed number is shared out in the proportions of these, none lost."""
    most = scheme.most_updates
    if with_finer:
        most = (*most[:-1], most[-1] - scheme.finer_updates, scheme.finer_updates)
    if settings.updates == "auto":
        return most
    # Rounded down, and the rest to the coarsest level: few go to the finest, where they cost most.
    shares = [int(settings.updates * m / sum(most)) for m in most]
    shares[0] += settings.updates - sum(shares)
    return tuple(shares)
