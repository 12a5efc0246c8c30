"""The frames of one sequence as training data: each with the reference, crop by crop."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import SimpleITK as sitk
import torch

from ..flow.integration import integrate, resize_flow
from ..flow.sampling import warp
from ..flow.similarity import LocalCorrelation
from ..flow.slabs import inside
from ..models.loading import Model
from ..network_space.grid import network_grid
from ..network_space.inputs import on_network_grid
from ..networks import Network
from ..networks.pyramid import PyramidNetwork
from ..registration.alignment import align
from ..registration.choices import Alignment
from ..space.checks import cleaned
from ..space.grid import Grid
from .loop import LoopSettings
from .losses import Loss, gradient_penalty


@dataclass(frozen=True)
class AdaptationSettings:
    """How a network is adapted.

    Attributes:
        loop: see `LoopSettings`.
        smoothness: weight of the mean squared gradient of the velocity, in voxels of the network's grid.
        window: edge of the correlation's windows in voxels.
        frames: at most so many frames are learned from, spread over the sequence.
        held_back: at most so many frames are kept to judge by.
        crop: greatest edge of what one step sees, in voxels; memory and time grow with its cube.
        align: as in `alignment.align`, before the network.
        seed: of the choice of frames held back and of the crops; with a budget in steps the same seed, thread count and
            machine give the same weights.
    """

    loop: LoopSettings = LoopSettings(learning_rate=2e-4, warmup=10, clip=1.0, average=0.97, check_every=20, patience=6)
    smoothness: float = 0.5
    window: int = 9
    frames: int = 24
    held_back: int = 4
    crop: int = 96
    align: Alignment = "none"
    seed: int = 0


class SequencePairs:
    """The sequence as pairs (frame, reference) on the network's grid, some to learn from and some to judge by.

    Attributes:
        learned, judged: numbers of the frames that are learned from, and of those held back.
    """

    def __init__(
        self, model: Model, frames: Sequence[sitk.Image], reference: int, settings: AdaptationSettings
    ) -> None:
        """Reads and prepares the frames that are wanted; the reference is the moving image."""
        self.settings = settings
        self.device = model.device
        self._generator = torch.Generator().manual_seed(settings.seed)
        others = [i for i in range(len(frames)) if i != reference]
        chosen = _spread(others, settings.frames + settings.held_back)
        count = min(settings.held_back, len(chosen) // 3)
        # With one or two frames there is nothing to spare: they are judged by what they learn from.
        self.judged = sorted(random.Random(settings.seed).sample(chosen, count)) if count else list(chosen)
        self.learned = [i for i in chosen if i not in self.judged] if count else list(chosen)
        self._moving = cleaned(frames[reference], "reference frame")[0]
        self._moving_on: tuple[Grid, torch.Tensor] | None = None
        self._pairs = {i: self._prepare(model, frames[i], i) for i in chosen}
        self._multiple = model.network.multiple

    def _prepare(self, model: Model, frame: sitk.Image, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        name = f"frame {index}"
        frame = cleaned(frame, name)[0]
        alignment = align(frame, self._moving, self.settings.align)
        grid = network_grid(frame, model.card.space).grid
        known = self._moving_on
        if alignment is not None or known is None or not known[0].same_as(grid, 1e-6):
            moving = on_network_grid(self._moving, grid, alignment, model.card.intensity, "reference frame").to(
                self.device
            )
            if alignment is None:
                self._moving_on = (grid, moving)
        else:
            moving = known[1]
        return on_network_grid(frame, grid, None, model.card.intensity, name).to(self.device), moving

    def state(self) -> torch.Tensor:
        """Of the generator, for a checkpoint."""
        return self._generator.get_state()

    def restore(self, state: torch.Tensor) -> None:
        """Go on from a checkpoint's state."""
        self._generator.set_state(state)

    def losses(self, network: Network, spent: float) -> Iterator[Loss]:
        """The losses of one crop of one frame: one for each pass of the network. None depends on the share spent."""
        index = self.learned[self._integer(len(self.learned))]
        fixed, moving = self._cropped(*self._pairs[index])
        for velocity, factor in _velocities(network, fixed, moving):
            yield self._loss(velocity, factor, fixed, moving, network)

    def evaluate(self, network: Network) -> dict[str, float]:
        """The mean loss and similarity over the frames held back."""
        totals: dict[str, float] = {}
        for index in self.judged:
            fixed, moving = self._pairs[index]
            flow = network.flow(fixed, moving)
            loss, parts = self._loss(flow.field, flow.factor, fixed, moving, network)
            for name, value in {"loss": loss, **parts}.items():
                totals[name] = totals.get(name, 0.0) + float(value) / len(self.judged)
        return totals

    def _loss(
        self, velocity: torch.Tensor, factor: int, fixed: torch.Tensor, moving: torch.Tensor, network: Network
    ) -> Loss:
        """1 - local correlation + the weighted smoothness of a velocity (1, d, *shape / factor)."""
        displacement = integrate(velocity, network.squarings, network.padding)
        if factor > 1:
            displacement = resize_flow(displacement, tuple(fixed.shape[2:]), scale=float(factor))
        similarity = LocalCorrelation(fixed, self.settings.window)(warp(moving, displacement, "border"))
        gradient = gradient_penalty(velocity)
        parts = {"similarity": similarity.detach(), "gradient": gradient.detach()}
        return Loss(1.0 - similarity + self.settings.smoothness * gradient, parts)

    def _cropped(self, fixed: torch.Tensor, moving: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same random crop of both, every edge a multiple of what the network wants."""
        edge = max(self._multiple, self.settings.crop // self._multiple * self._multiple)
        where: list[slice] = []
        for n in fixed.shape[2:]:
            size = min(n, edge)
            start = self._integer(n - size + 1)
            where.append(slice(start, start + size))
        return inside(fixed, tuple(where)), inside(moving, tuple(where))

    def _integer(self, below: int) -> int:
        return int(torch.randint(below, (), generator=self._generator))


def _velocities(network: Network, fixed: torch.Tensor, moving: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    """The velocity after each pass of the network, with its factor; the gradient reaches back one pass."""
    if not isinstance(network, PyramidNetwork):
        flow = network(fixed, moving)
        yield flow.field, flow.factor
        return
    velocity = None
    for factor in network.factors:
        velocity = network.improve(fixed, moving, velocity, factor)
        yield velocity, 1
        velocity = velocity.detach()


def _spread(items: list[int], count: int) -> list[int]:
    """At most `count` of the items, evenly from first to last."""
    if len(items) <= count:
        return items
    return [items[round(k * (len(items) - 1) / (count - 1))] for k in range(count)]
