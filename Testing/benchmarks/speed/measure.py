"""One measurement, in a process of its own: `python -m Testing.benchmarks.speed.measure KIND '{"edge": 64, ...}'`.

Prints one JSON object: what was asked for, processor and wall seconds, and the memory at the peak (MB). Processor
seconds count system time, and suffer less than wall time from what else the machine does.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch

from Testing.benchmarks.speed.sequence import BreathingBody
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.networks import build_network
from VoxelMorphRegistrationLib.propagation.propagate import Propagation
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings

FEATURES = [[16, 32, 32, 32], [32, 32, 32, 32, 32, 16, 16]]


class Clock:
    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), processor_seconds()

    def spent(self) -> dict[str, float]:
        return {"wall": time.perf_counter() - self._wall, "cpu": processor_seconds() - self._cpu}


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def fastest(of: list[dict[str, float]]) -> dict[str, float]:
    return min(of, key=lambda one: one["cpu"])


def forward(edge: int, half_resolution: bool, plain: bool, repeats: int = 3, device: str = "cpu") -> dict[str, float]:
    """One forward pass of VxmDense, by PyTorch's own choice or as `flow` does it; the second and later ones."""
    torch.manual_seed(0)
    architecture: dict[str, Any] = {"class": "VxmDense", "ndim": 3, "features": FEATURES}
    network = build_network({**architecture, "half_resolution": half_resolution}).to(device)
    fixed, moving = torch.rand(2, 1, 1, edge, edge, edge, device=device)
    times = []
    for _ in range(repeats + 1):
        clock = Clock()
        with torch.no_grad():
            field = network(fixed, moving).field if plain else network.flow(fixed, moving).field
        float(field[0, 0, 0, 0, 0])  # waits for a GPU
        times.append(clock.spent())
    return fastest(times[1:])


def direct(shape: list[int], model: str, repeats: int = 2, device: str = "cpu") -> dict[str, float]:
    """A registered frame, without its label map and checks; the second and later ones."""
    frames = BreathingBody(tuple(shape), repeats + 2)
    registrar = Registrar(model, Settings(align="none", device=device))
    reference, times = frames[0], []
    for index in range(1, repeats + 2):
        image = frames[index]
        clock = Clock()
        registrar.register(image, reference)
        times.append(clock.spent())
    return fastest(times[1:])


def sequence(shape: list[int], model: str, strategy: str, count: int, device: str = "cpu") -> dict[str, float]:
    """A frame of a whole propagation in memory, key frames and looks included; making the frames is left out."""
    frames = BreathingBody(tuple(shape), count)
    labels = frames.labels()
    images = {index: frames[index] for index in range(min(count, 48))}

    class Again(BreathingBody):
        def __getitem__(self, index: int) -> sitk.Image:
            return images[index % len(images)]

    frames.__class__ = Again
    pairs = Settings(align="none", device=device)
    propagation = Propagation(frames, labels, 0, model, PropagationSettings(strategy, registration=pairs))
    by: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / ".resume").mkdir()
        clock = Clock()
        for result in propagation.kept_in(Path(scratch)).run():
            by[result.strategy] = by.get(result.strategy, 0) + 1
        spent = {name: value / count for name, value in clock.spent().items()}
    return {**spent, "registered": by.get("direct", 0) + by.get("sequential", 0)}


def overhead(edge: int, count: int, model: str) -> dict[str, float]:
    """`propagate` with files in and out against its bare loop of forward pass, integration and label warp."""
    from Testing.benchmarks.propagation_overhead import measure_overhead

    found = measure_overhead(edge, count, model)
    return {"cpu": found["cpu"]["propagate_seconds"], "bare": found["cpu"]["bare_seconds"]}


def other(shape: list[int], tool: str) -> dict[str, float]:
    """A pair registered by another tool, with the settings of the accuracy benchmark."""
    from Testing.benchmarks.accuracy import others

    method = {
        "elastix": others.elastix_default,
        "ANTs": others.ants_syn,
        "greedy": others.greedy_ncc,
        "convexAdam": others.convex_adam,
    }[tool]
    frames = BreathingBody(tuple(shape), 2)
    clock = Clock()
    method(sitk.Cast(frames[1], sitk.sitkFloat32), sitk.Cast(frames[0], sitk.sitkFloat32), "same")
    return clock.spent()


KINDS = {one.__name__: one for one in (forward, direct, sequence, overhead, other)}


def main() -> None:
    kind, given = sys.argv[1], json.loads(sys.argv[2])
    options = dict(given)
    threads = options.pop("threads", 1)
    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    if kind != "other":
        load_model("any-anatomy-fast")  # what is loaded once is in no measurement
    found = KINDS[kind](**options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    rounded = {name: round(value, 4) for name, value in found.items()}
    print(json.dumps({"kind": kind, **given, **rounded, "peak_mb": round(peak)}))


if __name__ == "__main__":
    main()
