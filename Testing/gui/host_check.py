"""Runs Slicer's own tests on the host, beside Slicer's own Python files of a checkout.

    python -m Testing.gui.host_check SLICER_CHECKOUT

The tests are copied to a temporary folder and run there; nothing of Slicer stays. README.md lists what cannot pass.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = (
    "test_slicer_parameter_node_wrapper*.py",
    "test_slicer_parameter_pack.py",
    "test_slicer_util_VTKObservationMixin.py",
    "test_slicer_util_childWidgetVariables.py",
)
_ROOT = Path(__file__).resolve().parents[2]


def main(checkout):
    checkout = Path(checkout).resolve()
    folder = checkout / "Base" / "Python" / "slicer" / "tests"
    tests = [path for pattern in TESTS for path in sorted(folder.glob(pattern))]
    if not tests:
        raise SystemExit(f"{checkout} is no checkout of Slicer: {folder} has none of {', '.join(TESTS)}")
    with tempfile.TemporaryDirectory() as temporary:
        for test in tests:
            shutil.copy(test, temporary)
        start = "from Testing.gui.host import start\nstart()\n"
        Path(temporary, "conftest.py").write_text(start, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "SLICER_CHECKOUT": str(checkout)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "--rootdir", temporary]
        return subprocess.run([*command, temporary], env=environment, cwd=temporary, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
