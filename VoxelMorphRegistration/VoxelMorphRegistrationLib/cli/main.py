"""`slicer-voxelmorph`: the command line, the same from a shell, from `python -m` and inside Slicer."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from ..errors import DependencyMissing, InputError
from ..version import __version__
from .events import print_event, stop_printing
from .exit_status import Exit
from .options import defaults_of

_COMMANDS = {
    "register": ("register", "register one pair: a displacement, and the warped volume and labels"),
    "propagate": ("propagate", "carry a segmentation from one frame to all frames of a sequence"),
    "cohort": ("cohort", "carry the segmentations of many patients, a row of a table each"),
    "convert": ("convert", "read a displacement of another tool and write it for another"),
    "report": ("report", "make the page of a run again: what is fine, and where to look"),
    "models": ("models", "list, inspect, download, import and remove networks"),
    "worker": ("worker", "take jobs as JSON lines on standard input until it closes"),
}


# Where another program has one of the cores, threads that stay awake until it is their turn make a frame take several
# times as long; where none has, threads that sleep at once make it take half as long again, as they have to be woken.
# Of 0 to 20000 turns awake the one that loses least in both (Testing/benchmarks/waiting_threads.py). GNU's OpenMP takes
# the number of turns, others the policy alone.
WAITING_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1500"}


def waiting_threads(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process' environment lacks for its threads to wait so: nothing where it says itself how they wait."""
    return {} if WAITING_THREADS.keys() & environment.keys() else WAITING_THREADS


def start(argv: Sequence[str] | None = None) -> int:
    """`main`, at the start of a process of its own, before it has imported torch: see `waiting_threads`."""
    os.environ.update(waiting_threads(os.environ))
    return main(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; never raises for what a person can mend.

    `exit_status.Exit` lists them.
    """
    try:
        args = parse(argv)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    verbose = getattr(args, "verbose", False)
    try:
        if not verbose:
            _silence_itk()
        status = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read what is printed has seen enough; commands that make something print once it is made.
        stop_printing()
        return Exit.DONE
    except (Exception, KeyboardInterrupt) as error:
        message, status = failure_of(error)
        return _fail(message, status, verbose)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """A command's arguments; its `run(args)` carries it out, and `emit` of it takes its events.

    Raises SystemExit, as argparse does, for what is no command.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    if getattr(args, "preset", None):
        # Parsed again with the preset's values as defaults: what is given beside it stays.
        args.parser.set_defaults(**defaults_of(args.preset))
        args = parser.parse_args(argv)
    args.argv = list(sys.argv[1:] if argv is None else argv)
    args.emit = print_event
    return args


def failure_of(error: BaseException) -> tuple[str, Exit]:
    """The line for the person who meets an error, and the exit status."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", Exit.INTERRUPTED
    if isinstance(error, InputError):
        return str(error), Exit.FAILED
    if isinstance(error, DependencyMissing):
        return str(error), Exit.MISSING
    if isinstance(error, ModuleNotFoundError):
        from ..installation import install_command

        return f"{error.name} is not installed; install it with: {install_command(error.name)}", Exit.MISSING
    if isinstance(error, MemoryError):
        return "not enough memory for this grid; use a coarser --network-spacing", Exit.FAILED
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{reason} ({type(error).__name__}; --verbose shows where)", Exit.FAILED


def _silence_itk() -> None:
    """ITK remarks on headers on stderr, where a person expects one line that matters.

    The switch is one for the whole process, so it is the command line's, to which the process belongs.
    """
    try:
        import SimpleITK as sitk
    except ModuleNotFoundError:
        return  # Commands that need it say so, others do without.
    sitk.ProcessObject.SetGlobalWarningDisplay(False)


def _fail(message: str, status: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    try:
        print(f"slicer-voxelmorph: {message}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        stop_printing()
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slicer-voxelmorph", description="VoxelMorph registration for 3D Slicer.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        implementation = import_module(f".{module}", __package__)
        implementation.add_arguments(command)
        command.set_defaults(run=implementation.run)
    # Slicer's own executable takes --help and --version for itself, so both are commands too.
    commands.add_parser("version", help="print the version").set_defaults(run=_print_version)
    commands.add_parser("help", help="print this help").set_defaults(run=_printer(parser))
    return parser


def _print_version(args: argparse.Namespace) -> int:
    print(__version__)
    return Exit.DONE


def _printer(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        parser.print_help()
        return Exit.DONE

    return run


if __name__ == "__main__":
    sys.exit(main())
