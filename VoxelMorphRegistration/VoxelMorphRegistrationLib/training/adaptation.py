"""Adaptation: the unsupervised training VoxelMorph was made for, on the frames of one sequence.

A network that has seen something like them learns these very frames: local correlation and smoothness, no labels. Some
frames are held back, and what is kept is the state of the network that does best on those, the one it began with
included.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import SimpleITK as sitk

from ..errors import InputError
from ..models.loading import Model
from ..networks import Network
from .budget import Budget, parse_budget
from .loop import Loop
from .saving import write_model
from .sequence_pairs import AdaptationSettings, SequencePairs


def adapt(
    model: Model,
    frames: Sequence[sitk.Image],
    *,
    reference: int,
    budget: str | Budget,
    settings: AdaptationSettings | None = None,
    output: str | Path | None = None,
    progress: Callable[[float, dict], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Model:
    """The model, adapted to pulling the reference frame onto the other frames of a sequence.

    `model` is left as it was; the adapted one is computed and handed back on the same device. Its card says what it was
    adapted to. A budget in steps gives the same weights again; a time gives what the machine can do in it.

    Args:
        frames: anything with len() and [i] -> image; only those that are learned from or judged by are read.
        reference: number of the moving image, negative counts from the end.
        budget: '5min', '90s', '500steps'.
        settings: `AdaptationSettings()` unless given.
        output: weights file (.pt) to write, with its card beside it.
        progress: called after each step with the share of the budget spent and the latest evaluation.
        cancelled: asked before each step; True ends the adaptation, and the best so far is returned.

    Raises:
        InputError: a budget that cannot be read, fewer than two frames, a model that gives no velocity, a frame that
            cannot be registered, an output that is no .pt.
    """
    settings = settings or AdaptationSettings()
    budget = parse_budget(budget)
    if model.network.kind != "velocity":
        raise InputError(f"model {model.name}: it predicts a displacement, and only networks of velocities are adapted")
    if len(frames) < 2 or not -len(frames) <= reference < len(frames):
        raise InputError(f"adaptation: {len(frames)} frames with reference {reference}; at least two frames are needed")
    network = copy.deepcopy(model.network)
    data = SequencePairs(model, frames, reference % len(frames), settings)
    loop = Loop(network, data, settings.loop, budget)
    result = loop.run(progress, cancelled)
    training = {
        "adapted_from": {"name": model.name, "sha256": model.sha256},
        "frames": data.learned,
        "held_back_frames": data.judged,
        "reference": reference,
        "budget": vars(budget),
        "seed": settings.seed,
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
    if output is None:
        return replace(model, card=card, network=network, sha256=_digest(network))
    path = Path(output)
    if path.suffix != ".pt":
        raise InputError(f"{path}: adapted weights are written as .pt; give such a name")
    path.parent.mkdir(parents=True, exist_ok=True)
    card = write_model(network, card, path)
    return replace(model, card=card, network=network, sha256=card.sha256 or "", path=path)


def _digest(network: Network) -> str:
    """A checksum of weights that are in no file."""
    digest = hashlib.sha256()
    for key, value in network.module.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
