"""What the page of a run costs: seconds, size and memory for few and for many frames.

    python -m Testing.benchmarks.report_page                 # 200 and 2000 small frames; prints a table
    python -m Testing.benchmarks.report_page --frames 20000

Each page is made in a process of its own, whose peak of memory is told beside that of a process that only imports what
is needed. A twentieth of the frames stands out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from Testing.support.run_folders import write_run

_CHILD = """
import resource, sys, time
from VoxelMorphRegistrationLib.report.run_page import write_run_page
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
started = time.perf_counter()
page = write_run_page(sys.argv[1])
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(seconds, before, peak, page.stat().st_size / 1e6)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, action="append")
    args = parser.parse_args()
    print(f"{'frames':>8} {'seconds':>8} {'MB before':>10} {'MB at most':>10} {'page MB':>8}")
    for count in args.frames or [200, 2000]:
        with tempfile.TemporaryDirectory(prefix="voxelmorph-report-") as folder:
            odd = tuple(range(10, count, 20))
            out = write_run(Path(folder), count, odd, failed=(7,))
            command = [sys.executable, "-c", _CHILD, str(out)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, before, peak, size = (float(word) for word in told.split())
        print(f"{count:>8} {seconds:>8.2f} {before:>10.0f} {peak:>10.0f} {size:>8.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
