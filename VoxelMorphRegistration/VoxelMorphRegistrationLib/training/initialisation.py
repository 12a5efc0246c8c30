"""The weights a training begins with: random ones, or those of a smaller network."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import InputError
from ..networks import Network, build_network


def new_network(architecture: dict, seed: int) -> Network:
    """A network with Kaiming-initialised convolutions and a flow layer that starts near zero.

    PyTorch's own initialisation lets the signal die on the way through this U-Net: its gain is that of a slope of
    sqrt(5), not of the activation's. The same seed gives the same weights; the random generator of the process is left
    as it was.
    """
    slope = architecture.get("negative_slope", 0.01)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build_network(architecture)
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(module.weight, a=slope, nonlinearity="leaky_relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    with torch.no_grad():
        for name, parameter in network.module.named_parameters():
            if name.startswith("flow_layer."):
                parameter.mul_(0.02)
    return network


def grow_from(module: nn.Module, state: dict[str, torch.Tensor], name: str) -> None:
    """Give `module` the weights of a network with fewer inputs or encoder features: it begins by doing what that does.

    Weights from added channels to those there were are zero, all others stay as they were initialised (Chen et al.,
    Net2Net: accelerating learning via knowledge transfer, ICLR 2016).

    Raises:
        InputError: the networks differ by more than that; `name` is what the message calls the weights.
    """
    own = module.state_dict()

    def fits(key: str, tensor: torch.Tensor) -> bool:
        old, new = tensor.shape, own[key].shape
        # Of the encoder alone the channels come last wherever they are joined with others.
        same_outputs = old[:1] == new[:1] or "downsampling" in key
        return same_outputs and len(old) == len(new) and all(n <= m for n, m in zip(old, new))

    if set(own) != set(state) or not all(fits(key, tensor) for key, tensor in state.items()):
        raise InputError(f"{name}: these weights are no smaller form of the network to be trained; check --features")
    for key, tensor in state.items():
        grown = own[key]
        grown[: len(tensor)] = 0
        grown[tuple(slice(n) for n in tensor.shape)] = tensor
    module.load_state_dict(own)
