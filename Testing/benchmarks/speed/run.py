"""What a network, a frame and a sequence cost, compared with each other and with other tools: `make benchmark-speed`.

    python -m Testing.benchmarks.speed.run --record                      # everything; half an hour on two quiet cores
    python -m Testing.benchmarks.speed.run --only size tools --record    # in pieces: what begins so
    python -m Testing.benchmarks.speed.run --record --continue           # what the results do not have yet
    python -m Testing.benchmarks.speed.run --quick                       # small sizes, minutes; recorded nowhere

--record writes results/speed.json (of a GPU speed_gpu.json), the table of Docs/speed.md, the ratios of README.md and
Resources/speed.png; results of another machine are not written over unless told (--anew). Each measurement runs in a
process of its own. What lacks a tool, a file or a GPU says so and is "not run" in the table. Ratios are of processor
seconds, which suffer little from what else the machine does, and of wall seconds, which are what a person waits for:
`load` says how busy the machine was just before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from Testing.benchmarks.speed import report
from Testing.benchmarks.speed.measurements import RELEASED, Measurement, measurements
from Testing.benchmarks.speed.sequence import frames_folder
from Testing.benchmarks.speed.tools import distances, register_by_tool
from VoxelMorphRegistrationLib.cli.main import waiting_threads

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 30  # minutes of one measurement


def main() -> int:
    args = _arguments()
    on_gpu = torch.cuda.is_available()
    all_of_them = measurements(args.quick, on_gpu)
    chosen = {name: one for name, one in all_of_them.items() if not args.only or name.startswith(tuple(args.only))}
    if not on_gpu and (not args.only or any(word.startswith("gpu") for word in args.only)):
        print("gpu: there is none here, not run", flush=True)
    place = report.Place.of(args.record_in)
    anew = args.anew or not args.record
    recorded = {gpu: place.read(gpu, machine(gpu), anew) for gpu in ((False, True) if on_gpu else (False,))}
    with tempfile.TemporaryDirectory(prefix="voxelmorph-speed-") as scratch:
        folder = (args.folder or Path(scratch)).absolute()
        for name, one in chosen.items():
            told = recorded[one.on_gpu]
            if args.go_on and "failed" not in told.get(name, {"failed": ""}):
                continue
            row = {"name": name, **measured(one, folder, args)}
            print(json.dumps(row), flush=True)
            told[name] = row
            if args.record:  # Whatever ends the run, what it measured is there.
                in_order = {each: told[each] for each in all_of_them if each in told}
                place.write(one.on_gpu, machine(one.on_gpu), in_order)
    return 0


def measured(one: Measurement, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """What was asked for and what was found, or why it `failed`."""
    asked = {"kind": one.kind, **one.options, "load_before": round(os.getloadavg()[0], 1)}
    try:
        if one.kind == "tool":
            return {**asked, **register_by_tool(folder, args.tools_python, **one.options)}
        return {**asked, **_by_measure(one, folder, args)}
    except subprocess.TimeoutExpired:
        return {**asked, "failed": f"took more than {LIMIT} minutes"}
    except (OSError, RuntimeError) as error:
        return {**asked, "failed": str(error)[:200]}


def _by_measure(one: Measurement, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = dict(one.options)
    if one.kind in ("direct", "sequence", "cohort", "pair", "precision", "looks", "label_warps"):
        options["folder"] = str(folder)
    field = folder / "field.mha"
    if one.kind == "pair":
        options["output"] = str(field)
    if options.get("network") == RELEASED:
        options["weights"] = str(args.shared / "weights" / "vxm_dense_brain_T1_3D_mse.h5")
    command = [sys.executable, "-m", "Testing.benchmarks.speed.measure", one.kind, json.dumps(options)]
    threads = str(options.get("threads", 1))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": threads}
    environment |= waiting_threads(environment)
    if one.kind == "forward" and args.openvino:
        path = [str(args.openvino.absolute()), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(path)
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60 * LIMIT, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "killed")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if one.kind == "pair":
        found |= distances(field, frames_folder(folder, options["shape"]).parent)
    return found


def machine(gpu: bool) -> dict[str, Any]:
    """What numbers are compared within."""
    card = torch.cuda.get_device_name() if gpu else None
    return {"processor": _processor(), "cores": os.cpu_count(), "torch": torch.__version__, "gpu": card}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"what begins so, of {', '.join(_names())}")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--record", action="store_true", help="write results, table, ratios and picture")
    parser.add_argument("--record-in", type=Path, metavar="DIR", help="write them there, and not into the project")
    parser.add_argument("--anew", action="store_true", help="where the results are of another machine: without them")
    parser.add_argument("--continue", action="store_true", dest="go_on", help="only what the results do not have yet")
    parser.add_argument("--folder", type=Path, help="kept for the next call, so that it need not make frames again")
    parser.add_argument("--tools-python", default=sys.executable, help="Python that has the other tools")
    parser.add_argument(
        "--shared", type=Path, default=ROOT.parent / "shared", help="with weights/ of the released network"
    )
    parser.add_argument("--openvino", type=Path, metavar="DIR", help="where it is, if not installed beside the rest")
    args = parser.parse_args()
    if args.only and not any(name.startswith(tuple(args.only)) for name in _names()):
        parser.error(f"--only {' '.join(args.only)}: none of {', '.join(_names())}")
    # Small sizes are no results of the project.
    args.record = args.record_in is not None or (args.record and not args.quick)
    return args


def _names() -> list[str]:
    return list(measurements(False, True))


if __name__ == "__main__":
    sys.exit(main())
