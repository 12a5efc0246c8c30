"""What a training run leaves: a model with its card, and a log."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import torch

from ..files.atomic import atomic_write
from ..models.card import Card
from ..models.weights import file_sha256
from ..networks import Network


def write_model(network: Network, card: Card, path: Path) -> Card:
    """Weights to `path` (.pt, a bare state_dict) and the card beside it (.json), whole or not at all.

    Returns the card with the file's name and sha256 in it.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in network.module.state_dict().items()}
    # To a stream: torch writes a file's own name into the file, and so into its checksum.
    with atomic_write(path) as partial, open(partial, "wb") as stream:
        torch.save(state, stream)
    card = replace(card, weights=path.name, sha256=file_sha256(path))
    card.write(path.with_suffix(".json"))
    return card


def write_log(rows: list[dict], path: Path) -> None:
    """The evaluations of a run as CSV, a line each."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_write(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()})
