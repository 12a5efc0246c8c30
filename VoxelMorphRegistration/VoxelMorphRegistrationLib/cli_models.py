"""`slicer-voxelmorph models`: the networks at hand, and those that can be had."""

from __future__ import annotations

import argparse
import json

from .cli_options import add_verbose_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|info|download|import|remove")
    listing = actions.add_parser("list", help="every network by name, and whether it is here")
    listing.add_argument("--json", action="store_true", help="as JSON")
    actions.add_parser("info", help="the card of one network").add_argument("name")
    actions.add_parser("download", help="fetch a published network into the user's cache").add_argument("name")
    importing = actions.add_parser("import", help="take a weights file on this machine into the user's cache")
    importing.add_argument("name")
    importing.add_argument("file")
    importing.add_argument("--tensor-axes", help="what each tensor axis runs towards, e.g. LIA, or 'native'")
    importing.add_argument("--spacing", help="voxel size the network was trained on, in mm, or 'native'")
    importing.add_argument("--intensity", help="intensity rule as JSON, e.g. '{\"rule\": \"percentile\", \"low\": 1, \"high\": 99}'")
    actions.add_parser("remove", help="delete a downloaded or imported network").add_argument("name")
    for action in actions.choices.values():
        add_verbose_option(action)


def run(args: argparse.Namespace) -> int:
    return {"list": _list, "info": _info, "download": _download, "import": _import, "remove": _remove}[args.action](args)
