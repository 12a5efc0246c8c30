"""Putting models into the user's folder and taking them out: download, import, remove, by atomic writes."""

from __future__ import annotations

import hashlib
import http.client
import queue
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..files.atomic import atomic_write
from ..networks import build_network
from .card import Card
from .catalogue import (
    MODELS_DIR_VARIABLE,
    Entry,
    Published,
    card_from_weights,
    fits,
    list_models,
    model_info,
    published,
    user_dir,
)
from .options import ImportOptions
from .weights import KERAS_SUFFIXES, TORCH_SUFFIXES, file_sha256, read_weights

if TYPE_CHECKING:
    from typing_extensions import Unpack

_TIMEOUT_SECONDS = 30
_BLOCK = 1 << 16
_LONGEST_SECONDS = 1800
_LARGEST_BYTES = 2 << 30
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def download_model(name: str, progress: Callable[[int, int | None], None] | None = None) -> Entry:
    """Download a published model into the user's folder, verified before it is installed.

    Args:
        progress: called with the bytes received and, where the server says it, the bytes in all.

    Raises:
        InputError: the name is not known or already installed, its checksum is not known (the message names the address
            to fetch by hand), the address cannot be reached, or what came is not the published file.
    """
    item = _published(name)
    _refuse_existing(name)
    if item.sha256 is None:
        raise InputError(
            f"model {name!r} has no checksum to verify a download with; fetch {item.url} yourself and then: "
            f"slicer-voxelmorph models import {name} FILE"
        )
    weights, card = _target(name, item.file, item.card, item.sha256)
    with atomic_write(weights) as partial:
        received = _fetch(item.url, partial, progress, item.size)
        if received != item.sha256:
            raise InputError(
                f"{item.url}: what was received is not the published file (sha256 {received[:12]}..., expected "
                f"{item.sha256[:12]}...); nothing was installed, try again later"
            )
    return _installed(weights, card)


def import_model(name: str, file: str | Path, **options: Unpack[ImportOptions]) -> Entry:
    """Copy a weights file into the user's folder under `name`.

    A name of the catalogue takes the catalogue's card, and the file must be such a network (the very file, where its
    checksum is known). Another name takes the card beside the file, or one made from the file.

    Args:
        options: single values of the card to replace (`ImportOptions`): `tensor_axes`, `spacing`, `intensity`, ...

    Raises:
        InputError: the name is taken, the file is not a network, or not the one the name stands for.
    """
    file = Path(file)
    _refuse_reserved(name)
    _refuse_existing(name)
    if name in published():
        return _import_published(published()[name], file, options)
    beside = file.with_suffix(".json")
    if file.is_file() and beside.is_file():
        card = Card.read(beside)
        weights, sha256 = read_weights(file, card.architecture), file_sha256(file)
    else:
        weights = read_weights(file)
        sha256 = file_sha256(file)
        card = card_from_weights(file, weights, sha256)
    card = replace(card, name=name).with_options(str(file), **options)
    build_network(card.architecture, weights.state)
    return _copy_in(name, file, card, sha256)


def remove_model(name: str) -> None:
    """Delete a downloaded or imported model from the user's folder.

    Raises:
        InputError: it is bundled, not installed, or not known.
    """
    entry = model_info(name)
    if entry.state == "bundled":
        raise InputError(f"model {name!r} is part of the program and cannot be removed")
    if entry.path is None or entry.card_path is None:
        raise InputError(f"model {name!r} is not installed, so there is nothing to remove")
    # The card goes first: without it the weights are no model, so an interruption leaves nothing half there.
    entry.card_path.unlink(missing_ok=True)
    entry.path.unlink(missing_ok=True)


def _import_published(item: Published, file: Path, options: ImportOptions) -> Entry:
    weights = read_weights(file)
    sha256 = file_sha256(file)
    if item.sha256 is not None and sha256 != item.sha256:
        raise InputError(
            f"{file}: this is not the published file of {item.card.name!r} (sha256 {sha256[:12]}..., expected "
            f"{item.sha256[:12]}...); import it under another name"
        )
    if not fits(item, weights.architecture):
        raise InputError(
            f"{file}: its architecture is not that of {item.card.name!r}; check the file, or import it under another "
            "name"
        )
    build_network(weights.architecture, weights.state)
    return _copy_in(item.card.name, file, item.card.with_options(str(file), **options), sha256)


