"""Synthetic pairs as training data: harder by and by, met by one of several schedules of passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..networks.pyramid import PyramidNetwork
from .loop import LoopSettings
from .losses import Loss, pair_loss
from .synthesis import Pair, SynthesisSettings, synthesise

ARCHITECTURE: dict[str, Any] = {
    "class": "VxmPairwise",
    "ndim": 3,
    "features": [[8, 32, 64], [64, 32, 16]],
    "activation": "leaky_relu",
    "negative_slope": 0.2,
    "integration_steps": 7,
    "padding": "border",
    "pyramid": [8, 8, 4, 4, 2, 2, 1, 1],
    "cue_windows": [7],
    "symmetric": True,
    "further_windows": [5, 5, 5, 5, 3, 3],
}
HELD_BACK_SEED = 987_654_321


@dataclass(frozen=True)
class PretrainingSettings:
    """One training run, all that is needed to do it again.

    Attributes:
        curriculum: the share of the budget in which contrast changes and large motions come in, from none and few.
        schedules: the passes a pair is met with are one of these, each with its learning step.
        half_precision: run the convolutions in bfloat16; coordinates and losses stay float32.
    """

    architecture: dict = field(default_factory=lambda: dict(ARCHITECTURE))
    synthesis: SynthesisSettings = SynthesisSettings()
    loop: LoopSettings = LoopSettings(accumulate=3)
    schedules: tuple[tuple[int, ...], ...] = ((4, 2, 1), (4, 4, 2, 2, 1, 1), (4, 2, 2, 1, 1, 1), (2, 1, 1))
    curriculum: float = 0.1
    smoothness: float = 0.2
    held_back: int = 8
    seed: int = 0
    half_precision: bool = True


class SyntheticPairs:
    """New synthetic pairs for every step, and some held back that are the same in every run.

    What is learned from is drawn from a generator of its own, seeded by the settings.
    """

    def __init__(self, settings: PretrainingSettings, device: torch.device) -> None:
        self.settings = settings
        self.device = device
        self._generator = torch.Generator(device).manual_seed(settings.seed)
        held_back = torch.Generator(device).manual_seed(HELD_BACK_SEED)
        self._held_back = [synthesise(settings.synthesis, held_back) for _ in range(settings.held_back)]

    def state(self) -> torch.Tensor:
        """Of the generator, for a checkpoint."""
        return self._generator.get_state()

    def restore(self, state: torch.Tensor) -> None:
        """Go on from a checkpoint's state."""
        self._generator.set_state(state.cpu())

    def losses(self, network: PyramidNetwork, spent: float) -> Iterator[Loss]:
        """The losses of the passes over one new pair; each pass sees what those before it left over."""
        pair = synthesise(self._difficulty(spent), self._generator)
        choice = int(torch.randint(len(self.settings.schedules), (), generator=self._generator, device=self.device))
        velocity = None
        for factor in self.settings.schedules[choice]:
            velocity = self._improved(network, pair, velocity, factor)
            yield pair_loss(velocity, pair, 1 if factor == 1 else 2, self.settings.smoothness)
            velocity = velocity.detach()

    def _difficulty(self, spent: float) -> SynthesisSettings:
        settings = self.settings.synthesis
        share = spent / self.settings.curriculum if self.settings.curriculum > 0 else 1.0
        reached = min(1.0, share)
        low, high = settings.displacement
        return replace(
            settings,
            contrast_change=settings.contrast_change * reached,
            displacement=(low, low + (high - low) * (0.5 + 0.5 * reached)),
        )

    def _improved(
        self, network: PyramidNetwork, pair: Pair, velocity: torch.Tensor | None, factor: int
    ) -> torch.Tensor:
        # oneDNN's bfloat16 gradient of a convolution's weights is wrong on two voxels an axis (torch 2.13): leave it
        # aside where the deepest level comes down to that.
        deepest = min(pair.fixed.shape[2:]) // (factor * network.multiple)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.half_precision and deepest >= 3):
            return network.improve(pair.fixed, pair.moving, velocity, factor)

    def evaluate(self, network: PyramidNetwork) -> dict[str, float]:
        """Mean loss, its parts and the end-point error in voxels over the held-back pairs, by the card's passes."""
        totals: dict[str, float] = {}
        for pair in self._held_back:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.half_precision):
                flow = network(pair.fixed, pair.moving)
            loss, parts = pair_loss(flow.field, pair, 1, self.settings.smoothness)
            difference = flow.displacement(tuple(pair.fixed.shape[2:])) - pair.displacement
            error = difference.pow(2).sum(1, keepdim=True).sqrt()
            measures = {"loss": float(loss), "error": float((error * pair.weight).sum() / pair.weight.sum())}
            for name, value in {**measures, **{f"held_{name}": value for name, value in parts.items()}}.items():
                totals[name] = totals.get(name, 0.0) + value / len(self._held_back)
        return totals
