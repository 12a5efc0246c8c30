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

from ..flow import integration
from ..flow.filters import apply_separable, gaussian_matrices
from ..flow.sampling import Padding
from .forces import Forces, Images, Lattice, level_shape


@dataclass(frozen=True)
class Scheme:
    """How a velocity is optimised. Lengths are voxels of the level's velocity grid (two image voxels of that level).

    Attributes:
        factors: how much coarser than the images each level is, and most_steps it may take.
        fluid: sigma of the smoothing of each update.
        elastic: sigma of the smoothing of the whole change after each update, level by level.
        step: largest update of a voxel.
        even: 0 moves every voxel in proportion to its force; 1 moves weak forces nearly as far as strong ones, which
            ends in half the steps, but follows noise.
        finer_steps: how many of the last level's steps are taken with images of twice the resolution, where there are
            any; finer_elastic and finer_step are theirs.
    """

    factors: tuple[int, ...]
    most_steps: tuple[int, ...]
    fluid: float
    elastic: tuple[float, ...]
    step: float = 0.5
    even: float = 0.0
    finer_steps: int = 0
    finer_elastic: float = 0.0
    finer_step: float = 0.5


DETAILED = Scheme(
    (4, 2, 1), (60, 60, 20), fluid=0.7, elastic=(0.4, 0.4, 0.3), step=0.3, even=1.0, finer_steps=6, finer_elastic=0.3
)
SMOOTH = Scheme((4, 2, 1), (60, 60, 12), fluid=1.6, elastic=(0.5, 0.5, 0.5), step=0.3, finer_elastic=0.5)
OTHER_CONTRAST = Scheme((4, 2, 1), (20, 20, 8), fluid=3.0, elastic=(1.0, 1.0, 1.0))
_ALIKE = (0.82, 0.92)  # agreement: brains of two people reach .65-.82, frames of one patient .95, with much noise .85
_WEAK = 0.3  # of the strongest force: what `even` moves two thirds as far


def scheme_for(alike: float) -> Scheme:
    """The scheme for a pair of one contrast whose start reaches this `agreement`."""
    share = min(1.0, max(0.0, (alike - _ALIKE[0]) / (_ALIKE[1] - _ALIKE[0])))

    def between(one: float, other: float) -> float:
        return one + share * (other - one)

    return replace(
        DETAILED,
        most_steps=tuple(round(between(*pair)) for pair in zip(DETAILED.most_steps, SMOOTH.most_steps)),
        fluid=between(DETAILED.fluid, SMOOTH.fluid),
        elastic=tuple(between(*pair) for pair in zip(DETAILED.elastic, SMOOTH.elastic)),
        even=between(DETAILED.even, SMOOTH.even),
        finer_steps=round(between(DETAILED.finer_steps, SMOOTH.finer_steps)),
        finer_elastic=between(DETAILED.finer_elastic, SMOOTH.finer_elastic),
    )


def ascend(
    forces: Forces,
    start: torch.Tensor,
    scheme: Scheme,
    base: int,
    steps: int | Literal["auto"],
    padding: Padding,
    progress: Callable[[int, int], None] | None,
    finer: Callable[[], Images] | None = None,
) -> tuple[torch.Tensor | None, int]:
    """The change to the start's velocity in voxels of its own grid, and the number of updates.

    That grid is half the finest level's, or with `finer` images the start's. `base` is how much coarser than the images
    of `forces` the finest level is; the other arguments are those of `refine`. The change is None where no step was
    allowed.
    """
    *coarser, last = scheme.most_steps
    most = (*coarser, last) if finer is None else (*coarser, last - scheme.finer_steps, scheme.finer_steps)
    limits = most if steps == "auto" else _shared_out(int(steps), most)
    change, taken = None, 0
    for number, limit in enumerate(limits):
        if limit == 0:
            continue
        finest = number == len(scheme.factors)
        force = Forces(finer(), forces.similarity).at(1) if finest else forces.at(base * scheme.factors[number])
        image_shape = tuple(force.moving.shape[2:])
        shape = tuple(start.shape[2:]) if finest else level_shape(image_shape, 2)
        change = (
            torch.zeros((1, len(shape), *shape), device=start.device)
            if change is None
            else integration.resize_flow(change, shape)
        )
        elastic = scheme.finer_elastic if finest else scheme.elastic[number]
        level = _Level(force, integration.resize_flow(start, shape), image_shape, scheme, elastic, padding)
        stop = _Plateau(scheme.finer_step if finest else scheme.step, steps == "auto")
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
        scheme: Scheme,
        elastic: float,
        padding: Padding,
    ):
        self._force, self._start, self._even, self._padding = force, start, scheme.even, padding
        shape, device = tuple(start.shape[2:]), start.device
        self._lattice = Lattice(image_shape, shape, device)
        self._fluid = gaussian_matrices(shape, scheme.fluid, device)
        self._elastic = gaussian_matrices(shape, elastic, device)

    def update(self, change: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The similarity at start + change and the smoothed ascent, its largest vector one voxel long."""
        velocity = self._start + change
        # Enough squarings that the first displacement stays below a voxel: what is handed out is integrated in full.
        squarings = max(2, math.ceil(math.log2(max(float(velocity.abs().max()), 1e-3))))
        displacement = integration.integrate(velocity, squarings, self._padding)
        value, ascent = self._force(displacement, self._lattice)
        ascent = apply_separable(ascent, self._fluid)
        length = (ascent * ascent).sum(1, keepdim=True).sqrt_()
        longest = length.max().clamp_min(1e-20)
        evened = (1 + _WEAK) / (length / longest + _WEAK)
        ascent *= torch.lerp(torch.ones_like(evened), evened, self._even) / longest
        return value, ascent

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
