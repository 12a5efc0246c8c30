"""What models there are: bundled with the program, in the user's folder, and published by VoxelMorph.

The user's folder is the environment variable VOXELMORPH_MODELS_DIR, or else the system's cache folder for users. A
model there is two files, NAME.h5 or NAME.pt and its card NAME.json. Nothing is ever written into the program's folder.
"""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ..errors import DependencyMissing, InputError
from .card import Card
from .file_contents import Weights
from .weights import KERAS_SUFFIXES, TORCH_SUFFIXES

DEFAULT_MODEL = "any-anatomy"
MODELS_DIR_VARIABLE = "VOXELMORPH_MODELS_DIR"
State = Literal["bundled", "installed", "downloadable", "manual", "file"]


@dataclass(frozen=True)
class Published:
    """A network VoxelMorph's authors published.

    Attributes:
        card: of the network, without weights and checksum.
        url: its official address; `file` its name there.
        sha256: of the file at that address, where known for certain; only then can it be downloaded from here.
        size: bytes, where known.
        recognised: checksums of files known to be this network, wherever they came from.
    """

    card: Card
    url: str
    sha256: str | None = None
    size: int | None = None
    recognised: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Entry:
    """One line of `list_models`.

    Attributes:
        state: 'bundled', 'installed' (downloaded or imported), 'downloadable', or 'manual' (get the file at `url`
            yourself and import it), 'file' (a weights file of the user's own, where it lies).
        path, card_path: the weights file and its card, where there are such on this machine.
    """

    name: str
    state: State
    card: Card
    path: Path | None = None
    card_path: Path | None = None
    url: str = ""
    sha256: str | None = None
    size: int | None = None


def bundled_dir() -> Path:
    """The folder of the models that come with the program: in the library where pip installed it, else beside it."""
    library = Path(__file__).parents[1]
    inside = library / "Resources" / "Models"
    return inside if inside.is_dir() else library.parent / "Resources" / "Models"


def user_dir() -> Path:
    """The folder downloaded and imported models are kept in; it need not exist yet."""
    chosen = os.environ.get(MODELS_DIR_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    try:
        from platformdirs import user_cache_path
    except ImportError as error:
        raise DependencyMissing(
            f"platformdirs is needed to find the folder for models; install it with: pip install platformdirs, or set "
            f"{MODELS_DIR_VARIABLE}"
        ) from error
    return user_cache_path("VoxelMorphRegistration", appauthor=False) / "models"


def published() -> dict[str, Published]:
    """The published networks by name, from catalogue.json."""
    return _read_catalogue(bundled_dir() / "catalogue.json")


@lru_cache(maxsize=1)
def _read_catalogue(path: Path) -> dict[str, Published]:
    try:
        items = json.loads(path.read_text(encoding="utf-8"))["models"]
    except FileNotFoundError as error:
        raise InputError(f"{path}: the catalogue of models is missing; install the program again") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: the catalogue of models is damaged; install the program again") from error
    found = {}
    for number, item in enumerate(items if isinstance(items, list) else []):
        try:
            entry = _published_entry(item, f"{path} (model {number + 1})")
        except InputError as error:
            _leave_out(error)
        else:
            found[entry.card.name] = entry
    return found


def _published_entry(item: Any, where: str) -> Published:
    if not isinstance(item, dict):
        raise InputError(f"{where}: is no object of a card and an address")
    card = Card.from_dict(item.get("card"), where)
    known, recognised = item.get("sha256"), item.get("recognised_sha256", [])
    sums = [known, *recognised] if isinstance(recognised, list) else [recognised]
    if not all(isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) for text in sums if text is not None):
        raise InputError(f"{where}: its sha256 is not one of 64 hexadecimal digits")
    url, size = item.get("url"), item.get("size")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise InputError(f"{where}: its address {url!r} is none of the web")
    if size is not None and not (type(size) is int and size > 0):
        raise InputError(f"{where}: its size {size!r} is not a number of bytes")
    return Published(card, url, known, size, tuple(recognised))


