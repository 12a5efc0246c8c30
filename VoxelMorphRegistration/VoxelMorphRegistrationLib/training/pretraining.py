"""Training of a contrast-agnostic network on synthetic pairs, from nothing to a model that `load_model` takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError
from ..models.card import Card
from ..models.weights import file_sha256, read_weights
from ..network_space.intensity import Percentile
from ..network_space.space import Space
from ..networks import build_network
from ..networks.pyramid import PyramidNetwork
from .budget import Budget
from .loop import Loop, LoopSettings, Losses, Progress
from .losses import pair_loss
from .saving import write_log, write_model
from .synthesis import Pair, SynthesisSettings, synthesise

ARCHITECTURE = {
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
SPACE = Space("SPL", spacing=2.0, multiple=8, max_voxels=2_500_000, flexible=True)
# Equalising does for real images what random intensities do for synthetic ones: contrast wherever there is tissue.
INTENSITY = Percentile(1, 99, equalise=0.5)
CITATION = (
    "Hoffmann et al., SynthMorph: learning contrast-invariant registration without acquired images, IEEE TMI 2022; "
    "Balakrishnan et al., VoxelMorph: a learning framework for deformable medical image registration, IEEE TMI 2019"
)
HELD_BACK_SEED = 987_654_321
_LEAST_VOXELS = 8


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


def new_network(architecture: dict, seed: int) -> PyramidNetwork:
    """A network with Kaiming-initialised convolutions and a flow layer that starts near zero.

    PyTorch's own initialisation lets the signal die on the way through this U-Net: its gain is that of a slope of
    sqrt(5), not of the activation's.
    """
    torch.manual_seed(seed)
    network = build_network(architecture)
    slope = architecture.get("negative_slope", 0.01)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight, a=slope, nonlinearity="leaky_relu")
            nn.init.zeros_(module.bias)
    with torch.no_grad():
        for parameter in network.module.flow_layer.parameters():
            parameter.mul_(0.02)
    return network


def grow_from(module: nn.Module, state: dict[str, torch.Tensor], name: str) -> None:
    """Give `module` the weights of a network with fewer inputs or encoder features; at first it does what that one
    does.

    What is new listens and is not yet heard: weights from added channels to old ones are zero, all others stay as they
    were initialised (Chen et al., Net2Net: accelerating learning via knowledge transfer, ICLR 2016).

    Raises:
        InputError: the networks differ by more than that; `name` is what the message calls the weights.
    """
    own = module.state_dict()

    def fits(key: str, tensor: torch.Tensor) -> bool:
        old, new = tensor.shape, own[key].shape
        # Of the encoder alone the channels come last wherever they are joined with others.
        same_outputs = old[:1] == new[:1] or "downsampling" in key
        return same_outputs and len(old) == len(new) and all(n <= m for n, m in zip(old, new))

    if set(own) != set(state) or not all(fits(key, tensor) for key, tensor in state.items()):
        raise InputError(f"{name}: these weights are no smaller form of the network to be trained; check --features")
    for key, tensor in state.items():
        grown = own[key]
        grown[: len(tensor)] = 0
        grown[tuple(slice(n) for n in tensor.shape)] = tensor
    module.load_state_dict(own)


class Pretraining:
    """A run: `Pretraining(settings, budget, folder).run()` leaves `model.pt`, `model.json` and `log.csv` there."""

    def __init__(
        self,
        settings: PretrainingSettings,
        budget: Budget,
        folder: Path,
        device: str = "cpu",
        start: Path | None = None,
    ) -> None:
        """`start`: weights (.pt) to begin with in place of random ones, of this architecture or of a smaller one."""
        self.settings = settings
        self.folder = folder
        self.device = torch.device(device)
        folder.mkdir(parents=True, exist_ok=True)
        network = new_network(settings.architecture, settings.seed)
        if start is not None:
            grow_from(network.module, read_weights(start, settings.architecture).state, str(start))
        # Passes that would see next to nothing of images this small say nothing of how they do with large ones.
        edge = min(settings.synthesis.shape)
        network.factors = tuple(f for f in network.factors if f == 1 or edge // f >= _LEAST_VOXELS)
        self.start = None if start is None else file_sha256(start)
        network = network.to(self.device).to(memory_format=torch.channels_last_3d)
        self.generator = torch.Generator(self.device).manual_seed(settings.seed)
        held_back = torch.Generator(self.device).manual_seed(HELD_BACK_SEED)
        self.held_back = [synthesise(settings.synthesis, held_back) for _ in range(settings.held_back)]
        self.loop = Loop(
            network,
            self.losses,
            self.evaluate,
            settings.loop,
            budget,
            folder / "checkpoint.pt",
            self.generator.get_state,
            lambda state: self.generator.set_state(state.cpu()),
        )

    def losses(self, network: PyramidNetwork) -> Losses:
        """The losses of the passes over one new pair; each pass sees what those before it left over."""
        pair = synthesise(self._difficulty(), self.generator)
        choice = int(torch.randint(len(self.settings.schedules), (), generator=self.generator, device=self.device))
        velocity = None
        for factor in self.settings.schedules[choice]:
            velocity = self._improved(network, pair, velocity, factor)
            yield pair_loss(velocity, pair, 1 if factor == 1 else 2, self.settings.smoothness)
            velocity = velocity.detach()

    def _difficulty(self) -> SynthesisSettings:
        settings = self.settings.synthesis
        share = self.loop.spent / self.settings.curriculum if self.settings.curriculum > 0 else 1.0
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
        for pair in self.held_back:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.half_precision):
                flow = network(pair.fixed, pair.moving)
            loss, parts = pair_loss(flow.field, pair, 1, self.settings.smoothness)
            difference = flow.displacement(tuple(pair.fixed.shape[2:])) - pair.displacement
            error = difference.pow(2).sum(1, keepdim=True).sqrt()
            measures = {"loss": float(loss), "error": float((error * pair.weight).sum() / pair.weight.sum())}
            for name, value in {**measures, **{f"held_{name}": value for name, value in parts.items()}}.items():
                totals[name] = totals.get(name, 0.0) + value / len(self.held_back)
        return totals

    def run(
        self, report: Callable[[float, dict], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> Progress:
        """Train, or go on with a run that was interrupted; writes the model and the log."""
        self.loop.resume()
        progress = self.loop.run(report, cancelled)
        write_log(progress.rows, self.folder / "log.csv")
        training = {
            "data": "synthetic pairs from random shapes; no real image",
            "steps": progress.step,
            "seconds": round(progress.seconds),
            "started_from": self.start,
            "settings": json.loads(json.dumps(asdict(self.settings))),
            "held_back": {key: round(progress.rows[-1][key], 4) for key in ("loss", "error")},
        }
        card = Card(
            name="any-anatomy",
            title="Any anatomy, any contrast",
            architecture=self.settings.architecture,
            space=SPACE,
            intensity=INTENSITY,
            modality="any",
            anatomy="any",
            contrast="any",
            licence="Apache-2.0",
            citation=CITATION,
            source="trained by this project on synthetic images: python -m VoxelMorphRegistrationLib.training",
            training=training,
        )
        write_model(self.loop.network, card, self.folder / "model.pt")
        return progress
