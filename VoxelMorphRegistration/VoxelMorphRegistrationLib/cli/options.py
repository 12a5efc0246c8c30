"""The options that several commands share, defined once so that they mean the same everywhere."""

from __future__ import annotations

import argparse
import math
from typing import Any

from ..refinement.similarities import SIMILARITIES
from ..registration.choices import ALIGNMENTS, LABEL_INTERPOLATIONS, PRECISIONS
from ..registration.presets import PRESETS, preset


def add_registration_options(parser: argparse.ArgumentParser, align: str) -> None:
    """Model, alignment, mask, refinement, spacing, labels, device and seed; `align` is this command's default."""
    group = parser.add_argument_group("registration")
    group.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default=None,
        help="settings by what is registered, which other options given beside it change: "
        + "; ".join(f"{name}: {preset.title.lower()}" for name, preset in PRESETS.items()),
    )
    group.add_argument(
        "--model",
        metavar="NAME|FILE",
        default=None,
        help="a name from `models list` or a weights file (default: the bundled network)",
    )
    group.add_argument(
        "--align", choices=ALIGNMENTS, default=align, help="start before the network (default: %(default)s)"
    )
    group.add_argument(
        "--initial-transform",
        metavar="FILE",
        default=None,
        help="ITK transform file (fixed point to moving point), applied before --align",
    )
    group.add_argument(
        "--mask",
        metavar="FIXED_MASK",
        default=None,
        help="image on the fixed image: similarity counts only where it is not zero",
    )
    group.add_argument(
        "--network-spacing",
        metavar="MM|native",
        type=network_spacing,
        default=None,
        help="voxel size the network sees (default: what its card says)",
    )
    group.add_argument(
        "--refine",
        metavar="N|auto",
        type=refinement_steps,
        default=0,
        help="optimise this pair's velocity after the network, by N updates or until it stops gaining (default: 0)",
    )
    group.add_argument(
        "--refine-similarity",
        choices=("auto", *SIMILARITIES),
        default="auto",
        help="what refinement maximises: lncc for images of one contrast, mind for two "
        "(default: %(default)s, by how the pair correlates)",
    )
    group.add_argument(
        "--label-interpolation",
        choices=LABEL_INTERPOLATIONS,
        default="nearest",
        help="how labels are warped (default: %(default)s)",
    )
    group.add_argument("--device", default="auto", metavar="auto|cpu|cuda:0", help="(default: %(default)s)")
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of the U-Net's convolutions; auto is half on a GPU that has units for it (default: %(default)s)",
    )
    group.add_argument(
        "--seed", type=int, default=0, help="of what --adapt draws; a registration draws nothing (default: %(default)s)"
    )


def add_run_options(parser: argparse.ArgumentParser, overwrite: str, dry_run: str) -> None:
    """What commands that make many frames have in common; `overwrite` and `dry_run` say what the two mean here."""
    parser.add_argument("--overwrite", action="store_true", help=overwrite)
    parser.add_argument("--dry-run", action="store_true", help=dry_run)
    parser.add_argument(
        "--no-report", action="store_true", help="leave out the pages report.html, which a person looks at"
    )
    parser.add_argument(
        "--progress",
        choices=("auto", "bar", "json", "none"),
        default="auto",
        help="a bar, or a JSON object a line on stdout (default: a bar in a terminal)",
    )


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def add_verbose_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verbose", action="store_true", help="details on stderr, and a traceback when something fails"
    )


def settings_from(args: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `registration.Settings` among parsed registration options."""
    return {
        "align": args.align,
        "initial_transform": args.initial_transform,
        "network_spacing": args.network_spacing,
        "refine": args.refine,
        "refine_similarity": args.refine_similarity,
        "label_interpolation": args.label_interpolation,
        "device": args.device,
        "precision": args.precision,
        "seed": args.seed,
        "preset": args.preset or "",
    }


def defaults_of(name: str) -> dict[str, Any]:
    """The values that a preset puts in place of the options' own defaults, by their names among parsed arguments."""
    chosen = preset(name)
    return {**chosen.settings, **({} if chosen.model is None else {"model": chosen.model})}


def network_spacing(text: str) -> float | str:
    if text == "native":
        return text
    spacing = _number(text)
    if spacing is None or spacing <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a positive number of millimetres nor 'native'")
    return spacing


def transform_spacing(text: str) -> float | str:
    if text in ("auto", "full"):
        return text
    spacing = _number(text)
    if spacing is None or spacing <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a positive number of millimetres nor 'auto' nor 'full'")
    return spacing


def millimetres(text: str) -> float:
    """A distance, 0 included."""
    distance = _number(text)
    if distance is None or distance < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of millimetres from 0")
    return distance


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def refinement_steps(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number of updates nor 'auto'")
    return int(text)
