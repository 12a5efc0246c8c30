"""Torch files of networks: VoxelMorph 0.2's {'config', 'model_state'} and bare state dictionaries."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from ..errors import InputError
from ..files.array_archives import load_torch
from .file_contents import Weights, dense_architecture


def read_torch(path: Path, architecture: dict | None = None) -> Weights:
    """The weights in a torch file: VoxelMorph 0.2's {'config', 'model_state'} or a bare state_dict."""
    content = load_torch(path, "weights")
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
