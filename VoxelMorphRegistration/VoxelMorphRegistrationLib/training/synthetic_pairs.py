"""Synthetic pairs as training data: harder by and by, met by one of several schedules of passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..networks.pyramid import PyramidNetwork
from .loop import LoopSettings
from .losses import Loss, pair_loss
from .random_draws import Draw
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
        schedules: the passes a pair is met with are one of these, each with its learning step. At full resolution those
            from the third on have motion cues of the architecture's `further_windows`, in their order, the repeated
            ones once, as two people are met when the network is used.
        half_precision: run the convolutions in bfloat16; coordinates and losses stay float32. None: where the device
            computes in it. A processor that only emulates it takes thirty times as long.
        batch: pairs that are learned from together: one on a CPU, as many as fill a GPU there.
    """

    architecture: dict = field(default_factory=lambda: dict(ARCHITECTURE))
    synthesis: SynthesisSettings = SynthesisSettings()
    loop: LoopSettings = LoopSettings(accumulate=3)
    schedules: tuple[tuple[int, ...], ...] = ((4, 2, 1), (4, 4, 2, 2, 1, 1), (4, 2, 1, 1, 1, 1), (2, 1, 1))
    curriculum: float = 0.1
    smoothness: float = 0.2
    held_back: int = 8
    seed: int = 0
    half_precision: bool | None = None
    batch: int = 1


class SyntheticPairs:
    """New synthetic pairs for every step, and some held back that are the same in every run.

    What is learned from is drawn from a generator of its own, seeded by the settings.
    """

    def __init__(self, settings: PretrainingSettings, device: torch.device) -> None:
        self.settings = settings
        self.device = device
        wanted = settings.half_precision
        self._half_precision = _computes_in_bfloat16(device) if wanted is None else wanted
        self._draw = Draw(settings.seed, device)
        held_back = Draw(HELD_BACK_SEED, device)
        self._held_back = [synthesise(settings.synthesis, held_back) for _ in range(settings.held_back)]

    def state(self) -> torch.Tensor:
        """Of the random numbers, for a checkpoint."""
        return self._draw.state()

    def restore(self, state: torch.Tensor) -> None:
        """Go on from a checkpoint's state."""
        self._draw.restore(state)

    def losses(self, network: PyramidNetwork, spent: float) -> Iterator[Loss]:
        """The losses of the passes over one new pair; each pass sees what those before it left over."""
        difficulty = self._difficulty(spent)
        pair = Pair.batch([synthesise(difficulty, self._draw) for _ in range(self.settings.batch)])
        choice = self._draw.integer(0, len(self.settings.schedules) - 1)
        velocity = None
        further = [(window, *network.cue_windows[1:]) for window in dict.fromkeys(network.further_windows)]
        full = 0
        for factor in self.settings.schedules[choice]:
            full += factor == 1
            windows = further[min(full - 3, len(further) - 1)] if full > 2 and further else network.cue_windows
            velocity = self._improved(network, pair, velocity, factor, windows)
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
        self,
        network: PyramidNetwork,
        pair: Pair,
        velocity: torch.Tensor | None,
        factor: int,
        windows: tuple[int, ...],
    ) -> torch.Tensor:
        # oneDNN's bfloat16 gradient of a convolution's weights is wrong on two voxels an axis (torch 2.13): leave it
        # aside where the deepest level comes down to that.
        deepest = min(pair.fixed.shape[2:]) // (factor * network.multiple)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half_precision and deepest >= 3):
            return network.improve(pair.fixed, pair.moving, velocity, factor, windows)

    def evaluate(self, network: PyramidNetwork) -> dict[str, float]:
        """Mean loss, its parts and the end-point error in voxels over the held-back pairs, by the card's passes."""
        totals: dict[str, float] = {}
        for pair in self._held_back:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half_precision):
                flow = network(pair.fixed, pair.moving)
            loss, parts = pair_loss(flow.field, pair, 1, self.settings.smoothness)
            difference = flow.displacement(tuple(pair.fixed.shape[2:])) - pair.displacement
            error = difference.pow(2).sum(1, keepdim=True).sqrt()
            measures = {"loss": loss, "error": (error * pair.weight).sum() / pair.weight.sum()}
            for name, value in {**measures, **{f"held_{name}": value for name, value in parts.items()}}.items():
                totals[name] = totals.get(name, 0.0) + float(value) / len(self._held_back)
        return totals


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # PyTorch has no public name for what an x86 processor has; without this one it is taken to have nothing.
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and asked is not None and asked()
