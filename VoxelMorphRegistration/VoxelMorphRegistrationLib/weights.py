"""Reading weights files: Keras `.h5`, VoxelMorph 0.2's torch `.pt`, and the bare state_dict of VoxelMorph 0.3.

Every reader gives the architecture (the keys of `networks.build_network`) and a state_dict for it. What a file cannot
say (a state_dict knows neither its activation nor its integration) takes VoxelMorph's default and can be overridden.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .errors import InputError, telling_line
from .networks.dense import DEFAULT_FEATURES

KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Weights:
    """A weights file as read.

    Attributes:
        architecture: what `networks.build_network` takes.
        state: the state_dict for that network.
        shape: the image shape (array order) the network was built for, where the file says it.
        notes: what the file does not say and was assumed.
    """

    architecture: dict
    state: dict[str, torch.Tensor]
    shape: tuple[int, ...] | None = None
    notes: tuple[str, ...] = field(default=())


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
        from .weights_keras import read_keras

        return read_keras(path, architecture)
    if suffix in TORCH_SUFFIXES:
        return read_torch(path, architecture)
    raise InputError(
        f"{path}: {suffix or 'no suffix'} is not a weights file; networks are .h5 (Keras) or .pt (torch) files"
    )


def read_torch(path: Path, architecture: dict | None = None) -> Weights:
    """The weights in a torch file: VoxelMorph 0.2's {'config', 'model_state'} or a bare state_dict."""
    content = _load_torch(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: it holds a {type(content).__name__} and no network's weights; save its state_dict()")
    if "config" in content and "model_state" in content:
        state = _tensors(path, content["model_state"])
        if architecture is not None:
            return Weights(architecture, state)
        return _dense_torch(path, content["config"], state)
    for key in ("state_dict", "model_state_dict", "model_state"):
        if isinstance(content.get(key), dict):
            content = content[key]
    state = _tensors(path, content)
    if architecture is not None:
        return Weights(architecture, state)
    if "flow_layer.conv0.weight" in state and "model.lowest_resolution_conv_block.conv0.weight" in state:
        return _pairwise(path, state)
    if any(key.startswith("unet_model.") for key in state):
        raise InputError(
            f"{path}: these are VxmDense weights without their configuration; save them with VoxelMorph's "
            "model.save(), or write a card with the architecture beside the file"
        )
    first = next(iter(state))
    raise InputError(
        f"{path}: this is not a VoxelMorph network (its first entry is {first!r}); "
        "VxmPairwise (0.3) and VxmDense (0.2) files are supported"
    )


def dense_architecture(path: Path, config: dict, padding: str) -> dict:
    """The architecture from a VxmDense configuration, of the torch or the TensorFlow version.

    Raises:
        InputError: an option this program does not carry out, named.
    """
    shape = config.get("inshape")
    if not isinstance(shape, (list, tuple)) or len(shape) not in (2, 3):
        raise InputError(f"{path}: the network's inshape is {shape!r}; 2D and 3D networks are supported")
    for key in ("src_feats", "trg_feats"):
        if config.get(key, 1) != 1:
            raise InputError(f"{path}: {key} is {config[key]}; networks for images of one channel are supported")
    if config.get("hyp_model") is not None:
        raise InputError(f"{path}: a HyperMorph network is of another class and cannot be used here")
    steps = int(config.get("int_steps", 7))
    prediction = 2 if config.get("unet_half_res") else config.get("svf_resolution", 1)
    integration = config.get("int_downsize")
    if integration is None:
        integration = config.get("int_resolution", 2)
    if prediction not in (1, 2) or integration not in (1, 2, 4, 8):
        raise InputError(
            f"{path}: svf_resolution {prediction} with int_resolution {integration} is not supported; "
            "networks that predict at full or half resolution are"
        )
    return {
        "class": "VxmDense",
        "ndim": len(shape),
        "features": _features(path, config),
        "convolutions": int(config.get("nb_unet_conv_per_level", 1)),
        "integration_steps": steps,
        "half_resolution": prediction == 2,
        "integration_factor": int(integration) if steps > 0 else prediction,
        "padding": padding,
    }


def _features(path: Path, config: dict) -> list[list[int]]:
    features = config.get("nb_unet_features")
    if features is None:
        return [list(part) for part in DEFAULT_FEATURES]
    if isinstance(features, (list, tuple)) and len(features) == 2:
        return [[int(n) for n in part] for part in features]
    levels = config.get("nb_unet_levels")
    if isinstance(features, int) and isinstance(levels, int):
        # VoxelMorph: one number of features, multiplied by unet_feat_mult from level to level.
        each = [int(round(features * config.get("unet_feat_mult", 1) ** level)) for level in range(levels)]
        repeat = int(config.get("nb_unet_conv_per_level", 1))
        return [[n for n in each[:-1] for _ in range(repeat)], [n for n in each[::-1] for _ in range(repeat)]]
    raise InputError(f"{path}: nb_unet_features {features!r} is not understood; use [[encoder], [decoder]]")


def _load_torch(path: Path):
    with open(path, "rb") as stream:
        start = stream.read(2)
    if start != b"PK" and start[:1] != b"\x80":  # a zip archive, or a pickle of torch before 1.6
        raise InputError(f"{path}: not a torch weights file; check where it comes from")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything on a file that is not its own
        if "weights_only" in str(error) or "Unsupported" in str(error) or "global" in str(error).lower():
            raise InputError(
                f"{path}: it holds Python objects and not weights alone, and is not opened for safety; "
                "save the network's state_dict() and import that"
            ) from error
        raise InputError(
            f"{path}: not a torch weights file, or a truncated one ({telling_line(error)}); copy it again"
        ) from error


def _tensors(path: Path, content: dict) -> dict[str, torch.Tensor]:
    # VoxelMorph 0.2 keeps sampling grids of the training shape in buffers; wrappers prefix every key with a name.
    tensors = {
        re.sub(r"^(module\.|_orig_mod\.)+", "", str(key)): value
        for key, value in content.items()
        if isinstance(value, torch.Tensor) and not str(key).endswith(".grid")
    }
    if not tensors:
        raise InputError(f"{path}: it holds no weights; save the network's state_dict()")
    return tensors


def _dense_torch(path: Path, config: dict, state: dict[str, torch.Tensor]) -> Weights:
    if not isinstance(config, dict):
        raise InputError(f"{path}: its configuration is a {type(config).__name__}; it is not a VoxelMorph file")
    architecture = dense_architecture(path, config, padding="zeros")
    return Weights(architecture, state, tuple(int(n) for n in config["inshape"]))


def _pairwise(path: Path, state: dict[str, torch.Tensor]) -> Weights:
    def outputs(block: str) -> int:
        key = f"model.{block}.conv0.weight"
        # A level of 0 features has no convolution: it passes its input through.
        return int(state[key].shape[0]) if key in state else 0

    count = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("model.downsampling_conv_blocks."))
    down = [outputs(f"downsampling_conv_blocks.{level}.conv_block") for level in range(count)]
    up = [outputs("lowest_resolution_conv_block")]
    up += [outputs(f"upsampling_conv_blocks.{level}.conv_block") for level in range(count - 1)]
    if any("normalization" in key or ".upsample." in key for key in state):
        raise InputError(
            f"{path}: this VxmPairwise has normalisation or learned upsampling, which the weights do not describe; "
            "write a card with its architecture beside the file"
        )
    architecture = {
        "class": "VxmPairwise",
        "ndim": state["flow_layer.conv0.weight"].dim() - 2,
        "features": down if up == down[::-1] else [down, up],
        "integration_steps": 5,
        "activation": "relu",
        "padding": "zeros",
    }
    note = "a state_dict names neither integration steps nor activation: VxmPairwise's defaults (5, relu) are assumed"
    return Weights(architecture, state, notes=(note,))
