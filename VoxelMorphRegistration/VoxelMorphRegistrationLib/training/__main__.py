"""`python -m VoxelMorphRegistrationLib.training`: train the bundled network on synthetic pairs."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from ..errors import DependencyMissing, InputError
from .budget import parse_budget
from .loop import LoopSettings
from .pretraining import Pretraining
from .synthesis import SynthesisSettings
from .synthetic_pairs import ARCHITECTURE, PretrainingSettings


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, 1 for bad input, 3 for a missing dependency, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m VoxelMorphRegistrationLib.training", description=__doc__)
    parser.add_argument("folder", type=Path, help="for checkpoint, log and model; a run there is continued")
    parser.add_argument("--budget", default="2h", help="time (90s, 5min, 2h) or steps (500steps); default 2h")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--size", type=int, default=48, help="edge of the training images in voxels, a multiple of 16")
    parser.add_argument(
        "--start", type=Path, help="weights to begin with, of this architecture or one with fewer encoder features"
    )
    parser.add_argument("--features", help="such as 8,32,64,64/64,64,32,16")
    parser.add_argument(
        "--cue-windows", type=int, nargs="+", default=ARCHITECTURE["cue_windows"], help="voxels, odd, such as 7 3"
    )
    parser.add_argument("--learning-rate", type=float, default=LoopSettings.learning_rate)
    parser.add_argument(
        "--displacement", type=float, nargs=2, default=SynthesisSettings.displacement, metavar=("LOW", "HIGH")
    )
    parser.add_argument("--contrast-change", type=float, default=SynthesisSettings.contrast_change)
    parser.add_argument("--smoothness", type=float, default=PretrainingSettings.smoothness)
    parser.add_argument("--held-back", type=int, default=PretrainingSettings.held_back, help="pairs that judge it")
    parser.add_argument(
        "--accumulate", type=int, default=PretrainingSettings().loop.accumulate, help="losses in a step"
    )
    parser.add_argument("--batch", type=int, default=PretrainingSettings.batch, help="pairs at a time: more fill a GPU")
    parser.add_argument("--check-every", type=int, default=LoopSettings.check_every)
    options = parser.parse_args(arguments)
    # Numbers too small to matter would cost a CPU a hundred times the time of others.
    torch.set_flush_denormal(True)
    if options.threads:
        torch.set_num_threads(options.threads)
    # Shapes repeat; the fastest convolutions for each are worth looking for once.
    torch.backends.cudnn.benchmark = True
    architecture = {**ARCHITECTURE, "cue_windows": options.cue_windows}
    if options.features:
        architecture["features"] = [[int(n) for n in part.split(",")] for part in options.features.split("/")]
        coarsest = 2 ** len(architecture["features"][0])
        architecture["pyramid"] = [factor for factor in ARCHITECTURE["pyramid"] if factor <= coarsest]
    settings = PretrainingSettings(
        architecture=architecture,
        synthesis=SynthesisSettings(
            shape=(options.size,) * 3,
            displacement=tuple(options.displacement),
            contrast_change=options.contrast_change,
        ),
        loop=replace(
            PretrainingSettings().loop,
            learning_rate=options.learning_rate,
            accumulate=options.accumulate,
            check_every=options.check_every,
        ),
        smoothness=options.smoothness,
        held_back=options.held_back,
        seed=options.seed,
        batch=options.batch,
    )
    printed = [-1]

    def report(spent: float, row: dict) -> None:
        if row["step"] != printed[0]:
            printed[0] = row["step"]
            values = " ".join(f"{key} {value:.4g}" for key, value in row.items() if key not in ("step", "seconds"))
            print(f"{100 * spent:5.1f} %  step {row['step']}  {row['seconds']:.0f} s  {values}", flush=True)

    try:
        Pretraining(settings, parse_budget(options.budget), options.folder, options.device, options.start).run(report)
    except (InputError, DependencyMissing) as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, InputError) else 3
    except KeyboardInterrupt:
        print(f"interrupted; the same command continues from {options.folder / 'checkpoint.pt'}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
