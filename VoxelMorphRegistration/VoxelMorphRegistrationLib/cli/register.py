"""`slicer-voxelmorph register`: one pair by file."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .events import Emit
from .exit_status import Exit
from .options import add_registration_options, add_verbose_option, settings_from, transform_spacing

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..annotations.segmentation import Segmentation
    from ..registration.result import Registration

_STAGES = ("reading", "registering", "warping", "writing")
_LOST_VOXELS = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fixed", required=True, metavar="F", help="the image that stays")
    parser.add_argument("--moving", required=True, metavar="M", help="the image that is warped onto it")
    parser.add_argument(
        "--output-transform",
        required=True,
        metavar="T",
        help="displacement on the fixed grid, alignment included (.nrrd, .nii.gz, .mha, .h5)",
    )
    parser.add_argument("--output-volume", metavar="W", help="the moving image warped onto the fixed grid")
    parser.add_argument("--labels", metavar="MOVING_LABELS", help="label image of the moving image")
    parser.add_argument("--output-labels", metavar="WL", help="its labels warped onto the fixed grid")
    parser.add_argument("--output-inverse", metavar="I", help="inverse displacement on the moving grid")
    parser.add_argument(
        "--transform-spacing",
        metavar="MM|auto|full",
        type=transform_spacing,
        default="full",
        help="points of the output transform: every voxel of the fixed image, at most MM apart, or as far as costs "
        "at most .05 voxel (default: full)",
    )
    parser.add_argument(
        "--report",
        action="append",
        metavar="R.json|R.html",
        help="similarity, folding and seconds as JSON, or a page with pictures; may be given for each",
    )
    parser.add_argument(
        "--anonymous",
        action="store_true",
        help="the page that --report writes names no network of your own either; files it never names",
    )
    parser.add_argument("--dump-network-inputs", metavar="DIR", help="write exactly what the network saw")
    parser.add_argument(
        "--progress", choices=("json", "none"), default="none", help="json: a JSON object a line on stdout"
    )
    add_registration_options(parser, align="rigid")
    add_verbose_option(parser)
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    if bool(args.labels) != bool(args.output_labels):
        args.parser.error("--labels and --output-labels go together")
    _check_outputs(args)

    tell = args.emit if args.progress == "json" else _say_nothing
    tell({"event": "start", "stages": len(_STAGES)})

    from ..files.displacements import write_displacement
    from ..files.images import read_image, write_image
    from ..files.nifti_places import contradictions
    from ..files.segmentations import write_segmentation
    from ..registration.registrar import Registrar
    from ..registration.settings import Settings

    if any(_is_page(given) for given in args.report or ()):
        from ..report.rendering import check_available

        check_available()
    started = time.perf_counter()
    _begin(tell, "reading")
    fixed = read_image(args.fixed)
    if fixed.GetDimension() not in (2, 3):
        raise InputError(
            f"{args.fixed}: has {fixed.GetDimension()} dimensions {fixed.GetSize()}; give one frame of it, or "
            "use propagate for the whole series"
        )
    moving = read_image(args.moving, dimension=fixed.GetDimension())
    labels = _read_labels(args, fixed.GetDimension()) if args.labels else None
    mask = read_image(args.mask, dimension=fixed.GetDimension()) if args.mask else None
    doubtful = contradictions([given for given in (args.fixed, args.moving, args.labels, args.mask) if given])
    read_seconds = time.perf_counter() - started

    _begin(tell, "registering")
    try:
        registration = Registrar(args.model, Settings(**settings_from(args))).register(fixed, moving, mask)
    except InputError as error:
        # The library knows images by their part in the pair, the person knows them by their files.
        raise InputError(f"--fixed {args.fixed} --moving {args.moving}: {error}") from error
    if args.dump_network_inputs:
        registration.dump_network_inputs(args.dump_network_inputs)
    for note in (*doubtful, *registration.notes):
        print(f"note: {note}", file=sys.stderr)
    _begin(tell, "warping")
    displacement, thinning = _thinned(registration, args.transform_spacing)
    if thinning:
        print(f"note: {thinning}", file=sys.stderr)
    warped = registration.warped if args.output_volume else None
    warped_labels = None
    if labels is not None:
        layers = tuple(registration.warp_labels(layer, args.label_interpolation) for layer in labels.layers)
        warped_labels = replace(labels, layers=layers)
    inverse = registration.inverse_displacement if args.output_inverse else None

    started = time.perf_counter()
    _begin(tell, "writing")
    write_displacement(displacement, args.output_transform)
    if warped is not None:
        write_image(warped, args.output_volume)
    if warped_labels is not None:
        write_segmentation(warped_labels, args.output_labels)
    if inverse is not None:
        write_displacement(inverse, args.output_inverse)
    write_seconds = time.perf_counter() - started

    report = registration.report()
    report["notes"] += [*doubtful, *([thinning] if thinning else [])]
    report["seconds"]["read"] = read_seconds
    report["seconds"]["write"] = write_seconds
    report["seconds"]["total"] += read_seconds + write_seconds
    for given in args.report or ():
        if _is_page(given):
            _write_page(args, registration, fixed, moving, labels, warped_labels, report, given)
        else:
            _write_report(report, Path(given))
    files = {name: getattr(args, f"output_{name}") for name in ("transform", "volume", "labels", "inverse")}
    files = {name: path for name, path in files.items() if path}
    tell({"event": "finish", "exit": int(Exit.DONE), "files": files, "report": report})
    if args.progress == "json":
        return Exit.DONE
    print(f"{_in_words(report)}: {args.output_transform}")
    return Exit.DONE


def _in_words(report: dict) -> str:
    """How alike the pair is as it was given, aligned and at the end, what folds, how long it took, what is doubtful."""
    similarity = report["similarity"]
    said = [f"{similarity['metric']} {similarity['untouched']:.4f} untouched"]
    if similarity["before"] != similarity["untouched"]:
        said.append(f"{similarity['before']:.4f} aligned")
    said.append(f"{similarity['after']:.4f} after")
    said += [f"{report['folded_percent']:.3g} % folded", f"{report['seconds']['total']:.1f} s"]
    if report["doubts"]:
        said.append(f"DOUBTFUL ({'; '.join(report['doubts'])})")
    return ", ".join(said)


def _read_labels(args: argparse.Namespace, dimension: int) -> Segmentation:
    """The segmentation of the moving image; refused where it does not fit it or the file it is to go into."""
    from ..files.segmentations import check_place_for, lost_in, read_segmentation

    labels = read_segmentation(args.labels, may_be_empty=True).simplified()
    if labels.grid.dimension != dimension:
        raise InputError(
            f"{args.labels}: has {labels.grid.dimension} dimensions, {dimension} are needed here; give the labels of "
            "the moving image"
        )
    check_place_for(labels, args.output_labels)
    lost = lost_in(labels, args.output_labels)
    if lost:
        print(f"note: {args.output_labels}: {lost} are not kept; end the name in .seg.nrrd", file=sys.stderr)
    return labels


def _begin(tell: Emit, stage: str) -> None:
    """Say which stage begins, and what share of the stages lies behind."""
    tell({"event": "stage", "name": stage, "share": round(_STAGES.index(stage) / len(_STAGES), 4)})


def _say_nothing(event: object) -> None:
    pass


def _thinned(registration: Registration, spacing: float | str) -> tuple[sitk.Image, str]:
    """The displacement on the grid that is wanted, and what that costs in words ('' where it costs nothing)."""
    from ..space.displacement import thin, thinned_for

    whole = registration.displacement
    if spacing == "full":
        return whole, ""
    if spacing == "auto":
        field, lost = thinned_for(whole, max(registration.network_grid.spacing), _LOST_VOXELS)
    else:
        field, lost = thin(whole, float(spacing))
    if field is whole:
        return whole, ""
    size = " x ".join(str(n) for n in field.GetSize())
    return (
        field,
        f"the transform is kept on {size} points, at most {lost:.2g} voxel beside the displacement of every voxel",
    )


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse before computing what could not be written afterwards, or would overwrite an input or another output."""
    from ..files.detached import check_name

    taken = {Path(given).resolve(): option for option, given in _given(args, "fixed", "moving", "labels", "mask")}
    for option, given in _given(args, "output_transform", "output_volume", "output_labels", "output_inverse", "report"):
        check_name(Path(given))
        path = Path(given).resolve()
        if path in taken:
            raise InputError(f"{given}: named by {option} and by {taken[path]}; give each file its own name")
        taken[path] = option
        parent = next(folder for folder in path.parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise InputError(
                f"{given}: {parent} is not a folder that can be written to; choose another place for {option}"
            )


def _given(args: argparse.Namespace, *names: str) -> list[tuple[str, str]]:
    found = []
    for name in names:
        value = getattr(args, name)
        given = value if isinstance(value, list) else [value]
        found += [("--" + name.replace("_", "-"), one) for one in given if one]
    return found


def _is_page(path: str) -> bool:
    return path.lower().endswith((".html", ".htm"))


def _write_page(
    args: argparse.Namespace,
    registration: Registration,
    fixed: sitk.Image,
    moving: sitk.Image,
    labels: Segmentation | None,
    warped_labels: Segmentation | None,
    report: dict,
    path: str,
) -> None:
    from ..report.pair_page import Pair, write_pair_page

    before, after = (None if one is None else one.label_image() for one in (labels, warped_labels))
    pair = Pair(fixed, moving, registration.warped, registration.displacement, report, before, after)
    write_pair_page(pair, path, args.anonymous)


def _write_report(report: dict, path: Path) -> None:
    from ..files.atomic import atomic_write

    with atomic_write(path) as partial:
        partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
