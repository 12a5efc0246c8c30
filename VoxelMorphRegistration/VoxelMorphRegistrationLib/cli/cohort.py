"""`slicer-voxelmorph cohort`: many patients, a row of a table each, on the cores of this machine or of a cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import InputError
from . import cohort_dry_run, propagate
from .exit_status import Exit
from .options import add_run_options, add_verbose_option, positive

if TYPE_CHECKING:
    from ..cohort.table import Result
    from ..propagation.request import Request

_FILES = ("sequence", "segmentation", "mask", "points", "surface", "initial_transform", "motion_model")
#: Options of propagate that are the cohort's own.
_OWN = ("help", "output", "overwrite", "dry_run", "no_report", "progress", "verbose")
_SEVERAL = "|"
_WILD = frozenset("*?[")  # of a pattern, which names no file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "table",
        metavar="CASES.csv",
        help="a row a patient; columns case, sequence, segmentation, reference_frame, and any option of propagate "
        "(such as strategy or mask_margin); paths are relative to the table",
    )
    parser.add_argument(
        "--output", required=True, metavar="OUT", help="OUT/CASE of each, OUT/cohort.csv, OUT/report.html"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="an option of propagate for every row that does not say otherwise, such as strategy=motion-model",
    )
    workers = parser.add_argument_group("workers")
    workers.add_argument(
        "--workers", type=positive, metavar="N", help="processes here (default: one a GPU, or one for four cores)"
    )
    workers.add_argument(
        "--threads", type=positive, metavar="N", help="of each process (default: the cores divided by the workers)"
    )
    workers.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask scheduler, such as tls://host:8786, in place of --workers"
    )
    workers.add_argument(
        "--chunk", type=positive, metavar="N", help="frames given out at once (default: by their number)"
    )
    workers.add_argument(
        "--dashboard",
        metavar="ADDRESS",
        help="where Dask's own page is served, such as 127.0.0.1:8787 (default: some port of this machine alone)",
    )
    add_run_options(
        parser,
        overwrite="start all patients again",
        dry_run="say what would be done, time some frames, write nothing",
    )
    add_verbose_option(parser)
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> Exit:
    from ..cohort.cases import read_cases
    from ..cohort.first_sequence import FirstSequence
    from ..cohort.models import Models
    from ..cohort.progress import CohortProgress
    from ..cohort.run import Cohort, CohortSettings
    from ..cohort.workers import WorkerSettings, connected
    from ..files.detached import check_name
    from ..files.temporary import remove_left

    table, output = Path(args.table), Path(args.output).absolute()
    check_name(output)
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; give a folder for the results")
    reader = RowReader(table.absolute().parent, args.set)
    settings = WorkerSettings(args.workers, args.threads, args.scheduler, args.dashboard)
    models, first = Models(), FirstSequence()
    cases = read_cases(table, output, reader, models, args.overwrite, _note, first)
    if args.dry_run:
        cohort_dry_run.tell(cases, models, output, settings, first)
        return Exit.DONE
    with propagate.terminated_as_interrupt(), connected(settings) as client:
        progress = CohortProgress(args.progress, len(cases), sum(case.frames for case in cases), args.emit)
        how = CohortSettings(args.overwrite, args.chunk, not args.no_report)
        results = Cohort(cases, output, client, models, progress, how, first=first).run()
    remove_left()  # By workers that were ended before they could.
    return _told(args, output, results, progress)


class RowReader:
    """Makes requests of rows.

    Args:
        folder: to which paths are relative. defaults: 'option=value' for rows that leave an option open.

    Raises InputError for a default that is none.
    """

    def __init__(self, folder: Path, defaults: list[str]) -> None:
        self._folder = folder
        self._parser = _RowParser(prog="a row", add_help=False, allow_abbrev=False)
        propagate.add_arguments(self._parser)
        self._actions = {action.dest: action for action in self._parser._actions}
        self._defaults = {}
        for given in defaults:
            name, equals, value = given.partition("=")
            if not equals:
                raise InputError(f"--set {given}: is no OPTION=VALUE")
            option = self.option(name)
            if fault := self._fault(option, value):
                raise InputError(f"--set {given}: {fault}")
            self._defaults[option] = value

    def faults(self, cells: Mapping[str, str]) -> dict[str, str]:
        """By column: what is wrong with a cell by itself, a value that is none or a file that is not there."""
        told = {column: self._fault(self.option(column), cell) for column, cell in cells.items()}
        return {column: fault for column, fault in told.items() if fault}

    def _fault(self, option: str, cell: str) -> str:
        needed = [f"{one.option_strings[0]}=0" for one in self._actions.values() if one.required]
        words = self._words(option, cell)
        try:
            self._parser.parse_args([*needed, *words])
        except InputError as error:
            return str(error)
        paths = [word.partition("=")[2] for word in words] if option in _FILES else []
        lost = [path for path in paths if not _WILD.intersection(path) and not Path(path).exists()]
        return f"{', '.join(lost)}: no such file; check the path" if lost else ""

    def request(self, cells: Mapping[str, str], output: Path) -> Request:
        """What a row asks for. Raises InputError."""
        argv = ["--output", str(output)]
        for option, cell in {**self._defaults, **{self.option(name): cell for name, cell in cells.items()}}.items():
            argv += self._words(option, cell)
        args = self._parser.parse_args(argv)
        propagate.check_arguments(args)
        args.argv = ["propagate", *argv]
        return propagate.request_of(args)

    def option(self, column: str) -> str:
        """The option of propagate that a column or a default gives. Raises InputError when it gives none."""
        name = column.strip().lower().replace("-", "_").lstrip("_")
        if name in _OWN:
            raise InputError(f"{column}: is given for the whole cohort, not for a row")
        if name not in self._actions:
            raise InputError(f"{column}: is no option of propagate; `slicer-voxelmorph propagate --help` lists them")
        return name

    def _words(self, option: str, cell: str) -> list[str]:
        """Of a command line."""
        several = isinstance(self._actions[option], argparse._AppendAction)
        values = cell.split(_SEVERAL) if several else [cell]
        return [f"{self._actions[option].option_strings[0]}={self._placed(option, one.strip())}" for one in values]

    def _placed(self, option: str, value: str) -> str:
        """A value with its path made absolute, so that every worker finds it."""
        if option == "frames" and value.startswith("@"):
            return f"@{self._folder / value[1:]}"
        is_file = option in _FILES or (option == "model" and (self._folder / value).is_file())
        return str(self._folder / value) if is_file else value


class _RowParser(argparse.ArgumentParser):
    """Raises what argparse would print, since a row is not a command line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message.replace("argument --", "").replace("the following arguments are required", "lacks"))


def _note(message: str) -> None:
    print(f"note: {message}", file=sys.stderr, flush=True)


def _told(args: argparse.Namespace, output: Path, results: list[Result], progress: Any) -> Exit:
    cells = [result.cells for result in results]
    failed = [one for one in cells if one["message"] or one["failed"] != "0"]
    status = Exit.SOME_FRAMES if failed else Exit.DONE
    if results and all(result.message and result.folder is None for result in results):
        status = Exit.FAILED
    progress.finish(exit=int(status), output=str(output), failed=[one["case"] for one in failed])
    if args.progress != "json":
        done = sum(int(one["done"]) for one in cells)
        print(f"{done} of {sum(result.frames for result in results)} frames of {len(results)} patients in {output}")
        if (output / "report.html").is_file():
            print(f"{output / 'report.html'}: the page to look at first, in a browser")
    if failed:
        named = ", ".join(one["case"] for one in failed[:10]) + (f" and {len(failed) - 10} more" if failed[10:] else "")
        what = f"{len(failed)} of {len(results)} patients are not whole: {named}; {output / 'cohort.csv'} says why"
        print(f"slicer-voxelmorph: {what}", file=sys.stderr)
    return status
