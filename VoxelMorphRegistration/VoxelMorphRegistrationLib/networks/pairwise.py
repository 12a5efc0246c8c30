"""voxelmorph 0.3's own `VxmPairwise`, asked for its velocity field once and integrated outside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import DependencyMissing, InputError
from . import slab_unet
from .inference import fast_convolutions
from .network import Network
from .precision import half_convolutions, in_float32
from .slab_unet import SlabUnet


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
        unet = self.fast_unet(source)
        if unet is not None:
            return unet(torch.cat([source, target], dim=1))
        half = half_convolutions(source)
        if half is not None:
            with half:
                return in_float32(module.flow_layer, module.model(torch.cat([source, target], dim=1)))
        with fast_convolutions():
            velocity = module(source, target, return_field_type="svf")
        # The class keeps its last velocity field (and, in training, the graph behind it) alive until the next call.
        module.velocity = None
        return velocity

    def layers(self) -> nn.Module:
        module: Any = self.module
        return nn.Sequential(module.model, module.flow_layer)

    def slab_unet(self) -> SlabUnet | None:
        module: Any = self.module
        unet = module.model
        if not _usual(unet):
            return None
        down = [slab_unet.block(level.conv_block) for level in unet.downsampling_conv_blocks]
        lowest = slab_unet.block(unet.lowest_resolution_conv_block)
        up = [slab_unet.block(level.conv_block) for level in unet.upsampling_conv_blocks]
        last = [slab_unet.block(unet.out_layer), slab_unet.block(module.flow_layer)]
        blocks = [one for one in (*down, lowest, *up, *last) if one is not None]
        if len(blocks) < len(down) + 1 + len(up) + 2:
            return None
        levels = len(down)
        linear = unet.upsampling_conv_blocks[0].upsample.mode != "nearest"
        return SlabUnet(blocks[:levels], blocks[levels], blocks[levels + 1 : -2], [*blocks[-2], *blocks[-1]], linear)


def _usual(unet: Any) -> bool:
    """Whether levels are pooled by their maximum, joined in, and upsampled by interpolation with corners aligned."""
    pools = [getattr(level.pool, "pool", None) for level in unet.downsampling_conv_blocks]
    ups = [level.upsample for level in unet.upsampling_conv_blocks]
    return (
        unet.ndim == 3
        and unet.skip_connections
        and all(isinstance(pool, nn.MaxPool3d) and pool.kernel_size in (2, (2, 2, 2)) for pool in pools)
        and all(isinstance(one, nn.Upsample) and (one.mode == "nearest" or one.align_corners) for one in ups)
    )
