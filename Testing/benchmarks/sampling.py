"""What sampling a volume and resampling a flow take on a processor: PyTorch's own way, and the quick one.

    python -m Testing.benchmarks.sampling     # a quarter of a minute

Processor nanoseconds a position on one thread, the least of some rounds, where a smooth flow of some voxels points; and
by how much, of the range of values, the quick way differs from double precision. Writes results/sampling.json and a
table of Docs/speed.md.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from Testing.benchmarks.speed.report import PAGE, RESULTS
from Testing.benchmarks.speed.run import machine
from Testing.support.marked_pages import between
from VoxelMorphRegistrationLib.flow import sampling
from VoxelMorphRegistrationLib.flow.filters import resized

RESULT = RESULTS / "sampling.json"
SHAPES = ((28, 104, 88), (56, 208, 176))
ROUNDS = 25
HEADER = "| what | ns by PyTorch | ns by the quick way | largest difference |\n|---|---|---|---|"


def measured() -> list[dict[str, str | float]]:
    rows: list[dict[str, str | float]] = []
    for shape in SHAPES:
        size = " x ".join(str(n) for n in shape)
        flow = 3 * F.interpolate(torch.randn(1, 3, 5, 5, 5), shape, mode="trilinear")
        position = sampling.normalised_positions(flow, shape)
        for channels in (1, 3):
            image = F.interpolate(torch.rand(1, channels, *(n // 3 for n in shape)), shape, mode="trilinear")
            sampled = partial(sampling.sample_normalised, image, position, "border")
            exact = F.grid_sample(image.double(), position.double().movedim(1, -1), "bilinear", "border", True)
            what = f"values of {channels} channel{'s' * (channels > 1)} at {size} places"
            rows.append(_row(what, shape, partial(sampled, quick=False), partial(sampled, quick=True), exact))
        coarse = flow[:, :, ::2, ::2, ::2].contiguous()
        plain, quick = partial(_interpolated, coarse, shape), partial(resized, coarse, shape)
        exact = _interpolated(coarse.double(), shape)
        rows.append(_row(f"a flow made {size} of half as many", shape, plain, quick, exact))
    return rows


def _interpolated(flow: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    return F.interpolate(flow, shape, mode="trilinear", align_corners=True)


def _row(
    what: str,
    shape: tuple[int, ...],
    plain: Callable[[], torch.Tensor],
    quick: Callable[[], torch.Tensor],
    exact: torch.Tensor,
) -> dict[str, str | float]:
    difference = float((quick() - exact).abs().max() / (exact.max() - exact.min()))
    return {"what": what, "plain": _least(plain, shape), "quick": _least(quick, shape), "difference": difference}


def _least(what: Callable[[], torch.Tensor], shape: tuple[int, ...]) -> float:
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time()
        what()
        taken.append(time.process_time() - started)
    return round(min(taken) / math.prod(shape) * 1e9, 1)


def table(told: dict) -> str:
    lines = [f"| {row['what']} | {row['plain']} | {row['quick']} | {row['difference']:.0e} |" for row in told["rows"]]
    return "\n".join([HEADER, *lines])


def page() -> str:
    """Docs/speed.md as the results are."""
    told = json.loads(RESULT.read_text(encoding="utf-8"))
    return between(PAGE.read_text(encoding="utf-8"), "sampling", f"\n{table(told)}\n")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    told = {"machine": machine(False), "rounds": ROUNDS, "rows": measured()}
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
