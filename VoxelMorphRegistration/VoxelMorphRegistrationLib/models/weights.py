"""Reading weights files: Keras `.h5`, VoxelMorph 0.2's torch `.pt`, and the bare state_dict of VoxelMorph 0.3.

Every reader gives the architecture (the keys of `networks.build_network`) and a state_dict for it. What a file cannot
say (a state_dict knows neither its activation nor its integration) takes VoxelMorph's default and can be overridden.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..errors import InputError
from .file_contents import Weights
from .torch_files import read_torch

KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".pkl")


def file_sha256(path: str | Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_weights(path: str | Path, architecture: dict | None = None) -> Weights:
    """The weights in `path`.

    Args:
        architecture: from the card, where there is one; needed for files that hold arrays alone.

    Raises:
        InputError: the file is missing, truncated, of another kind of network, or not a network at all. Pickled objects
            are never run: torch files are read with `weights_only=True`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such weights file; check the path")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the weights file is empty; copy or download it again")
    if path.name.startswith("synthmorph."):
        raise InputError(
            f"{path}: FreeSurfer's SynthMorph networks are of another class (a hypernetwork with its own registration "
            "tool, mri_synthmorph) and cannot be used here; take a VoxelMorph VxmDense network"
        )
    suffix = path.suffix.lower()
    if suffix in KERAS_SUFFIXES:
        from .keras import read_keras

        return read_keras(path, architecture)
    if suffix in TORCH_SUFFIXES:
        return read_torch(path, architecture)
    raise InputError(
        f"{path}: {suffix or 'no suffix'} is not a weights file; networks are .h5 (Keras) or .pt (torch) files"
    )
