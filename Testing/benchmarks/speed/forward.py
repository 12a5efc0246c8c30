"""Seconds of a network's forward pass: PyTorch's own choice of convolutions, those of `Network.flow`, and OpenVINO's.

A pass ends with the displacement, integrated and on the network's grid. The ways take turns in one process, so that all
meet the same load of the machine; what comes first (compiling, choosing convolutions) is in no number.
"""

from __future__ import annotations

import copy
import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from scipy.ndimage import gaussian_filter
from torch.utils.flop_counter import FlopCounterMode

from Testing.benchmarks.speed.clock import Clock, fastest
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.networks import Network, build_network, compiled
from VoxelMorphRegistrationLib.networks.output import Flow

FEATURES = [[16, 32, 32, 32], [32, 32, 32, 32, 32, 16, 16]]
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "VxmDense": {"class": "VxmDense", "ndim": 3, "features": FEATURES, "integration_factor": 2},
    "VxmDense, half-resolution U-Net": {"class": "VxmDense", "ndim": 3, "features": FEATURES, "half_resolution": True},
    "VxmPairwise": {"class": "VxmPairwise", "ndim": 3, "features": [16, 32, 32, 32]},
    "Vxm2018": {"class": "Vxm2018", "ndim": 3, "features": FEATURES, "integration_steps": 0},
}
PRECISE = 1e-4  # of the largest displacement, that ways may differ by


def forward(
    network: str, shape: list[int], device: str = "cpu", repeats: int = 3, weights: Path | None = None
) -> dict[str, float]:
    """The fastest of some passes by each way: `plain_wall`, `plain_cpu`, `ours_wall`, ... in seconds, and those of the
    U-Net alone, `plain_unet_wall`, ...

    `limit` is how many GFLOP a processor second a large matrix product reaches here, `gflop` what the pass has to do.

    Args:
        network: one of `ARCHITECTURES`, with random weights; of another one a file of `weights` is given.
        shape: of the images, a multiple of 16 each axis.
    """
    torch.manual_seed(0)
    built = build_network(ARCHITECTURES[network]) if weights is None else load_model(weights).network
    built.to(device)
    fixed, moving = (smooth(shape).to(device) for _ in range(2))
    ways = _ways(built, device)
    with FlopCounterMode(display=False) as counter:
        expected = ways["plain"](fixed, moving).displacement(tuple(shape))
    found: dict[str, list[dict[str, float]]] = {part: [] for name in ways for part in (name, f"{name}_unet")}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            clock = Clock()
            flow = way(fixed, moving)
            float(flow.field[0, 0, 0, 0, 0])  # waits for a GPU
            unet = clock.spent()
            displacement = flow.displacement(tuple(shape))
            float(displacement[0, 0, 0, 0, 0])
            if turn:
                found[name].append(clock.spent())
                found[f"{name}_unet"].append(unet)
            elif (displacement - expected).abs().max() > PRECISE * expected.abs().max():
                raise SystemExit(f"{network}: {name} gives another displacement than plain")
    least = {f"{name}_{on}": time for name, times in found.items() for on, time in fastest(times).items()}
    return {**least, "gflop": counter.get_total_flops() / 1e9, "limit": matrix_product(device)}


def smooth(shape: list[int]) -> torch.Tensor:
    """Values of 0 to 1 that vary like tissue."""
    values = torch.from_numpy(gaussian_filter(torch.rand(*shape).numpy(), [n / 30 for n in shape]))
    return ((values - values.min()) / (values.max() - values.min()))[None, None]


def _ways(network: Network, device: str) -> dict[str, Callable[[torch.Tensor, torch.Tensor], Flow]]:
    def plain(fixed: torch.Tensor, moving: torch.Tensor) -> Flow:
        with torch.no_grad():
            return network(fixed, moving)

    ours, by_openvino = copy.deepcopy(network), copy.deepcopy(network)
    ours.compiled.of = lambda layers, images: None  # type: ignore[method-assign]
    ways = {"plain": plain, "ours": ours.flow}
    if device == "cpu" and importlib.util.find_spec("openvino"):
        compiled._OFTEN = 0  # compiled at once
        ways["openvino"] = by_openvino.flow
    return ways


def matrix_product(device: str) -> float:
    """GFLOP a processor second (on a GPU a second), float32, the best of three."""
    edge = 2048 if device == "cpu" else 8192
    one, other = torch.rand(2, edge, edge, device=device)
    best = math.inf
    for _ in range(3):
        clock = Clock()
        float((one @ other)[0, 0])
        best = min(best, clock.spent()["cpu" if device == "cpu" else "wall"])
    return 2 * edge**3 / best / 1e9
