"""Runs a script as `Slicer --no-main-window --python-script SCRIPT ARGS` would, on slicer-core.

    python slicer_stand_in.py SCRIPT ARGS...

The MRML core and `slicer.util` are Slicer's own. What slicer-core lacks is stood in for as Slicer's sources have it:
`slicer.app.exit` only notes the status and lets the script run on (the event loop ends later); the output streams know
write and flush and little else; a script that never asks to leave would leave Slicer open, which is exit status 99
here; and whatever would open a window ends with status 98. STAND_IN_WITHOUT names modules (comma separated) that are
not installed.
"""

from __future__ import annotations

import os
import sys
import traceback

import slicer
import slicer.util

STAYED_OPEN, POPUP = 99, 98


class _CommandOptions:
    runPythonAndExit = False


class Application:
    launcherExecutableFilePath = "/opt/Slicer/Slicer"

    def __init__(self):
        self.status = None
        self._options = _CommandOptions()

    def commandOptions(self):
        return self._options

    def exit(self, status):
        self.status = status

    def testingEnabled(self):
        return False

    def processEvents(self, *flags):
        pass


class Stream:
    """PythonQt's redirected stdout and stderr: no fileno, no buffer."""

    encoding = "utf-8"

    def __init__(self, descriptor):
        self._file = os.fdopen(os.dup(descriptor), "w", encoding="utf-8", buffering=1)

    def write(self, text):
        self._file.write(text)

    def flush(self):
        self._file.flush()

    def isatty(self):
        return False


def _popup(*args, **kwargs):
    os.write(2, f"POPUP: {args}\n".encode())
    os._exit(POPUP)


def main() -> int:
    slicer.app = Application()
    slicer.mrmlScene = slicer.vtkMRMLScene()
    for name in (
        "confirmOkCancelDisplay",
        "confirmYesNoDisplay",
        "confirmRetryCloseDisplay",
        "messageBox",
        "createProgressDialog",
    ):
        setattr(slicer.util, name, _popup)
    for name in filter(None, os.environ.get("STAND_IN_WITHOUT", "").split(",")):
        sys.modules[name] = None
    sys.stdout, sys.stderr = Stream(1), Stream(2)
    script = sys.argv[1]
    sys.argv = sys.argv[1:]
    try:
        with open(script, encoding="utf-8") as source:
            exec(compile(source.read(), script, "exec"), {"__name__": "__main__", "__file__": script})
    except BaseException:  # Slicer prints it and stays.
        traceback.print_exc()
    return STAYED_OPEN if slicer.app.status is None else slicer.app.status


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
