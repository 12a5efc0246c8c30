"""What `propagate` costs beside the bare loop (forward, integration, one label warp), and whether its memory grows.

    # 128^3, prints a table, writes results/propagation_overhead.json
    python -m Testing.benchmarks.propagation_overhead
    # 300 frames of 48^3, resident memory after 30 and after 300
    python -m Testing.benchmarks.propagation_overhead --memory

Both loops run in turn, frame by frame, in one process, so that both meet the same load of the machine. `propagate`
includes reading, preparing, measuring, and writing the label volumes and the table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from VoxelMorphRegistrationLib.flow import sampling
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.network_space.inputs import on_network_grid
from VoxelMorphRegistrationLib.propagation.folder import RunFolder
from VoxelMorphRegistrationLib.propagation.frame_files import Wanted
from VoxelMorphRegistrationLib.propagation.frames import FileFrames
from VoxelMorphRegistrationLib.propagation.propagate import Propagation
from VoxelMorphRegistrationLib.propagation.record import Run
from VoxelMorphRegistrationLib.space.grid import Grid

RESULTS = Path(__file__).parent / "results"


def make_case(folder: Path, edge: int, count: int) -> tuple[list[Path], sitk.Image]:
    """Frames of smooth noise that go to and fro by a voxel, and a segmentation of three labels.

    By no more: a start that is looked for where tissue moves further is no overhead of the loop.
    """
    base = gaussian_filter(np.random.default_rng(0).normal(size=(edge,) * 3).astype(np.float32), edge / 30)
    grid = Grid((edge,) * 3, (2.0,) * 3, (0.0,) * 3, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    labels = np.digitize(gaussian_filter(base, edge / 30), np.std(base) * np.array([0.1, 0.3, 0.5])).astype(np.uint8)
    labels[:, : edge // 4] = 0
    paths = [folder / f"{index:04d}.nrrd" for index in range(count)]
    for index, path in enumerate(paths):
        values = np.roll(base, index % 2, 0) / np.std(base) * 200 + 500
        sitk.WriteImage(grid.image(values.astype(np.int16)), str(path))
    return paths, grid.image(labels)


def bare_frame(model, fixed: torch.Tensor, moving: torch.Tensor, labels: torch.Tensor) -> None:
    displacement = model.network.flow(fixed, moving).displacement(tuple(fixed.shape[2:]))
    sampling.warp(labels, displacement, mode="nearest")


def measure_overhead(edge: int, count: int, name: str | None) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths, labels = make_case(folder, edge, count + 1)
        model = load_model(name) if name else load_model()
        propagation, output = opened(paths, labels, model, folder / "out")
        results = propagation.run()
        output.add(next(results))  # the reference
        images = [sitk.ReadImage(str(path)) for path in paths]
        grid = propagation.network_grid()
        tensors = [on_network_grid(image, grid, None, model.card.intensity) for image in images]
        label_tensor = torch.from_numpy(sitk.GetArrayFromImage(labels).astype(np.float32))[None, None]
        bare_frame(model, tensors[1], tensors[0], label_tensor)
        rows = []
        for index in range(1, count + 1):
            for what in ("bare", "propagate") if index % 2 else ("propagate", "bare"):
                wall, cpu = time.perf_counter(), time.process_time()
                if what == "bare":
                    bare_frame(model, tensors[index], tensors[0], label_tensor)
                else:
                    output.add(next(results))
                    if index == count:
                        output.close()
                rows.append({"what": what, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu})
    found = {"edge": edge, "frames": count, "model": model.name, "threads": torch.get_num_threads()}
    for clock in ("wall", "cpu"):
        total = {
            what: statistics.median(row[clock] for row in rows[2:] if row["what"] == what)
            for what in ("bare", "propagate")
        }
        found[clock] = {
            **{f"{what}_seconds": round(value, 3) for what, value in total.items()},
            "ratio": round(total["propagate"] / total["bare"], 3),
        }
    return found


def measure_memory(edge: int, count: int, name: str | None) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths, labels = make_case(folder, edge, 8)
        paths = [paths[index % 8] for index in range(count + 1)]
        propagation, output = opened(paths, labels, load_model(name) if name else load_model(), folder / "out")
        resident = {}
        for number, result in enumerate(propagation.run()):
            output.add(result)
            if number in (30, count):
                resident[number] = resident_megabytes()
        output.close()
    return {
        "edge": edge,
        "resident_mb": resident,
        "growth_percent": round(100 * (resident[count] / resident[30] - 1), 2),
    }


def opened(paths: list[Path], labels: sitk.Image, model, output: Path) -> tuple[Propagation, RunFolder]:
    frames = FileFrames(paths)
    propagation = Propagation(frames, labels, 0, model)
    run = Run({}, {"name": model.name, "sha256": model.sha256}, {}, [""])
    return propagation, RunFolder(output, run, frames, propagation.segments(), Wanted())


def resident_megabytes() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1000, 1)
    return float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--edge", type=int)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--model")
    args = parser.parse_args()
    name = "propagation_memory" if args.memory else "propagation_overhead"
    if args.memory:
        found = measure_memory(args.edge or 48, args.frames or 300, args.model)
    else:
        found = measure_overhead(args.edge or 128, args.frames or 10, args.model)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
