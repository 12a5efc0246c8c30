"""A model: a network with its card. Loading by name or file, with the weights verified against the card."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import InputError
from ..networks import Network, build_network
from .card import Card
from .catalogue import DEFAULT_MODEL, Entry, card_from_weights, find_installed, list_models, model_info, weights_beside
from .options import CardOptions
from .store import download_model, import_model, remove_model
from .weights import KERAS_SUFFIXES, TORCH_SUFFIXES, file_sha256, read_weights

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "DEFAULT_MODEL",
    "Entry",
    "Model",
    "describe_model",
    "download_model",
    "import_model",
    "list_models",
    "load_model",
    "model_info",
    "remove_model",
]


@dataclass(frozen=True)
class Model:
    """A network ready to run, and its card.

    Attributes:
        card: what the network is and what it expects.
        network: on `device`, in evaluation mode.
        sha256: of the weights file.
        path: the weights file.
    """

    card: Card
    network: Network
    sha256: str
    path: Path

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def passes(self) -> int:
        """How many times to run the network, each time on the image warped so far."""
        return self.card.architecture.get("passes", 1)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device


def load_model(
    name_or_path: str | Path = DEFAULT_MODEL, device: torch.device | str = "cpu", **options: Unpack[CardOptions]
) -> Model:
    """The model of a name (bundled, downloaded or imported), a weights file, or a card.

    >>> from VoxelMorphRegistrationLib import load_model
    >>> model = load_model("any-anatomy", spacing=3)
    >>> model.card.title, model.card.space.tensor_axes, model.card.space.spacing
    ('Any anatomy, any contrast', 'SPL', 3)
    >>> model.network.dimension, model.network.multiple, model.card.intensity
    (3, 8, Percentile(low=1, high=99, equalise=0.5))

    Args:
        name_or_path: a weights file has its card in a `.json` of the same name beside it; without one the card is made
            from what the file says, from the catalogue where the file is a published network, and from `options`.
        device: where the network shall be.
        options: single values of the card to replace (`CardOptions`): `tensor_axes='LIA'`, `spacing=1`,
            `intensity='minmax'`, ...; None changes nothing.

    Raises:
        InputError: an unknown name, a file that is not a network, weights that are not those of the card.
        DependencyMissing: voxelmorph or h5py is needed for this file and not installed.
    """
    return _load(*_weights_and_card(name_or_path), device, options)


def describe_model(name_or_path: str | Path) -> Entry:
    """The entry of a name, or of a weights file or card where it lies, which is loaded to see that it is a network.

    Raises:
        InputError: as `load_model` does; no model has this name.
    """
    path = _as_path(name_or_path)
    if path is None:
        return model_info(str(name_or_path))
    model = load_model(path)
    size = model.path.stat().st_size
    return Entry(model.card.name, "file", model.card, model.path, sha256=model.sha256, size=size)


def _weights_and_card(name_or_path: str | Path) -> tuple[Path, Card | None]:
    path = _as_path(name_or_path)
    if path is None:
        return find_installed(str(name_or_path))
    if path.suffix.lower() == ".json":
        card = Card.read(path)
        weights = weights_beside(path, card)
        if weights is None:
            raise InputError(f"{path}: no weights file lies beside this card; put it there, or name it in 'weights'")
        return weights, card
    card_path = path.with_suffix(".json")
    return path, Card.read(card_path) if path.is_file() and card_path.is_file() else None


def _load(path: Path, card: Card | None, device: torch.device | str, options: CardOptions) -> Model:
    if card is None:
        weights = read_weights(path)
        sha256 = file_sha256(path)
        card = card_from_weights(path, weights, sha256).with_options(str(path), **options)
    else:
        sha256 = file_sha256(path) if path.is_file() else ""
        if sha256 and card.sha256 is not None and sha256 != card.sha256:
            raise InputError(
                f"{path}: these are not the weights its card describes (sha256 {sha256[:12]}..., the card has "
                f"{card.sha256[:12]}...); download or copy the file again, or correct the card"
            )
        card = card.with_options(str(path), **options)
        weights = read_weights(path, card.architecture)
    try:
        network = build_network(card.architecture, weights.state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    multiple = card.space.multiple or network.multiple
    if multiple % network.multiple:
        raise InputError(
            f"{path}: the card's space.multiple is {multiple}; this network needs a multiple of {network.multiple}"
        )
    extent = card.space.extent
    if extent is not None and any(n % network.multiple for n in extent):
        raise InputError(
            f"{path}: the card's space.extent {list(extent)} is not a multiple of {network.multiple} in every axis"
        )
    card = replace(card, space=replace(card.space, multiple=multiple))
    return Model(card, network.to(device), sha256, path)


def _as_path(name_or_path: str | Path) -> Path | None:
    """A path where a path is meant: an existing file, a known suffix, or a folder in it; None where it is a name."""
    path = Path(name_or_path)
    meant = path.suffix.lower() in (".json", *KERAS_SUFFIXES, *TORCH_SUFFIXES) or len(path.parts) > 1
    return path if meant or path.is_file() else None
