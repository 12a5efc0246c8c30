"""`slicer-voxelmorph models`: the networks at hand, and those that can be had."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from .events import Emit
from .options import add_verbose_option, network_spacing

if TYPE_CHECKING:
    from ..models.loading import Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|info|download|import|remove")
    listing = actions.add_parser("list", help="every network by name, and whether it is here")
    listing.add_argument("--json", action="store_true", help="as JSON")
    info = actions.add_parser("info", help="the card of one network, by name or weights file")
    info.add_argument("name", metavar="NAME|FILE")
    actions.add_parser("download", help="fetch a published network into the user's cache").add_argument(
        "name", metavar="NAME"
    )
    importing = actions.add_parser("import", help="take a weights file on this machine into the user's folder")
    importing.add_argument("name", metavar="NAME")
    importing.add_argument("file", metavar="FILE")
    importing.add_argument("--tensor-axes", help="what each tensor axis runs towards, e.g. LIA, or 'native'")
    importing.add_argument("--spacing", type=network_spacing, help="voxel size it was trained on, in mm, or 'native'")
    importing.add_argument(
        "--intensity",
        type=_intensity,
        metavar="RULE",
        help="minmax, percentile, divide, window, none, or the rule as a JSON object",
    )
    importing.add_argument(
        "--integration-steps", type=int, help="squarings of the integration, where the file does not say them"
    )
    actions.add_parser("remove", help="delete a downloaded or imported network").add_argument("name", metavar="NAME")
    for action in actions.choices.values():
        add_verbose_option(action)


def run(args: argparse.Namespace) -> int:
    return {"list": _list, "info": _info, "download": _download, "import": _import, "remove": _remove}[args.action](
        args
    )


def _list(args: argparse.Namespace) -> int:
    from ..models.loading import list_models

    entries = list_models()
    if args.json:
        print(json.dumps([_described(entry) for entry in entries], indent=2))
        return 0
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        print(f"{entry.name:<{width}}  {entry.state:<12}  {entry.card.title}")
    return 0


def _info(args: argparse.Namespace) -> int:
    from ..models.loading import describe_model

    print(json.dumps(_described(describe_model(args.name)), indent=2))
    return 0


def _download(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..models.loading import download_model

    tell: Emit | None = getattr(args, "emit", None)  # The worker's: a window shows how far it is.
    with tqdm(unit="B", unit_scale=True, desc=args.name, disable=None) as bar:

        def progress(received: int, total: int | None) -> None:
            bar.total = total
            bar.update(received - bar.n)
            if tell is not None:
                tell({"event": "stage", "name": "downloading", "share": round(received / total, 4) if total else None})

        entry = download_model(args.name, progress)
    print(f"{entry.name}: {entry.path}")
    return 0


def _import(args: argparse.Namespace) -> int:
    from ..models.loading import import_model

    options: dict[str, Any] = {
        key: getattr(args, key) for key in ("tensor_axes", "spacing", "intensity", "integration_steps")
    }
    entry = import_model(args.name, args.file, **options)
    print(f"{entry.name}: {entry.path}")
    return 0


def _remove(args: argparse.Namespace) -> int:
    from ..models.loading import remove_model

    remove_model(args.name)
    print(f"{args.name}: removed")
    return 0


def _described(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "state": entry.state,
        "file": str(entry.path) if entry.path else None,
        "address": entry.url or None,
        "sha256": entry.sha256,
        "bytes": entry.size,
        "card": entry.card.to_dict(),
    }


def _intensity(text: str) -> str | dict[str, Any]:
    if not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object ({error})") from error
