"""What a weights file holds: tensors, and the architecture that its configuration describes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..errors import InputError
from ..networks.dense import DEFAULT_FEATURES


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
    squarings = int(config.get("int_steps", 7))
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
        "integration_steps": squarings,
        "half_resolution": prediction == 2,
        "integration_factor": int(integration) if squarings > 0 else prediction,
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
