"""Training of a contrast-agnostic network on synthetic pairs, from nothing to a model that `load_model` takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from ..errors import InputError
from ..models.card import Card
from ..models.weights import file_sha256, read_weights
from ..network_space.intensity import Percentile
from ..network_space.space import BY_SIZE, Space
from ..networks.pyramid import PyramidNetwork
from .budget import Budget
from .initialisation import grow_from, new_network
from .loop import Loop, Progress
from .saving import write_log, write_model
from .synthetic_pairs import PretrainingSettings, SyntheticPairs

SPACE = Space("SPL", spacing=BY_SIZE, multiple=8, max_voxels=2_500_000)
# Equalising does for real images what random intensities do for synthetic ones: contrast wherever there is tissue.
INTENSITY = Percentile(1, 99, equalise=0.5)
CITATION = (
    "Hoffmann et al., SynthMorph: learning contrast-invariant registration without acquired images, IEEE TMI 2022; "
    "Balakrishnan et al., VoxelMorph: a learning framework for deformable medical image registration, IEEE TMI 2019"
)
_LEAST_VOXELS = 8


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
        """`start`: weights (.pt) to begin with in place of random ones, of this architecture or of a smaller one.

        Raises:
            InputError: for an architecture without pyramid, and for weights to begin with that do not fit.
        """
        self.settings = settings
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        network = new_network(settings.architecture, settings.seed)
        if not isinstance(network, PyramidNetwork):
            raise InputError("training: only networks of several passes are trained; give the architecture a 'pyramid'")
        if start is not None:
            grow_from(network.module, read_weights(start, settings.architecture).state, str(start))
        # Passes that would see next to nothing of images this small say nothing of how they do with large ones.
        edge = min(settings.synthesis.shape)
        network.factors = tuple(f for f in network.factors if f == 1 or edge // f >= _LEAST_VOXELS)
        self.start = None if start is None else file_sha256(start)
        torch_device = torch.device(device)
        network.to(torch_device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        data = SyntheticPairs(settings, torch_device)
        self.loop = Loop(network, data, settings.loop, budget, folder / "checkpoint.pt")

    def run(
        self, report: Callable[[float, dict], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> Progress:
        """Train, or go on with a run that was interrupted; writes the model and the log. Arguments as `Loop.run`."""
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
