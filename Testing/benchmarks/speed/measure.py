"""One measurement, in a process of its own: `python -m Testing.benchmarks.speed.measure KIND '{"shape": [...], ...}'`.

Prints one JSON object: what was asked for, processor and wall seconds, and the memory at the peak (MB). Frames are
files that another process made; `folder` says where they may stay for the next call.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch

from Testing.benchmarks.speed.clock import Clock, fastest, peak_megabytes
from Testing.benchmarks.speed.forward import forward
from Testing.benchmarks.speed.in_parallel import DIFFERENT, cohort
from Testing.benchmarks.speed.on_device import label_warps, looks, precision
from Testing.benchmarks.speed.overhead import opened, overhead
from Testing.benchmarks.speed.sequence import KNOWN, LABELS, frames_by_another_process
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.networks import compiled
from VoxelMorphRegistrationLib.propagation.frames import FileFrames
from VoxelMorphRegistrationLib.propagation.propagate import Propagation
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings
from VoxelMorphRegistrationLib.space.grid import Grid

_FIRST = 1  # frames that carry what is done once, where every frame is registered


def direct(
    shape: list[int], model: str, repeats: int = 2, device: str = "cpu", folder: Path | None = None, refine: int = 0
) -> dict[str, float]:
    """A registered frame, refined by so many updates, without its label map and checks; the second and later ones."""
    with ExitStack() as stack:
        paths = _frames(stack, folder, shape, repeats + 2)
        registrar = Registrar(model, Settings(align="none", device=device, refine=refine))
        reference, times = sitk.ReadImage(str(paths[0])), []
        for path in paths[1:]:
            image = sitk.ReadImage(str(path))
            clock = Clock()
            registrar.register(image, reference)
            times.append(clock.spent())
    return fastest(times[1:])


def pair(shape: list[int], model: str, output: Path, folder: Path) -> dict[str, float]:
    """The frame whose true displacement is known, after another one; its displacement goes into a file."""
    with ExitStack() as stack:
        paths = _frames(stack, folder, shape, KNOWN + 1)
        registrar = Registrar(model, Settings(align="none"))
        reference = sitk.ReadImage(str(paths[0]))
        for path in paths[KNOWN - 1 :]:
            image = sitk.ReadImage(str(path))
            clock = Clock()
            registration = registrar.register(image, reference)
            spent = clock.spent()
    sitk.WriteImage(registration.displacement, str(output))
    return spent


def sequence(
    shape: list[int], model: str, strategy: str, count: int, device: str = "cpu", folder: Path | None = None
) -> dict[str, float]:
    """A frame of a whole propagation from files to files, labels and table: the mean of all, looks and key frames
    included; where every frame is registered, of all but the reference and the first.

    `early_mb` and `late_mb`: memory after a tenth of the frames and at the end.
    """
    with ExitStack() as stack:
        paths = _frames(stack, folder, shape, min(count, DIFFERENT))
        output = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voxelmorph-speed-"))) / "out"
        frames = FileFrames([paths[index % len(paths)] for index in range(count)])
        settings = PropagationSettings(strategy, registration=Settings(align="none", device=device))
        labels = sitk.ReadImage(str(paths[0].parent.parent / LABELS))
        propagation = Propagation(frames, labels, 0, model, settings)
        run = opened(propagation, output)
        clock, counted, registered, memory = Clock(), count, 0, []
        for number, result in enumerate(propagation.kept_in(output).run()):
            if result.failure is not None:
                raise SystemExit(result.failure.traceback)
            run.add(result)
            registered += result.strategy in ("direct", "sequential")
            memory.append(resident_megabytes())
            if strategy == "direct" and number == _FIRST:
                clock, counted = Clock(), count - _FIRST - 1
        run.finish(Grid.of(labels))
        spent = {name: seconds / counted for name, seconds in clock.spent().items()}
    return {
        **spent,
        "counted": counted,
        "registered": registered,
        "early_mb": memory[count // 10],
        "late_mb": memory[-1],
    }


def resident_megabytes() -> float:
    """NaN where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS:")), float("nan"))


def _frames(stack: ExitStack, folder: Path | None, shape: list[int], count: int) -> list[Path]:
    if folder is None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voxelmorph-speed-")))
    return frames_by_another_process(folder, shape, count)


KINDS = {
    one.__name__: one for one in (forward, direct, pair, sequence, cohort, overhead, precision, looks, label_warps)
}


def main() -> None:
    kind, given = sys.argv[1], json.loads(sys.argv[2])
    places = {name: Path(given.pop(name)) for name in ("folder", "output", "weights") if name in given}
    options: dict[str, Any] = {**given, **places}
    threads = options.pop("threads", 1)
    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    if kind != "forward" and not options.pop("openvino", False):
        compiled._OFTEN = sys.maxsize  # as where it is not installed
    load_model("any-anatomy-fast")  # what is loaded once is in no measurement
    found = KINDS[kind](**options)
    rounded = {name: round(value, 4) for name, value in found.items()}
    print(json.dumps({"kind": kind, **given, **rounded, "peak_mb": round(peak_megabytes())}))


if __name__ == "__main__":
    main()
