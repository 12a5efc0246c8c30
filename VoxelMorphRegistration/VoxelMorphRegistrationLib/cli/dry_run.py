"""What `propagate --dry-run` says: what would be done, and what it would take."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..propagation.frame_files import Wanted
    from ..propagation.propagate import Propagation
    from ..propagation.settings import PropagationSettings


def tell(propagation: Propagation, output: Path, wanted: Wanted, args: argparse.Namespace) -> None:
    """Register one frame for the times, and tell what the whole run would take."""
    count = len(propagation.select)
    grid = propagation.network_grid()
    reference = propagation.references[0].image
    others = [index for index in propagation.select if index not in {r.index for r in propagation.references}]
    disk = disk_bytes(propagation, wanted)
    print(
        f"frames          {count} of {len(propagation.frames)} in {args.sequence}, reference "
        f"{', '.join(str(r.index) for r in propagation.references)}"
    )
    print(f"strategy        {propagation.settings.strategy}")
    print(f"frame grid      {size_text(reference.GetSize())} voxels of {size_text(reference.GetSpacing())} mm")
    print(
        f"network grid    {size_text(grid.size)} voxels of {size_text(grid.spacing)} mm, model "
        f"{propagation.model.card.name} on {propagation.registrar.device}"
    )
    if others:
        seconds, message = timed(propagation, others)
        if message:
            print(f"a frame failed  {message}")
        registered = registrations(count, propagation.settings)
        print(
            f"time            {seconds:.2f} s a registration, about {duration(seconds * registered)} in all"
            + (f", after {args.adapt} of adapting" if args.adapt else "")
        )
    print(f"memory          {memory_text(peak_megabytes(), held_bytes(propagation) / 1e6, bool(args.adapt))}")
    print(f"disk            at most {disk / 1e6:.0f} MB, {free_bytes(output) / 1e6:.0f} MB are free at {output}")


def disk_bytes(propagation: Propagation, wanted: Wanted) -> int:
    """What the results take at most: label files are compressed, and kept once more in one sequence."""
    reference = propagation.references[0]
    voxels, dimension = reference.image.GetNumberOfPixels(), reference.image.GetDimension()
    layers = () if reference.segmentation is None else reference.segmentation.layers
    labels = voxels * sum(layer.GetSizeOfPixelComponent() for layer in layers)
    transforms = 4 * dimension * voxels // wanted.transforms**dimension if wanted.transforms else 0
    return len(propagation.select) * (2 * labels + transforms)


def held_bytes(propagation: Propagation) -> int:
    """What a run holds at most beside the frame it works on: the displacements of motion-model's key frames."""
    from ..propagation.motion_model_fit import FEWEST_FRAMES, most_keys

    references = {reference.index for reference in propagation.references}
    others = len(set(propagation.select) - references)
    if propagation.settings.strategy != "motion-model" or others < FEWEST_FRAMES:
        return 0
    image = propagation.references[0].image
    return 4 * image.GetDimension() * image.GetNumberOfPixels() * most_keys(others, propagation.settings.keyframes)


def memory_text(peak: float, held: float, adapts: bool) -> str:
    """What a run takes, MB: `peak` is what this process took so far, a frame registered; `held` comes on top."""
    if math.isnan(peak):
        return "this system does not tell what registering a frame took"
    taken = f"{peak:.0f} MB, measured at the peak of registering a frame"
    if held:
        taken = f"{peak + held:.0f} MB: {taken}, and up to {held:.0f} MB for the displacements of key frames"
    return f"about {taken}" + ("; adapting the network takes more" if adapts else "")


def registrations(count: int, settings: PropagationSettings) -> float:
    """As many registrations take about as long as `count` frames with the strategy that was chosen."""
    if settings.strategy == "keyframes":
        return count / settings.keyframe_step
    if (
        settings.strategy == "motion-model"
    ):  # A look and the check of what it led to; some frames are unlike the others.
        return min(count, (settings.keyframes or 12) + 0.2 * count)
    return count


def timed(propagation: Propagation, others: list[int]) -> tuple[float, str]:
    """Seconds of the faster of two frames (the first one also carries what is done once), and why one failed."""
    results = list(propagation.trial(others[:2]).run())
    return min(result.seconds for result in results), next((r.message for r in results if r.status == "failed"), "")


def free_bytes(folder: Path) -> int:
    """Free space where the folder is, or would be."""
    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def size_text(values: Any) -> str:
    return " x ".join(f"{value:g}" for value in values)


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def peak_megabytes() -> float:
    try:
        import resource
    except ImportError:
        return float("nan")  # Windows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
