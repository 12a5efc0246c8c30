"""How a change of velocity climbs a similarity: coarse to fine, each level until it gains no more.

The smoothing was chosen by known displacements and labels (Testing/benchmarks/accuracy), not by the similarity: in
its own domain a trained network beats the similarity's optimum, and following the similarity there loses overlap. Two
pairs want two smoothings. Where the start makes the images alike nearly everywhere, they show the same tissue, what
is left is small, and short motion would be noise; where it does not, two people differ in detail and short motion is
what is missing. How alike they are decides between the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch

from . import warping
from .refinement_forces import FORCES, Similarity, level_shape
from .separable import apply_separable, gaussian_matrices, resize_matrices


@dataclass(frozen=True)
class Scheme:
    """How a velocity is optimised. Lengths are voxels of the level's velocity grid (two image voxels of that level).

    Attributes:
        factors: how much coarser than the finest level each level is, and most_steps it may take.
        fluid: sigma of the smoothing of each update.
        elastic: sigma of the smoothing of the whole change after each update, level by level.
        step: largest update of a voxel.
    """

    factors: tuple[int, ...]
    most_steps: tuple[int, ...]
    fluid: float
    elastic: tuple[float, ...]
    step: float = 0.5


DETAILED = Scheme((4, 2, 1), (60, 60, 30), fluid=0.7, elastic=(0.4, 0.4, 0.3), step=0.3)
SMOOTH = Scheme((4, 2, 1), (60, 60, 12), fluid=1.6, elastic=(0.5, 0.5, 0.5), step=0.3)
OTHER_CONTRAST = Scheme((4, 2, 1), (20, 20, 8), fluid=3.0, elastic=(1.0, 1.0, 1.0))
_ALIKE = (0.82, 0.92)  # agreement: brains of two people reach .65-.82, frames of one patient .95, with much noise .85


def scheme_for(alike: float) -> Scheme:
    """The scheme for a pair of one contrast whose start reaches this `agreement`."""
    share = min(1.0, max(0.0, (alike - _ALIKE[0]) / (_ALIKE[1] - _ALIKE[0])))
    return replace(
        DETAILED,
        most_steps=tuple(round(a + share * (b - a)) for a, b in zip(DETAILED.most_steps, SMOOTH.most_steps)),
        fluid=DETAILED.fluid + share * (SMOOTH.fluid - DETAILED.fluid),
        elastic=tuple(a + share * (b - a) for a, b in zip(DETAILED.elastic, SMOOTH.elastic)),
    )


def ascend(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    start: torch.Tensor,
    scheme: Scheme,
    base: int,
    steps: int | Literal["auto"],
    similarity: Similarity,
    mask: torch.Tensor | None,
    padding: warping.Padding,
    progress: Callable[[int, int], None] | None,
) -> tuple[torch.Tensor | None, int]:
    """The change to the start's velocity, (1, d, *half the finest level's shape) in its voxels, and the number of updates.

    `base` is how much coarser than the images the finest level is; the other arguments are those of `refine`. The
    change is None where no step was allowed.
    """
    limits = scheme.most_steps if steps == "auto" else _shared_out(int(steps), scheme.most_steps)
    change, taken = None, 0
    for factor, limit, elastic in zip(scheme.factors, limits, scheme.elastic):
        if limit == 0:
            continue
        force = FORCES[similarity](fixed, moving, base * factor, mask)
        image_shape = tuple(force.moving.shape[2:])
        shape = level_shape(image_shape, 2)
        change = torch.zeros((1, len(shape), *shape), device=fixed.device) if change is None else warping.resize_flow(change, shape)
        level = _Level(force, warping.resize_flow(start, shape), image_shape, scheme.fluid, elastic, padding)
        stop = _Plateau(scheme.step, steps == "auto")
        while stop.steps < limit:
            value, update = level.update(change)
            step = stop.next_step(value)
            if step is None:
                break
            change = level.moved(change, update, step)
            taken += 1
            if progress is not None:
                progress(taken, sum(limits))
    return change, taken


class _Level:
    """One resolution: the force on a change of velocity that lives on half the image grid of the level."""

    def __init__(
        self,
        force,
        start: torch.Tensor,
        image_shape: tuple[int, ...],
        fluid: float,
        elastic: float,
        padding: warping.Padding,
    ):
        self._force, self._start, self._padding = force, start, padding
        shape, device = tuple(start.shape[2:]), start.device
        self._up = resize_matrices(shape, image_shape, device)
        self._down = [matrix.t() / matrix.t().sum(1, keepdim=True) for matrix in self._up]
        self._fluid = gaussian_matrices(shape, fluid, device)
        self._elastic = gaussian_matrices(shape, elastic, device)
        self._scale = _ratio(shape, image_shape, device)

    def update(self, change: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The similarity at start + change and the smoothed ascent, its largest vector one voxel long."""
        velocity = self._start + change
        # Enough squarings that the first displacement stays below a voxel: what is handed out is integrated in full.
        squarings = max(2, math.ceil(math.log2(max(float(velocity.abs().max()), 1e-3))))
        displacement = warping.integrate(velocity, squarings, self._padding)
        value, ascent = self._force(apply_separable(displacement, self._up) * self._scale)
        ascent = apply_separable(apply_separable(ascent, self._down), self._fluid)
        longest = float((ascent * ascent).sum(1).max()) ** 0.5
        return value, ascent / max(longest, 1e-20)

    def moved(self, change: torch.Tensor, update: torch.Tensor, step: float) -> torch.Tensor:
        return apply_separable(change + step * update, self._elastic)


class _Plateau:
    """When a level is done: the gain of the last updates is a small share of what the level gained."""

    _LOOK_BACK, _SHARE, _SMALLEST = 5, 0.01, 0.2

    def __init__(self, step: float, stops: bool):
        self.steps, self._step, self._stops = 0, step, stops
        self._smallest = step * self._SMALLEST
        self._values: list[float] = []

    def next_step(self, value: float) -> float | None:
        """The step to take from a point of this similarity, or None to stop."""
        if not math.isfinite(value):
            return None
        self._values.append(value)
        self.steps += 1
        if len(self._values) > self._LOOK_BACK:
            recent = value - self._values[-1 - self._LOOK_BACK]
            if recent <= self._SHARE * (max(self._values) - self._values[0]):
                if self._stops and self._step <= self._smallest * 1.001:
                    return None
                self._step = max(self._step / 2, self._smallest)
        return self._step


def _shared_out(steps: int, most: tuple[int, ...]) -> tuple[int, ...]:
    """`steps` updates in the proportions of `most`, none lost; few go to the finest level, where they cost most."""
    shares = [int(steps * m / sum(most)) for m in most]
    shares[0] += steps - sum(shares)
    return tuple(shares)


def _ratio(old, new, device) -> torch.Tensor:
    scale = [(n - 1) / max(o - 1, 1) for n, o in zip(new, old)]
    return torch.tensor(scale, device=device).view(1, -1, *[1] * len(scale))