def _published(name: str) -> Published:
    if name not in published():
        model_info(name)
        raise InputError(f"model {name!r} is not one of the published models, so there is nothing to download")
    return published()[name]


def _refuse_existing(name: str) -> None:
    for entry in list_models():
        if entry.name == name and entry.path is not None:
            bundled = entry.state == "bundled"
            remedy = "choose another name" if bundled else f"first: slicer-voxelmorph models remove {name}"
            raise InputError(f"model {name!r} is there already ({entry.state}); {remedy}")


def _refuse_reserved(name: str) -> None:
    """Names whose files are something else: the catalogue, and devices of Windows under any ending; and names that end
    as files do, under which a path would be looked for and another model's card be overwritten.
    """
    if name.lower().endswith((".json", *KERAS_SUFFIXES, *TORCH_SUFFIXES)):
        raise InputError(f"model {name!r}: a name that ends as a file does is reserved; leave out the ending")
    if name.lower() == "catalogue" or name.lower().partition(".")[0] in _DEVICES or name.endswith((".", " ")):
        raise InputError(f"model {name!r}: this name is reserved; choose another one")


def _copy_in(name: str, file: Path, card: Card, sha256: str) -> Entry:
    weights, card = _target(name, file.name, card, sha256)
    with atomic_write(weights) as partial:
        shutil.copyfile(file, partial)
        if file_sha256(partial) != sha256:
            raise InputError(f"{file}: the file changed while it was copied; import it again")
    return _installed(weights, card)


def _target(name: str, file: str, card: Card, sha256: str) -> tuple[Path, Card]:
    """Where the weights of `file` go in the user's folder, which is made, and the card they get."""
    folder = user_dir()
    weights = folder / f"{name}{Path(file).suffix.lower()}"
    card = replace(card, name=name, weights=weights.name, sha256=sha256)
    card.check(f"model {name!r}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: models cannot be kept there ({error.strerror}); set {MODELS_DIR_VARIABLE}"
        ) from error
    return weights, card


def _installed(weights: Path, card: Card) -> Entry:
    """The card comes after the weights: without it they are no model, so an interruption leaves nothing half there."""
    card_path = weights.with_suffix(".json")
    card.write(card_path)
    return Entry(card.name, "installed", card, weights, card_path, card.source, card.sha256, weights.stat().st_size)


def _answer(url: str) -> http.client.HTTPResponse:
    """The open answer of a server, once its header is whole; raises what `urlopen` raises, or TimeoutError.

    `urlopen` waits again for each piece of a header, so that it is waited for from outside.
    """
    answers: queue.SimpleQueue[http.client.HTTPResponse | BaseException] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS))
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=4 * _TIMEOUT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {4 * _TIMEOUT_SECONDS} seconds") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _fetch(url: str, target: Path, progress: Callable[[int, int | None], None] | None, size: int | None = None) -> str:
    """Download `url` into `target` and return the sha256 of what was received.

    No more than the published size (else 2 GB) is taken, and no longer than half an hour.
    """
    digest = hashlib.sha256()
    received, started, most = 0, time.monotonic(), size or _LARGEST_BYTES
    try:
        with _answer(url) as response, open(target, "wb") as stream:
            length = response.headers.get("Content-Length")
            total = int(length) if length is not None and length.isdecimal() else None
            while block := response.read1(_BLOCK):
                stream.write(block)
                digest.update(block)
                received += len(block)
                if received > most:
                    raise InputError(
                        f"{url}: the server sends more than the {most} bytes of the published file; nothing was "
                        "installed, try again later"
                    )
                if time.monotonic() - started > _LONGEST_SECONDS:
                    raise InputError(
                        f"{url}: only {received} bytes came in {_LONGEST_SECONDS // 60} minutes; nothing was installed,"
                        " try again over a faster connection"
                    )
                if progress is not None:
                    progress(received, total)
    except urllib.error.HTTPError as error:
        raise InputError(f"{url}: the server answers {error.code} {error.reason}; the file may have moved") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise InputError(f"{url}: it cannot be reached ({reason}); check the connection and try again") from error
    if total is not None and received != total:
        raise InputError(f"{url}: the connection ended after {received} of {total} bytes; try again")
    return digest.hexdigest()
