"""Every measurement of `make benchmark-speed` by its name, which begins with the part that it belongs to."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

RELEASED = "the released brain network"

PATIENT = (64, 128, 128)
SIZES = ((64, 64, 64), (96, 96, 96), PATIENT, (192, 192, 192), (256, 256, 256))
SMALL = (16, 24, 24)
LENGTHS = (10, 100, 2000)
FAST, DEFAULT = "any-anatomy-fast", "any-anatomy"
#: Methods of `accuracy.others`, by the name of their measurement.
TOOLS = {
    "greedy": "greedy NCC",
    "elastix": "elastix default",
    "ants": "ANTs SyN",
    "convexadam": "convexAdam",
}


@dataclass(frozen=True)
class Measurement:
    """Attributes: kind, options: of `measure`, or 'tool' and those of `tools.register_by_tool`."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        return self.options.get("device", "cpu") != "cpu"


def measurements(quick: bool, gpu: bool) -> dict[str, Measurement]:
    """In the order in which they are made and told; those of a GPU where there is one."""
    found = {**_forward(quick), **_frames(quick), **_tools(quick), **_growing(quick)}
    if gpu:
        found |= _on_gpu(quick)
    return found


def _shape(full: tuple[int, ...], quick: bool) -> list[int]:
    return [n // 4 // 16 * 16 or 16 for n in full] if quick else list(full)


def _forward(quick: bool) -> dict[str, Measurement]:
    found = {}
    for threads in (1, 2):
        options = {"network": RELEASED, "shape": _shape((160, 192, 224), quick), "threads": threads}
        found[f"forward-released-{threads}"] = Measurement("forward", options)
    for name, network in (
        ("vxmdense", "VxmDense"),
        ("half", "VxmDense, half-resolution U-Net"),
        ("pairwise", "VxmPairwise"),
        ("2018", "Vxm2018"),
    ):
        found[f"forward-{name}"] = Measurement("forward", {"network": network, "shape": _shape((96, 96, 96), quick)})
    return found


def _frames(quick: bool, **where: str) -> dict[str, Measurement]:
    """A frame by each strategy, and beside the bare loop."""
    asked: dict[str, Any] = {"shape": _shape(PATIENT, quick), **where}
    found = {}
    for name, model, strategy, count in (
        ("default", DEFAULT, "direct", 8),
        ("direct", FAST, "direct", 98 if where and not quick else 26),
        ("motion-model", FAST, "motion-model", 20 if quick else 500 if where else 100),
    ):
        options = {**asked, "model": model, "strategy": strategy, "count": count}
        found[f"strategy-{name}"] = Measurement("sequence", options)
    if not where:
        for edge in (24, 32) if quick else (84, 128):
            found[f"overhead-{edge}"] = Measurement("overhead", {"edge": edge, "count": 5, "model": DEFAULT})
    return found


def _tools(quick: bool) -> dict[str, Measurement]:
    shape = _shape(PATIENT, quick)
    ours = {f"tools-{model}": Measurement("pair", {"shape": shape, "model": model}) for model in (FAST, DEFAULT)}
    others = {f"tools-{name}": Measurement("tool", {"shape": shape, "method": one}) for name, one in TOOLS.items()}
    return {**ours, **others}


def _growing(quick: bool) -> dict[str, Measurement]:
    found = {}
    for size in SIZES:
        name = str(size[0]) if len(set(size)) == 1 else "x".join(map(str, reversed(size)))
        options = {"shape": _shape(size, quick), "model": FAST, "strategy": "direct", "count": 4}
        found[f"size-{name}"] = Measurement("sequence", options)
    for count in LENGTHS:
        for strategy in ("direct", "motion-model"):
            options = {
                "shape": list(SMALL),
                "model": FAST,
                "strategy": strategy,
                "count": max(4, count // 20) if quick else count,
            }
            found[f"length-{count}-{strategy}"] = Measurement("sequence", options)
    for threads in range(1, min(2, os.cpu_count() or 1) + 1):
        options = {"shape": _shape(PATIENT, quick), "model": FAST, "strategy": "direct", "count": 6, "threads": threads}
        found[f"cores-{threads}"] = Measurement("sequence", options)
    return found


def _on_gpu(quick: bool) -> dict[str, Measurement]:
    where = {"device": "cuda:0"}
    found = {"gpu-forward-released": _forward(quick)["forward-released-1"].options | where}
    found["gpu-forward-vxmdense"] = {"network": "VxmDense", "shape": _shape((96, 96, 96), quick), **where}
    forward = {name: Measurement("forward", options) for name, options in found.items()}
    strategies = {f"gpu-{name}": one for name, one in _frames(quick, **where).items()}
    pairs = {}
    for model, size in ((DEFAULT, PATIENT), *((FAST, size) for size in SIZES)):
        options = {"shape": _shape(size, quick), "model": model, "repeats": 1, **where}
        pairs[f"gpu-pair-{model}-{'x'.join(map(str, reversed(size)))}"] = Measurement("direct", options)
    asked = {"shape": _shape(PATIENT, quick), **where}
    refined = {"gpu-refined": Measurement("direct", {**asked, "model": DEFAULT, "refine": 100})}
    parts = {
        **{f"gpu-precision-{one}": Measurement("precision", {**asked, "model": one}) for one in (FAST, DEFAULT)},
        "gpu-looks": Measurement("looks", {**asked, "model": FAST}),
        "gpu-labels": Measurement("label_warps", asked),
    }
    of = {"model": FAST, "strategy": "motion-model", "count": 60 if quick else 2000}
    parts["gpu-cohort"] = Measurement("cohort", {**asked, **of, "workers": (os.cpu_count() or 1) * 3 // 4 or 1})
    return {**forward, **parts, **strategies, **pairs, **refined}
