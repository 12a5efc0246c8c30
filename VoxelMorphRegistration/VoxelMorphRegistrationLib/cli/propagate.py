"""`slicer-voxelmorph propagate`: one segmentation to all frames of a sequence, by file."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..propagation.choices import STRATEGY_NAMES
from . import dry_run
from .exit_status import Exit
from .options import add_registration_options, add_run_options, add_verbose_option, millimetres, positive, settings_from
from .reading import open_sequence
from .run_folder_sink import RunFolderSink

if TYPE_CHECKING:
    from ..models.loading import Model
    from ..propagation.folder import RunFolder
    from ..propagation.progress import Progress
    from ..propagation.propagate import Propagation
    from ..propagation.request import Request
    from ..propagation.sinks import FrameSink


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sequence",
        required=True,
        metavar="S",
        help="4D file, .seq.nrrd, folder, 'pattern*.nrrd', .txt with one path a line, or .json with index values too",
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
    parser.add_argument(
        "--frames",
        metavar="START:STOP:STEP|@LIST",
        help="only these frames: a Python slice, or @list.txt with one number a line, as the run's page exports it",
    )
    parser.add_argument(
        "--strategy",
        choices=STRATEGY_NAMES,
        default="direct",
        help="each frame with the reference; each with the one before; every K-th and interpolated between; or few "
        "frames, and every other one combined from theirs; auto: the last from 64 frames on, else the first (default: "
        "%(default)s)",
    )
    parser.add_argument("--keyframe-step", type=positive, default=8, metavar="K", help="(default: %(default)s)")
    parser.add_argument(
        "--keyframes",
        type=positive,
        metavar="N",
        help="for motion-model: how many frames are registered (default: as many as the motion asks for)",
    )
    parser.add_argument(
        "--motion-model",
        metavar="FILE",
        help="for motion-model: the motion-model.npz of the patient's earlier scan, whose modes describe this one too",
    )
    parser.add_argument(
        "--adapt", type=_budget, metavar="5min|500steps", help="train the network on this sequence first"
    )
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
        help="displacement of each frame, whole or every N-th voxel an axis; whole frames are then worked out in full "
        "detail, and not what surrounds the segmentation alone (default: none)",
    )
    add_run_options(
        parser,
        overwrite="start again; with --frames redo only those and keep the others as they are",
        dry_run="say what would be done, time one frame, write nothing",
    )
    add_registration_options(parser, align="none")
    add_verbose_option(parser)
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> Exit:
    check_arguments(args)
    _check_output(Path(args.output))

    from ..files.nifti_places import contradictions
    from ..propagation.folder import RunFolder
    from ..propagation.progress import Progress

    request = request_of(args)
    propagation = request.open(frames=open_sequence(request, args))
    for reference in propagation.references:
        for note in reference.notes:
            print(f"note: frame {reference.index}: {note}", file=sys.stderr)
    for note in contradictions(_given_images(args, propagation)):
        print(f"note: {note}", file=sys.stderr)
    if args.dry_run:
        dry_run.tell(propagation, Path(args.output), request.wanted, args)
        return Exit.DONE
    chosen = propagation.select if args.frames is not None else None
    folder = RunFolder(
        args.output,
        request.describe(propagation),
        propagation.frames,
        propagation.segments(),
        request.wanted,
        args.overwrite,
        chosen,
        # The progress begins once it is known what an earlier run finished; no frame is written before.
        lambda result, files: progress.frame(result, files),
    )
    for note in folder.notes:
        print(f"note: {note}", file=sys.stderr)
    finished = len(folder.finished.intersection(propagation.select))
    progress = Progress(args.progress, len(propagation.select), finished, args.verbose, args.emit)
    return _compute(args, propagation, folder, progress)


def _given_images(args: argparse.Namespace, propagation: Propagation) -> list[str]:
    """Files of the reference frames, their segmentations and the mask."""
    frames = {propagation.frames.file(reference.index) for reference in propagation.references}
    return [str(path) for path in (*sorted(filter(None, frames)), *(args.segmentation or ()), args.mask) if path]


def check_arguments(args: argparse.Namespace) -> None:
    """Leaves by the parser's `error` for options that do not go together."""
    segmentations = args.segmentation or []
    if not segmentations and not (args.points or args.surface):
        args.parser.error("--segmentation is needed (or --points or --surface)")
    if segmentations and len(segmentations) != len(args.reference_frame):
        args.parser.error("--segmentation and --reference-frame go together: give as many of one as of the other")


