"""Seconds of one forward pass on this CPU: PyTorch's own choice of convolutions against those `network.flow` uses.

python -m Testing.benchmarks.forward_speed [--sizes 64 96 128] [--threads 2] [--output .../results/forward_speed.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import torch

from VoxelMorphRegistrationLib.networks import Network, build_network

FEATURES = [[16, 32, 32, 32], [32, 32, 32, 32, 32, 16, 16]]
NETWORKS = {
    "VxmDense": {"class": "VxmDense", "ndim": 3, "features": FEATURES, "integration_factor": 2},
    "VxmDense, half-resolution U-Net": {"class": "VxmDense", "ndim": 3, "features": FEATURES, "half_resolution": True},
    "VxmPairwise [16, 32, 32, 32]": {"class": "VxmPairwise", "ndim": 3, "features": [16, 32, 32, 32]},
    "2018": {"class": "Vxm2018", "ndim": 3, "features": FEATURES, "integration_steps": 0},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("results") / "forward_speed.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rows = []
    for name, architecture in NETWORKS.items():
        network = build_network(architecture)
        for size in arguments.sizes:
            row = {"network": name, "size": size, **measure(network, size, arguments.repeats)}
            rows.append(row)
            print(f"{name:32s} {size:4d}^3  {row['plain_seconds']:7.2f} s  {row['flow_seconds']:7.2f} s", flush=True)
    machine = {"torch": torch.__version__, "threads": arguments.threads, "processor": platform.processor()}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({**machine, "rows": rows}, indent=2) + "\n")
    return 0


def measure(network: Network, size: int, repeats: int) -> dict:
    fixed, moving = torch.rand(2, 1, 1, size, size, size)

    def plain() -> torch.Tensor:
        with torch.no_grad():
            return network(fixed, moving).field

    def flow() -> torch.Tensor:
        return network.flow(fixed, moving).field

    difference = (plain() - flow()).abs().max() / plain().abs().max()
    return {
        "plain_seconds": round(best(plain, repeats), 3),
        "flow_seconds": round(best(flow, repeats), 3),
        "largest_relative_difference": float(difference),
    }


def best(function, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
