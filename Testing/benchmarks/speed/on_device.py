"""What a device does with its time: how much of a registration it works, what precision, batches and warps there give.

Each also runs on a CPU, where precision and batches change nothing and there is no device to wait.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from Testing.benchmarks.speed.clock import Clock, fastest
from Testing.benchmarks.speed.sequence import KNOWN, LABELS, TRUTH, frames_by_another_process
from VoxelMorphRegistrationLib.annotations.device_warping import DeviceWarper
from VoxelMorphRegistrationLib.annotations.label_warping import SmoothWarper
from VoxelMorphRegistrationLib.annotations.nearest_warping import warp_nearest
from VoxelMorphRegistrationLib.models.loading import Model
from VoxelMorphRegistrationLib.networks.precision import HALF
from VoxelMorphRegistrationLib.propagation.motion_model_look import CoarseLook
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings

BATCHES = (1, 2, 4, 8, 16, 32, 64)
_REPEATS = 3


def precision(
    shape: list[int], model: str | Model, device: str = "cpu", folder: Path | None = None
) -> dict[str, float]:
    """A registered frame in float32 and as 'auto' has it: `float32_wall`, `auto_wall`, ...; how far their displacements
    are apart, `largest_voxels` and `mean_voxels`; and by 'auto' the device's share of the wall time, `busy`, NaN where
    it does not say.
    """
    with ExitStack() as stack:
        reference, frame = (sitk.ReadImage(str(path)) for path in _two(stack, folder, shape))
    found: dict[str, float] = {}
    fields = []
    for name in ("float32", "auto"):
        registrar = Registrar(model, Settings(align="none", device=device, precision=name))  # type: ignore[arg-type]
        registrar.register(frame, reference)
        times = []
        for _ in range(_REPEATS):
            clock = Clock()
            registration = registrar.register(frame, reference)
            times.append(clock.spent())
        found |= {f"{name}_{on}": seconds for on, seconds in fastest(times).items()}
        fields.append(sitk.GetArrayFromImage(registration.displacement))
    apart = np.linalg.norm((fields[0] - fields[1]) / np.array(frame.GetSpacing()), axis=-1)
    found |= {"largest_voxels": float(apart.max()), "mean_voxels": float(apart.mean())}
    found["half"] = float(registrar.convolutions == HALF)
    found["busy"] = busy_seconds(lambda: registrar.register(frame, reference)) / found["auto_wall"]
    return found


def busy_seconds(work: Callable[[], object]) -> float:
    """For how long a GPU works on something; NaN where there is none, or it does not say."""
    if not torch.cuda.is_available():
        return math.nan
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize()
    microseconds = sum(getattr(one, "self_device_time_total", 0) for one in seen.key_averages())
    return microseconds / 1e6 if microseconds else math.nan


def looks(shape: list[int], model: str, device: str = "cpu", folder: Path | None = None) -> dict[str, float]:
    """A coarse look at a frame that is on the device already, so many frames together: `1_wall`, `2_wall`, ...;
    `together` is how many the program takes, `apart_voxels` how far a look among them is from one alone.
    """
    with ExitStack() as stack:
        reference, frame = (sitk.ReadImage(str(path)) for path in _two(stack, folder, shape))
    look = CoarseLook(Registrar(model, Settings(align="none", device=device)), reference)
    clock = Clock()
    seen = look.seen(frame)
    found = {f"ready_{on}": seconds for on, seconds in clock.spent().items()}
    alone = look.at_all([seen])[0].astype(np.float32)
    largest = 0.0
    for count in BATCHES:
        if count > max(2, look.together):
            break
        together = look.at_all([seen] * count)
        times = []
        for _ in range(_REPEATS):
            clock = Clock()
            look.at_all([seen] * count)
            times.append(clock.spent())
        found |= {f"{count}_{on}": seconds / count for on, seconds in fastest(times).items()}
        largest = max(largest, *(float(np.abs(one.astype(np.float32) - alone).max()) for one in together))
    # Looks are in mm, and of the network's voxels eight an axis are one of theirs.
    return {**found, "together": look.together, "apart_voxels": largest / (min(look.grid.spacing) / 8)}


def label_warps(shape: list[int], device: str = "cpu", folder: Path | None = None) -> dict[str, float]:
    """A label map pulled through a displacement, by nearest and smooth: `nearest_wall`, `nearest_processor_wall`, ...,
    and the share of voxels that differ, `nearest_apart`.
    """
    with ExitStack() as stack:
        place = _two(stack, folder, shape)[0].parent.parent
        labels, field = (sitk.ReadImage(str(place / name)) for name in (LABELS, TRUTH))
    warper, smooth = DeviceWarper(labels, torch.device(device)), SmoothWarper(labels)
    ways: dict[str, Callable[[], sitk.Image]] = {
        "nearest_processor": lambda: warp_nearest(labels, field),
        "nearest": lambda: warper.warp(field, "nearest"),
        "smooth_processor": lambda: smooth.warp(field),
        "smooth": lambda: warper.warp(field, "smooth"),
    }
    found: dict[str, float] = {}
    results = {}
    for name, warp in ways.items():
        results[name] = sitk.GetArrayFromImage(warp())
        times = []
        for _ in range(_REPEATS):
            clock = Clock()
            warp()
            times.append(clock.spent())
        found |= {f"{name}_{on}": seconds for on, seconds in fastest(times).items()}
    for kind in ("nearest", "smooth"):
        found[f"{kind}_apart"] = float(np.mean(results[kind] != results[f"{kind}_processor"]))
    return found


def _two(stack: ExitStack, folder: Path | None, shape: list[int]) -> tuple[Path, Path]:
    """Frame 0 and the one whose displacement to it is known."""
    if folder is None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voxelmorph-speed-")))
    paths = frames_by_another_process(folder, shape, KNOWN + 1)
    return paths[0], paths[KNOWN]
