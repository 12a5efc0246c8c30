"""What `propagate` costs beside the bare loop: forward pass, integration, one label warp.

Both loops run in turn, frame by frame, in one process, so that both meet the same load of the machine. `propagate`
includes reading, preparing, measuring, and writing the label volumes and the table.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from Testing.benchmarks.speed.clock import Clock
from VoxelMorphRegistrationLib.flow import sampling
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.network_space.inputs import on_network_grid
from VoxelMorphRegistrationLib.propagation.folder import RunFolder
from VoxelMorphRegistrationLib.propagation.frame_files import Wanted
from VoxelMorphRegistrationLib.propagation.frames import FileFrames
from VoxelMorphRegistrationLib.propagation.propagate import Propagation
from VoxelMorphRegistrationLib.propagation.record import Run
from VoxelMorphRegistrationLib.space.grid import Grid


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


def overhead(edge: int, count: int, model: str) -> dict[str, float]:
    """Seconds of a frame by both, the median after the first two: `wall` and `cpu` are `propagate`'s."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths, labels = make_case(folder, edge, count + 1)
        loaded = load_model(model)
        propagation = Propagation(FileFrames(paths), labels, 0, loaded)
        output = opened(propagation, folder / "out")
        results = propagation.run()
        output.add(next(results))  # the reference
        grid = propagation.network_grid()
        images = [sitk.ReadImage(str(path)) for path in paths]
        tensors = [on_network_grid(image, grid, None, loaded.card.intensity) for image in images]
        label_tensor = torch.from_numpy(sitk.GetArrayFromImage(labels).astype(np.float32))[None, None]
        bare_frame(loaded, tensors[1], tensors[0], label_tensor)
        spent: dict[str, list[dict[str, float]]] = {"bare": [], "propagate": []}
        for index in range(1, count + 1):
            for what in ("bare", "propagate") if index % 2 else ("propagate", "bare"):
                clock = Clock()
                if what == "bare":
                    bare_frame(loaded, tensors[index], tensors[0], label_tensor)
                else:
                    output.add(next(results))
                    if index == count:
                        output.close()
                spent[what].append(clock.spent())
        results.close()
        output.abandon()
    median = {
        what: {clock: statistics.median(one[clock] for one in rows[1:]) for clock in ("wall", "cpu")}
        for what, rows in spent.items()
    }
    bare = {f"bare_{clock}": seconds for clock, seconds in median["bare"].items()}
    return {**median["propagate"], **bare, "network_edge": grid.size[0]}


def opened(propagation: Propagation, output: Path) -> RunFolder:
    """A run's folder for the frames of the propagation, label volumes and table alone."""
    model = propagation.model
    run = Run({}, {"name": model.name, "sha256": model.sha256}, {}, [""])
    return RunFolder(output, run, propagation.frames, propagation.segments(), Wanted())
