"""`slicer-voxelmorph propagate`: one segmentation to all frames of a sequence, by file."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .exit_status import Exit
from .options import add_registration_options, add_verbose_option, millimetres, settings_from

if TYPE_CHECKING:
    from ..propagation.folder import RunFolder, Wanted
    from ..propagation.progress import Progress
    from ..propagation.propagate import Propagation
    from ..propagation.record import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sequence",
        required=True,
        metavar="S",
        help="4D file, .seq.nrrd, folder, 'pattern*.nrrd', or .txt with one path a line",
    )
    parser.add_argument(
        "--segmentation",
        action="append",
        metavar="SEG",
        help="label image or .seg.nrrd of the reference frame; repeat with --reference-frame for several",
    )
    parser.add_argument(
        "--reference-frame",
        action="append",
        type=int,
        required=True,
        metavar="N",
        help="number of the segmented frame, from 0",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the results; a run that was interrupted is continued"
    )
    parser.add_argument("--frames", metavar="START:STOP:STEP", help="only these frames, as a Python slice")
    parser.add_argument(
        "--strategy",
        choices=("direct", "sequential", "keyframes"),
        default="direct",
        help="each frame with the reference, each with the one before, or every K-th and interpolated "
        "between (default: %(default)s)",
    )
    parser.add_argument("--keyframe-step", type=_positive, default=8, metavar="K", help="(default: %(default)s)")
    parser.add_argument("--adapt", metavar="5min|500steps", help="train the network on this sequence first")
    parser.add_argument(
        "--mask-margin",
        type=millimetres,
        metavar="MM",
        help="compare images only within MM of the reference's segmentation (instead of --mask)",
    )
    parser.add_argument(
        "--points", metavar="P", help="points on the reference frame (.mrk.json, .fcsv, .csv) to carry along"
    )
    parser.add_argument(
        "--surface", metavar="M", help="surface on the reference frame (.vtp, .stl, .obj, .ply) to carry along"
    )
    parser.add_argument(
        "--save-transforms",
        type=_transforms,
        default=0,
        metavar="none|full|N",
        help="displacement of each frame, whole or every N-th voxel an axis (default: none)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="start again; with --frames redo only those and keep the others as they are",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, time one frame, write nothing")
    parser.add_argument(
        "--progress",
        choices=("auto", "bar", "json", "none"),
        default="auto",
        help="a bar, or a JSON object a line on stdout (default: a bar in a terminal)",
    )
    add_registration_options(parser, align="none")
    add_verbose_option(parser)
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    segmentations = args.segmentation or []
    if not segmentations and not (args.points or args.surface):
        args.parser.error("--segmentation is needed (or --points or --surface)")
    if segmentations and len(segmentations) != len(args.reference_frame):
        args.parser.error("--segmentation and --reference-frame go together: give as many of one as of the other")
    _check_output(Path(args.output))

    from ..propagation.folder import RunFolder, Wanted

    propagation = _propagation(args, segmentations)
    wanted = Wanted(args.save_transforms, bool(args.points), bool(args.surface))
    if args.dry_run:
        return _dry_run(propagation, Path(args.output), wanted, args)
    chosen = propagation.select if args.frames is not None else None
    folder = RunFolder(
        args.output,
        _described(args, propagation, segmentations),
        propagation.frames,
        propagation.labels(),
        wanted,
        args.overwrite,
        chosen,
    )
    return _compute(args, propagation, folder)


def _compute(args: argparse.Namespace, propagation: Propagation, folder: RunFolder) -> int:
    from ..propagation.progress import Progress
    from ..space.grid import Grid

    finished = len(folder.finished.intersection(propagation.select))
    progress = Progress(args.progress, len(propagation.select), finished)
    try:
        with _terminated_as_interrupt():
            if args.adapt and finished < len(propagation.select):
                _adapt(args, propagation, folder, progress)
            results = propagation.run(folder.finished, folder.recall)
            try:
                for result in results:
                    folder.add(result)
                    progress.frame(result)
            finally:
                results.close()
            progress.stage("assembling", 0.0)
            rows = folder.finish(Grid.of(propagation.references[0].image))
            progress.stage("assembling", 1.0)
    except BaseException:
        progress.close()
        folder.abandon()
        raise
    failed = [index for index in propagation.select if rows.get(index, {}).get("status") == "failed"]
    flagged = [index for index in propagation.select if rows.get(index, {}).get("flag") and index not in failed]
    status = Exit.SOME_FRAMES if failed else Exit.DONE
    progress.finish(exit=status, failed=failed, flagged=flagged, output=str(folder.path))
    if args.progress != "json":
        _tell(folder.path, propagation.select, failed, flagged)
    if failed:
        print(
            f"slicer-voxelmorph: {len(failed)} frame(s) failed: {_numbers(failed)}; the column message of "
            f"{folder.path / 'frames.csv'} says why",
            file=sys.stderr,
        )
    return status


def _propagation(args: argparse.Namespace, segmentations: list[str]) -> Propagation:
    from ..files.images import read_image
    from ..files.markups import read_points
    from ..files.meshes import read_surface
    from ..propagation.frames import open_frames, select_frames
    from ..propagation.propagate import Propagation

    frames = open_frames(args.sequence)
    return Propagation(
        frames,
        segmentations or [None] * len(args.reference_frame),
        args.reference_frame,
        args.model,
        strategy=args.strategy,
        keyframe_step=args.keyframe_step,
        select=select_frames(args.frames, len(frames)),
        mask=read_image(args.mask) if args.mask else None,
        mask_margin=args.mask_margin,
        points=read_points(args.points) if args.points else None,
        surface=read_surface(args.surface) if args.surface else None,
        **settings_from(args),
    )


def _described(args: argparse.Namespace, propagation: Propagation, segmentations: list[str]) -> Run:
    """What run.json says of this run."""
    from ..propagation.record import Run, describe_file, describe_frames, installed_versions

    settings = {
        name: value for name, value in settings_from(args).items() if name not in ("device", "initial_transform")
    }
    settings |= {
        "strategy": args.strategy,
        "adapt": args.adapt,
        "save_transforms": args.save_transforms,
        "reference_frames": [reference.index for reference in propagation.references],
    }
    if args.strategy == "keyframes":
        settings["keyframe_step"] = args.keyframe_step
    if args.mask_margin is not None:
        settings["mask_margin"] = args.mask_margin
    inputs: dict[str, Any] = {}
    count = len(propagation.frames)
    for number, index in enumerate(args.reference_frame):
        inputs[f"reference frame {index % count}"] = describe_file(propagation.frames.file(index % count))
        if segmentations:
            inputs[f"segmentation of frame {index % count}"] = describe_file(segmentations[number])
    for role in ("points", "surface", "mask", "initial_transform"):
        if getattr(args, role):
            inputs[role] = describe_file(getattr(args, role))
    model = {"name": propagation.model.card.name, "sha256": propagation.model.sha256}
    circumstances = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": str(propagation.registrar.device),
        "sequence": args.sequence,
        "frames": args.frames,
        "arguments": sys.argv[1:],
    }
    return Run(settings, model, inputs, describe_frames(propagation.frames), circumstances, installed_versions())


def _adapt(args: argparse.Namespace, propagation: Propagation, folder: RunFolder, progress: Progress) -> None:
    """Train the network on the sequence, or take what an interrupted run trained."""
    from ..models.loading import load_model
    from ..propagation.frames import ReadableFrames
    from ..training.adaptation import AdaptationSettings, adapt

    device = propagation.registrar.device
    if folder.adapted_weights.is_file() and folder.adapted_weights.with_suffix(".json").is_file():
        propagation.model = load_model(folder.adapted_weights, device)
        return
    propagation.model = adapt(
        propagation.model,
        ReadableFrames(propagation.frames),
        reference=propagation.references[0].index,
        budget=args.adapt,
        seed=args.seed,
        device=device,
        progress=lambda share, measures: progress.stage("adapting", min(share, 1.0)),
        output=folder.adapted_weights,
        settings=AdaptationSettings(align=args.align),
    )


def _dry_run(propagation: Propagation, output: Path, wanted: Wanted, args: argparse.Namespace) -> int:
    """Register one frame for the times, and tell what the whole run would take."""
    from ..propagation.folder import free_bytes

    count = len(propagation.select)
    grid = propagation.network_grid()
    reference = propagation.references[0].image
    others = [index for index in propagation.select if index not in {r.index for r in propagation.references}]
    voxels = reference.GetNumberOfPixels()
    label_bytes = (
        0
        if propagation.references[0].segmentation is None
        else voxels * sum(layer.GetSizeOfPixelComponent() for layer in propagation.references[0].segmentation.layers)
    )
    transform_bytes = 4 * reference.GetDimension() * voxels // max(1, wanted.transforms) ** reference.GetDimension()
    disk = count * (2 * label_bytes + (transform_bytes if wanted.transforms else 0))
    print(
        f"frames          {count} of {len(propagation.frames)} in {args.sequence}, reference "
        f"{', '.join(str(r.index) for r in propagation.references)}"
    )
    print(f"frame grid      {_size(reference.GetSize())} voxels of {_size(reference.GetSpacing())} mm")
    print(
        f"network grid    {_size(grid.size)} voxels of {_size(grid.spacing)} mm, model {propagation.model.card.name} "
        f"on {propagation.registrar.device}"
    )
    if others:
        seconds, message = _timed(propagation, others)
        if message:
            print(f"a frame failed  {message}")
        registered = count / args.keyframe_step if args.strategy == "keyframes" else count
        print(
            f"time            {seconds:.2f} s a registration, about {_duration(seconds * registered)} in all"
            + (f", after {args.adapt} of adapting" if args.adapt else "")
        )
    print(f"memory          {_peak_megabytes():.0f} MB at the peak so far, all of it that a run needs")
    print(f"disk            at most {disk / 1e6:.0f} MB, {free_bytes(output) / 1e6:.0f} MB are free at {output}")
    return Exit.DONE


def _timed(propagation: Propagation, others: list[int]) -> tuple[float, str]:
    """Seconds of the faster of two frames (the first one also carries what is done once), and why one failed."""
    wanted, strategy = propagation.select, propagation.strategy
    propagation.select, propagation.strategy = others[:2], "direct"
    try:
        results = list(propagation.run())
    finally:
        propagation.select, propagation.strategy = wanted, strategy
    return min(result.seconds for result in results), next((r.message for r in results if r.status == "failed"), "")


def _check_output(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; give a folder for the results")


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """SIGTERM (a cancel button, a batch system) ends a run as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(output: Path, select: list[int], failed: list[int], flagged: list[int]) -> None:
    print(f"{len(select) - len(failed)} of {len(select)} frames in {output}")
    if flagged:
        print(f"{len(flagged)} frame(s) to look at: {_numbers(flagged)} (column flag of frames.csv says why)")


def _numbers(indices: list[int]) -> str:
    shown = ", ".join(str(index) for index in indices[:20])
    return shown + (f" and {len(indices) - 20} more" if len(indices) > 20 else "")


def _size(values: Any) -> str:
    return " x ".join(f"{value:g}" for value in values)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _peak_megabytes() -> float:
    try:
        import resource
    except ImportError:
        return float("nan")  # Windows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _transforms(text: str) -> int:
    if text in ("none", "full"):
        return int(text == "full")
    return _positive(text)
