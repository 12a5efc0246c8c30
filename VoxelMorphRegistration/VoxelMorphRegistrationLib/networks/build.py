"""From the architecture a card describes to a network."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .architecture import check_architecture
from .dense import DEFAULT_FEATURES, VxmDense
from .network import Network
from .pairwise import PairwiseNetwork, pairwise_module
from .pyramid import PyramidNetwork
from .strided import StridedUnet


def build_network(architecture: dict, state: dict[str, torch.Tensor] | None = None) -> Network:
    """The network that `architecture` describes, with the weights of `state` where given.

    >>> import torch
    >>> from VoxelMorphRegistrationLib.networks import build_network
    >>> network = build_network({"class": "VxmDense", "ndim": 2, "features": [[8, 16], [16, 16, 8]]})
    >>> fixed, moving = torch.rand(1, 1, 64, 48), torch.rand(1, 1, 64, 48)
    >>> flow = network.flow(fixed, moving)
    >>> flow.kind, tuple(flow.displacement((64, 48)).shape)
    ('velocity', (1, 2, 64, 48))

    Keys of `architecture` (defaults in brackets):
        class: 'VxmPairwise' (voxelmorph 0.3), 'VxmDense' (0.1 and 0.2) or 'Vxm2018'.
        ndim: 2 or 3.
        features: for VxmPairwise a list, one entry a level, or [encoder, decoder]; for the others [encoder, decoder].
        integration_steps [7]: squarings of the integration; 0 says that the network's output is a displacement.
        padding ['zeros' for VxmPairwise, else 'border']: what the integration samples outside the grid.
        activation ['relu'], negative_slope [0.01], unet [{}]: VxmPairwise only; `unet` goes to neurite's BasicUNet.
        convolutions [1]: convolutions a level, VxmDense only.
        pyramid [none]: VxmPairwise only; the voxels an axis that each pass averages over, such as [4, 2, 1]
            (`PyramidNetwork`).
        cue_windows [none]: with pyramid only; edges in voxels of the windows of `motion_cues`, such as [7, 3].
        symmetric [False]: with pyramid only; every pass runs on both orders of the pair.
        further_windows [none]: with cue_windows only; the first windows of repeated last passes, while those help.
        half_resolution [False]: the U-Net itself ends at half the input's resolution.
        integration_factor [1, or 2 with half_resolution]: how much coarser than the input the velocity is integrated.

    Raises:
        InputError: a class or value that is not known, or weights that do not fit the architecture.
        DependencyMissing: VxmPairwise without the voxelmorph package.
    """
    check_architecture(architecture)
    kind = architecture["class"]
    architecture = {"integration_steps": 7, **architecture}
    try:
        network = {"VxmPairwise": _pairwise, "VxmDense": _dense, "Vxm2018": _strided}[kind](architecture)
    except (KeyError, TypeError, ValueError, IndexError, AssertionError) as error:
        raise InputError(f"network {kind}: its architecture {_short(architecture)} is not valid: {error!r}") from error
    if state is not None:
        _load(network.module, state, kind)
    return network.eval()


def _pairwise(architecture: dict) -> Network:
    features = architecture["features"]
    levels = len(features[0]) if isinstance(features[0], (list, tuple)) else len(features)
    options = {"multiple": 2**levels, "padding": architecture.get("padding", "zeros"), **_kind(architecture)}
    module, dimension = pairwise_module(architecture), architecture["ndim"]
    pyramid = architecture.get("pyramid")
    if not pyramid:
        return PairwiseNetwork(module, dimension, **options)
    if options["kind"] != "velocity" or any(factor not in (1, 2, 4, 8) or factor > 2**levels for factor in pyramid):
        raise InputError(f"network VxmPairwise: pyramid {pyramid} needs integration and factors among 1, 2, 4 and 8")
    return PyramidNetwork(
        module,
        dimension,
        factors=tuple(pyramid),
        cue_windows=tuple(architecture.get("cue_windows") or ()),
        symmetric=architecture.get("symmetric", False),
        further_windows=tuple(architecture.get("further_windows") or ()),
        **options,
    )


def _dense(architecture: dict) -> Network:
    dimension, squarings = architecture["ndim"], architecture["integration_steps"]
    features = architecture.get("features") or DEFAULT_FEATURES
    convolutions = architecture.get("convolutions", 1)
    half = bool(architecture.get("half_resolution", False))
    factor = architecture.get("integration_factor", 2 if half else 1)
    if squarings == 0 and half:
        raise InputError("network VxmDense: half resolution without integration has no full field in VoxelMorph")
    field_factor = 2 if half else 1
    if factor % field_factor:
        raise InputError(f"network VxmDense: it predicts at half resolution and cannot integrate at 1/{factor}")
    return Network(
        VxmDense(dimension, 2, features, convolutions, skipped_upsamplings=int(half)),
        dimension,
        multiple=max(2 ** (len(features[0]) // convolutions), factor),
        padding=architecture.get("padding", "border"),
        field_factor=field_factor,
        # Without integration VoxelMorph leaves the flow at the resolution it is predicted at.
        reduction=factor // field_factor if squarings > 0 else 1,
        **_kind(architecture),
    )


def _strided(architecture: dict) -> Network:
    features = architecture["features"]
    half = bool(architecture.get("half_resolution", False))
    return Network(
        StridedUnet(architecture["ndim"], features, full_resolution=not half),
        architecture["ndim"],
        multiple=2 ** len(features[0]),
        padding=architecture.get("padding", "border"),
        field_factor=2 if half else 1,
        **_kind(architecture),
    )


def _kind(architecture: dict) -> dict[str, Any]:
    squarings = architecture["integration_steps"]
    return {"kind": "velocity" if squarings > 0 else "displacement", "squarings": squarings}


def _load(module: nn.Module, state: dict[str, torch.Tensor], kind: str) -> None:
    expected = module.state_dict()
    missing = sorted(set(expected) - set(state))
    unknown = sorted(set(state) - set(expected))
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has {unknown[0]}, which the network has not"
        raise InputError(f"weights do not fit the network {kind}: the file {what}; check the architecture in the card")
    for key, tensor in state.items():
        if tuple(tensor.shape) != tuple(expected[key].shape):
            raise InputError(
                f"weights do not fit the network {kind}: {key} is {tuple(tensor.shape)} in the file and "
                f"{tuple(expected[key].shape)} in the network; check the features in the card"
            )
    module.load_state_dict(state)


def _short(architecture: dict) -> str:
    return ", ".join(f"{key}={value}" for key, value in architecture.items())
