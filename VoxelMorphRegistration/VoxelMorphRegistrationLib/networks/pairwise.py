"""voxelmorph 0.3's own `VxmPairwise`, asked for its velocity field once and integrated outside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import DependencyMissing, InputError
from .network import Network


def pairwise_module(architecture: dict) -> nn.Module:
    """`voxelmorph.nn.models.VxmPairwise` with the features, activation and U-Net options of `architecture`.

    Raises:
        DependencyMissing: the voxelmorph package is not installed, or is older than 0.3.
        InputError: an activation that is not known.
    """
    try:
        from voxelmorph.nn.models import VxmPairwise
    except ImportError as error:
        raise DependencyMissing(
            "voxelmorph 0.3 or newer is needed for this network; install it with: "
            "pip install --no-deps voxelmorph neurite pystrum einops"
        ) from error
    return VxmPairwise(
        ndim=architecture["ndim"],
        source_channels=1,
        target_channels=1 + cue_channels(architecture),
        nb_features=architecture["features"],
        activations=activation(architecture),
        integration_steps=architecture["integration_steps"],
        unet_kwargs=architecture.get("unet") or None,
    )


def cue_channels(architecture: dict) -> int:
    """Channels of motion cues that the target brings along."""
    return (architecture["ndim"] + 1) * len(architecture.get("cue_windows") or ())


def activation(architecture: dict) -> nn.Module | None:
    """The activation module that `architecture['activation']` names: relu, leaky_relu (negative_slope), elu, none."""
    name = architecture.get("activation", "relu")
    if name == "relu":
        return nn.ReLU()
    if name == "leaky_relu":
        return nn.LeakyReLU(architecture.get("negative_slope", 0.01))
    if name == "elu":
        return nn.ELU()
    if name == "none":
        return None
    raise InputError(f"network activation {name!r} is not known; use relu, leaky_relu, elu or none")


class PairwiseNetwork(Network):
    """A `VxmPairwise` behind the contract."""

    def predict(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        module: Any = self.module
        velocity = module(source, target, return_field_type="svf")
        # The class keeps its last velocity field (and, in training, the graph behind it) alive until the next call.
        module.velocity = None
        return velocity