def _compute(args: argparse.Namespace, propagation: Propagation, folder: RunFolder, progress: Progress) -> Exit:
    from ..propagation.sinks import deliver

    finished = len(folder.finished.intersection(propagation.select))
    sink = RunFolderSink(folder, progress)
    with terminated_as_interrupt():
        if args.adapt and finished < len(propagation.select):
            started = time.perf_counter()
            try:
                propagation = propagation.with_model(_adapted(args, propagation, folder, progress))
            except BaseException as error:
                sink.abort(error)
                raise
            folder.seconds["adapting"] = time.perf_counter() - started
        propagation = propagation.kept_in(folder.path, partial(progress.stage, "looking"))
        deliver(propagation, _with_page(args, sink, folder))
    failed = [index for index in propagation.select if sink.rows.get(index, {}).get("status") == "failed"]
    flagged = [index for index in propagation.select if sink.rows.get(index, {}).get("flag") and index not in failed]
    status = Exit.SOME_FRAMES if failed else Exit.DONE
    progress.finish(exit=status, failed=failed, flagged=flagged, output=str(folder.path))
    if args.progress != "json":
        _tell(folder.path, propagation.select, failed, flagged)
        if (folder.path / "report.html").is_file():
            print(f"{folder.path / 'report.html'}: the page to look at first, in a browser")
    if failed:
        print(
            f"slicer-voxelmorph: {len(failed)} frame(s) failed: {_numbers(failed)}; the column message of "
            f"{folder.path / 'frames.csv'} says why, {folder.path / 'log.txt'} where",
            file=sys.stderr,
        )
    return status


def _with_page(args: argparse.Namespace, sink: FrameSink, folder: RunFolder) -> FrameSink:
    if args.no_report:
        return sink
    from ..report.sink import ReportingSink

    return ReportingSink(sink, folder.path, lambda message: print(f"note: {message}", file=sys.stderr))


def request_of(args: argparse.Namespace) -> Request:
    """What parsed arguments ask for."""
    from ..propagation.request import Request

    return Request(
        sequence=args.sequence,
        reference_frames=tuple(args.reference_frame),
        segmentations=tuple(args.segmentation or ()),
        frames=args.frames,
        strategy=args.strategy,
        keyframe_step=args.keyframe_step,
        keyframes=args.keyframes,
        motion_model=args.motion_model,
        mask=args.mask,
        mask_margin=args.mask_margin,
        points=args.points,
        surface=args.surface,
        transforms=args.save_transforms,
        model=args.model,
        adapt=args.adapt,
        pair=settings_from(args),
        arguments=tuple(args.argv),
    )


def _adapted(args: argparse.Namespace, propagation: Propagation, folder: RunFolder, progress: Progress) -> Model:
    """The network trained on the sequence, or what an interrupted run trained."""
    from ..models.loading import load_model
    from ..propagation.frames import ReadableFrames
    from ..training.adaptation import AdaptationSettings, adapt

    device = propagation.registrar.device
    if folder.adapted_weights.is_file() and folder.adapted_weights.with_suffix(".json").is_file():
        return load_model(folder.adapted_weights, device)
    return adapt(
        propagation.model,
        ReadableFrames(propagation.frames),
        reference=propagation.references[0].index,
        budget=args.adapt,
        progress=lambda share, measures: progress.stage("adapting", min(share, 1.0)),
        output=folder.adapted_weights,
        settings=AdaptationSettings(align=args.align, seed=args.seed),
    )


def _check_output(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; give a folder for the results")


@contextmanager
def terminated_as_interrupt() -> Iterator[None]:
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


def _transforms(text: str) -> int:
    if text in ("none", "full"):
        return int(text == "full")
    return positive(text)


def _budget(text: str) -> str:
    from ..training.budget import parse_budget

    try:
        parse_budget(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
