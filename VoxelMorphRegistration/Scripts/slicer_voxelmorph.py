"""The command line of VoxelMorph registration inside 3D Slicer, without its window:

    Slicer --no-splash --no-main-window --python-script slicer_voxelmorph.py register --fixed F --moving M ...
    Slicer --no-splash --no-main-window --python-script slicer_voxelmorph.py install

`install` installs what Slicer's Python lacks; every other command is that of `slicer-voxelmorph`, with its exit
statuses. Slicer takes --help, --version, -h, -c and --testing for itself: use the commands `help` and `version`, or
write ` -- ` before the arguments.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

_MODULE_FOLDER = Path(__file__).resolve().parent.parent


def run(arguments: list[str]) -> int:
    """One command; returns its exit status and raises nothing that a person could meet."""
    # Slicer leaves its own marker for "the rest is not mine" among the script's arguments.
    while arguments[:1] in (["--"], ["--ignore-rest"]):
        arguments = arguments[1:]
    if str(_MODULE_FOLDER) not in sys.path:
        sys.path.insert(0, str(_MODULE_FOLDER))
    try:
        from VoxelMorphRegistrationLib import installation
        from VoxelMorphRegistrationLib.errors import DependencyMissing

        try:
            if arguments[:1] == ["install"]:
                installed = installation.install()
                print("Installed: " + ", ".join(installed) if installed else "Nothing is missing.")
                return 0
            if arguments[:1] not in ([], ["help"], ["version"]):
                installation.require()
        except DependencyMissing as error:
            print(f"slicer-voxelmorph: {error}", file=sys.stderr)
            return 3
        from VoxelMorphRegistrationLib.cli.main import start

        return start(arguments)
    except KeyboardInterrupt:
        print("slicer-voxelmorph: interrupted", file=sys.stderr)
        return 130
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


def run_and_leave() -> None:
    """Run Slicer's command line and end Slicer with the exit status, on every path."""
    import slicer.util

    status = 1
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        slicer.util.exit(status)


if __name__ == "__main__":
    run_and_leave()
