"""`slicer-voxelmorph report`: the page of a run's folder, or of a cohort's, made again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .exit_status import Exit
from .options import add_verbose_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="what propagate wrote, finished or not, or a cohort's folder")
    parser.add_argument(
        "--sequence", metavar="S", help="where the frames lie now, for the pictures (default: where the run found them)"
    )
    parser.add_argument("--anonymous", action="store_true", help="leave the names of files and folders out of the page")
    add_verbose_option(parser)


def run(args: argparse.Namespace) -> Exit:
    from ..files.detached import check_name
    from ..report.cohort import TABLE, write_cohort_page
    from ..report.run_folder import find_frames, read_run_folder
    from ..report.run_page import PageSettings, write_run_page

    folder = Path(args.folder)
    check_name(folder)
    if (folder / TABLE).is_file():
        page = write_cohort_page(folder, args.anonymous)
    else:
        frames = find_frames(read_run_folder(folder), args.sequence)
        if frames is not None and frames.preparation:
            print(f"note: the sequence: {frames.preparation}", file=sys.stderr, flush=True)
        page = write_run_page(folder, frames, PageSettings(anonymous=args.anonymous))
    print(page)
    return Exit.DONE