def _leave_out(error: Exception) -> None:
    """One card gone wrong must not take every other model away."""
    logging.getLogger(__name__).warning("%s; this model is left out", error)


def list_models() -> list[Entry]:
    """Every model by name: the bundled ones, the installed ones, then what can be had."""
    here = [*_in_folder(bundled_dir(), "bundled"), *_in_folder(user_dir(), "installed")]
    names = {entry.name for entry in here}
    return here + [_offered(item) for name, item in published().items() if name not in names]


def model_info(name: str) -> Entry:
    """The entry of one model.

    Raises:
        InputError: no model has this name.
    """
    entries = list_models()
    for entry in entries:
        if entry.name == name:
            return entry
    raise InputError(f"model {name!r} is not known; the models are {', '.join(entry.name for entry in entries)}")


def find_installed(name: str) -> tuple[Path, Card]:
    """Weights file and card of a bundled or installed model.

    Raises:
        InputError: the model is not known, or known and not on this machine (the message says how to get it).
    """
    entry = model_info(name)
    if entry.path is not None:
        return entry.path, entry.card
    if entry.state == "downloadable":
        raise InputError(f"model {name!r} is not on this machine; get it: slicer-voxelmorph models download {name}")
    raise InputError(
        f"model {name!r} is not on this machine; download {entry.url} and then: "
        f"slicer-voxelmorph models import {name} FILE"
    )


def recognise(path: Path, sha256: str, architecture: dict) -> Card | None:
    """The published network a bare weights file is: by its checksum, or by its official file name and architecture."""
    for item in published().values():
        known = {item.sha256, *item.recognised} - {None}
        if sha256 in known or (path.name == item.file and fits(item, architecture)):
            return item.card
    return None


def fits(item: Published, architecture: dict) -> bool:
    """Whether weights of `architecture` can be those of a published network."""
    own = item.card.architecture
    return all(_plain(architecture.get(key)) == _plain(own.get(key)) for key in set(own) | set(architecture))


def card_from_weights(path: Path, weights: Weights, sha256: str) -> Card:
    """The card of a bare weights file: a published network's where it is known to be one, else what the file says.

    The space is 'native' and the extent free: the network is convolutional, and the file says no more about it. The
    shape that it was built for, where it says one, is `training["shape"]`.
    """
    card = recognise(path, sha256, weights.architecture)
    if card is not None:
        return replace(card, weights=path.name, sha256=sha256)
    notes, training = list(weights.notes), {}
    if weights.shape is not None:
        notes.append(f"the network was built for images of {'x'.join(map(str, weights.shape))} voxels")
        training["shape"] = list(weights.shape)
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in path.stem.lower()).strip("._-")
    return Card(
        name or "model",
        weights.architecture,
        title=path.name,
        training=training,
        notes=notes,
        weights=path.name,
        sha256=sha256,
    )


def weights_beside(card_path: Path, card: Card) -> Path | None:
    """The weights file a card names, or else one of the card's own name; None where there is none."""
    if card.weights:
        return card_path.parent / card.weights
    candidates = (card_path.with_suffix(suffix) for suffix in (*TORCH_SUFFIXES, *KERAS_SUFFIXES))
    return next((path for path in candidates if path.is_file()), None)


def _in_folder(folder: Path, state: State) -> list[Entry]:
    entries = []
    for path in sorted(folder.glob("*.json")):
        if path.name == "catalogue.json":
            continue
        try:
            card = Card.read(path)
        except InputError as error:
            _leave_out(error)
            continue
        weights = weights_beside(path, card)
        if weights is not None and weights.is_file():
            size = weights.stat().st_size
            entries.append(Entry(card.name, state, card, weights, path, card.source, card.sha256, size))
    return entries


def _offered(item: Published) -> Entry:
    state: State = "downloadable" if item.sha256 else "manual"
    return Entry(item.card.name, state, item.card, url=item.url, sha256=item.sha256, size=item.size)


def _plain(value):
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
