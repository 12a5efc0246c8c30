"""Adaptation: the unsupervised training VoxelMorph was made for, on the frames of one sequence.

A network that has seen something like them learns these very frames: local correlation and smoothness, no labels. Some
frames are held back, and what is kept is the state of the network that does best on those, the one it began with
included.
"""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import SimpleITK as sitk
import torch

from ..errors import InputError
from ..flow.integration import integrate, resize_flow
from ..flow.sampling import warp
from ..flow.similarity import LocalCorrelation
from ..models.loading import Model
from ..network_space.grid import network_grid
from ..network_space.inputs import cleaned, on_network_grid
from ..networks import Network
from ..networks.pyramid import PyramidNetwork
from ..registration.alignment import align
from .budget import Budget, parse_budget
from .loop import Loop, LoopSettings, Losses
from .losses import gradient_penalty
from .saving import write_model


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
    """

    loop: LoopSettings = LoopSettings(learning_rate=2e-4, warmup=10, clip=1.0, average=0.97, check_every=20, patience=6)
    smoothness: float = 0.5
    window: int = 9
    frames: int = 24
    held_back: int = 4
    crop: int = 96
    align: str = "none"


def adapt(
    model: Model,
    frames: Sequence[sitk.Image],
    *,
    reference: int,
    budget: str | Budget,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Callable[[float, dict], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    output: str | Path | None = None,
    settings: AdaptationSettings | None = None,
) -> Model:
    """The model, adapted to pulling the reference frame onto the other frames of a sequence. `model` is left as it was.

    With a budget in steps the same seed, thread count and machine give the same weights; a time gives what the machine
    can do in it.

    Args:
        frames: anything with len() and [i] -> image; only those that are learned from are read.
        reference: index of the moving image.
        budget: '5min', '90s', '500steps'.
        progress: called after each step with the share of the budget spent and the latest evaluation.
        cancelled: asked before each step; True ends the adaptation, and the best so far is returned.
        output: weights file (.pt) to write, with its card beside it.

    Raises:
        InputError: a budget that cannot be read, fewer than two frames, a model that gives no velocity.
    """
    settings = settings or AdaptationSettings()
    budget = parse_budget(budget)
    if model.network.kind != "velocity":
        raise InputError(f"model {model.name}: it predicts a displacement, and only networks of velocities are adapted")
    if len(frames) < 2 or not -len(frames) <= reference < len(frames):
        raise InputError(f"adaptation: {len(frames)} frames with reference {reference}; at least two frames are needed")
    device = torch.device(device)
    network = copy.deepcopy(model.network).to(device)
    data = _Frames(model, frames, reference % len(frames), seed, device, settings)
    loop = Loop(network, data.losses, data.evaluate, settings.loop, budget)
    result = loop.run(progress, cancelled)
    training = {
        "adapted_from": {"name": model.name, "sha256": model.sha256},
        "frames": data.learned,
        "held_back_frames": data.judged,
        "reference": reference,
        "budget": vars(budget),
        "seed": seed,
        "steps": result.step,
        "seconds": round(result.seconds, 1),
        "held_back_loss": {"before": result.rows[0]["loss"], "after": result.best},
    }
    card = replace(
        model.card,
        name=model.card.name if model.card.name.endswith("-adapted") else f"{model.card.name}-adapted",
        title=f"{model.card.title or model.card.name}, adapted to a sequence",
        architecture=dict(model.card.architecture),
        training=training,
        weights="",
        sha256=None,
    )
    network = network.to(model.device)
    if output is None:
        return replace(model, card=card, network=network, sha256=_digest(network))
    path = Path(output)
    if path.suffix != ".pt":
        raise InputError(f"{path}: adapted weights are written as .pt; give such a name")
    path.parent.mkdir(parents=True, exist_ok=True)
    card = write_model(network, card, path)
    return replace(model, card=card, network=network, sha256=card.sha256, path=path)


class _Frames:
    """The sequence as pairs (frame, reference) on the network's grid, some to learn from and some to judge by."""

    def __init__(
        self,
        model: Model,
        frames: Sequence[sitk.Image],
        reference: int,
        seed: int,
        device: torch.device,
        settings: AdaptationSettings,
    ) -> None:
        self.settings = settings
        self.device = device
        self.generator = torch.Generator().manual_seed(seed)
        others = [i for i in range(len(frames)) if i != reference]
        chosen = _spread(others, settings.frames + settings.held_back)
        count = min(settings.held_back, len(chosen) // 3)
        # With one or two frames there is nothing to spare: they are judged by what they learn from.
        self.judged = sorted(random.Random(seed).sample(chosen, count)) if count else list(chosen)
        self.learned = [i for i in chosen if i not in self.judged] if count else list(chosen)
        self._moving = cleaned(frames[reference], "reference frame", [])
        self._moving_on: tuple | None = None
        self._pairs = {i: self._prepare(model, frames[i], i) for i in chosen}
        self._multiple = model.network.multiple

    def _prepare(self, model: Model, frame: sitk.Image, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        name = f"frame {index}"
        frame = cleaned(frame, name, [])
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

    def losses(self, network: Network) -> Losses:
        """The losses of one crop of one frame: one for each look the network takes."""
        index = self.learned[self._integer(len(self.learned))]
        fixed, moving = self._cropped(*self._pairs[index])
        for velocity, factor in _looks(network, fixed, moving):
            yield self._loss(velocity, factor, fixed, moving, network)

    def evaluate(self, network: Network) -> dict[str, float]:
        """The mean loss and similarity over the frames held back."""
        totals: dict[str, float] = {}
        for index in self.judged:
            fixed, moving = self._pairs[index]
            flow = network.flow(fixed, moving)
            loss, parts = self._loss(flow.field, flow.factor, fixed, moving, network)
            for name, value in {"loss": float(loss), **parts}.items():
                totals[name] = totals.get(name, 0.0) + value / len(self.judged)
        return totals

    def _loss(
        self, velocity: torch.Tensor, factor: int, fixed: torch.Tensor, moving: torch.Tensor, network: Network
    ) -> tuple[torch.Tensor, dict[str, float]]:
        displacement = integrate(velocity, network.steps, network.padding)
        if factor > 1:
            displacement = resize_flow(displacement, tuple(fixed.shape[2:]), scale=float(factor))
        similarity = LocalCorrelation(fixed, self.settings.window)(warp(moving, displacement, "border"))
        gradient = gradient_penalty(velocity)
        parts = {"similarity": float(similarity.detach()), "gradient": float(gradient.detach())}
        return 1.0 - similarity + self.settings.smoothness * gradient, parts

    def _cropped(self, fixed: torch.Tensor, moving: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same random crop of both, every edge a multiple of what the network wants."""
        edge = max(self._multiple, self.settings.crop // self._multiple * self._multiple)
        where: list[slice] = [slice(None), slice(None)]
        for n in fixed.shape[2:]:
            size = min(n, edge)
            start = self._integer(n - size + 1)
            where.append(slice(start, start + size))
        return fixed[tuple(where)], moving[tuple(where)]

    def _integer(self, below: int) -> int:
        return int(torch.randint(below, (), generator=self.generator))


def _looks(network: Network, fixed: torch.Tensor, moving: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    """The velocity after each look of the network at the pair, with its factor; the gradient reaches back one look."""
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


def _digest(network: Network) -> str:
    """A checksum of weights that are in no file."""
    digest = hashlib.sha256()
    for key, value in network.module.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
