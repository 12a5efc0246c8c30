"""`make benchmark-accuracy`: this project against other tools on the same pairs; writes a JSON, a table and a plot.

Each method runs in its own process. Finished registrations are kept in the work folder, so that a stopped run goes on
where it was; `--fresh` starts again. All methods register the same `--frames` of each sequence. What earlier runs found
for other groups and other methods stays in the table.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import SimpleITK as sitk

from Testing.benchmarks.accuracy.cases import SUBSETS, Case, build
from Testing.benchmarks.accuracy.others import METHODS, THREADS
from Testing.benchmarks.accuracy.report import merged, write_report
from Testing.benchmarks.accuracy.scores import score, score_labels
from VoxelMorphRegistrationLib.cli.main import waiting_threads

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
OURS = ("network", "network + refine")
ADAPTED = ("network + adapt", "network + adapt + refine")
SEGFLOW = "segflow4d"
ALL = (*OURS, *ADAPTED, *METHODS, SEGFLOW)
ON_REAL_PAIRS = (*OURS, "elastix default", "greedy after affine", "convexAdam")
ON_ALIGNED_PAIRS = tuple(method for method in ALL if method != "greedy after affine")


def main() -> None:
    options = _arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    sequences: dict[str, list[Case]] = {}
    for case in build(options.cases or options.work / "cases", options.subset):
        if not options.groups or any(word in f"{case.group}: {case.name}" for word in options.groups):
            sequences.setdefault(case.group, []).append(case)
    groups = {
        group: [case for case in members if case.frame is None or case.frame in options.frames]
        for group, members in sequences.items()
    }
    for group, members in groups.items():
        for method in options.methods or (ON_REAL_PAIRS if members[0].real else ON_ALIGNED_PAIRS):
            _run(method, group, members, sequences[group], options)
    known = options.results / "results.json"
    results = _collect(groups, options)
    if known.exists():
        results = merged(json.loads(known.read_text(encoding="utf-8")), results)
    plot = REPOSITORY / "Resources" if options.results == HERE else options.results
    write_report(results, known, options.results / "RESULTS.md", plot / "accuracy.png")


def _run(method: str, group: str, members: list[Case], whole_sequence: list[Case], options: argparse.Namespace) -> None:
    pending = [
        case for case in members if options.fresh or not _output(method, case, options).with_suffix(".json").exists()
    ]
    sequence = members[0].frame is not None
    if not pending or (method in ADAPTED or method == SEGFLOW) and not sequence:
        return
    if _is_left_out(method, options):
        return
    print(f"{group}: {method}, {len(pending)} pairs", flush=True)
    if method in METHODS:
        for case in pending:
            request = {
                "fixed": case.fixed,
                "moving": case.moving,
                "contrast": case.contrast,
                "align": case.align,
                "output": str(_output(method, case, options)),
            }
            _call([options.tools_python, "-m", "Testing.benchmarks.accuracy.others", method], request, options)
    elif method == SEGFLOW:
        pairs = [{"fixed": c.fixed, "output": str(_output(method, c, options))} for c in members]
        labels = next(iter(members[0].labels.values()))[1]
        _call(
            [options.segflow_python or options.tools_python, "-m", "Testing.benchmarks.accuracy.segflow"],
            {"pairs": pairs, "moving": members[0].moving, "labels": labels},
            options,
        )
    else:
        request = {
            "pairs": [
                {"fixed": c.fixed, "moving": c.moving, "output": str(_output(method, c, options))} for c in pending
            ],
            "align": members[0].align,
            "refine": members[0].refine if method.endswith("refine") else 0,
            "model": options.model,
            "adapt": options.adapt if method in ADAPTED else None,
            "adapted_model": str(options.work / f"{_file_name(group)}.pt"),
            "frames": [members[0].moving, *[c.fixed for c in whole_sequence]],
        }
        _call([sys.executable, "-m", "Testing.benchmarks.accuracy.ours"], request, options)


def _is_left_out(method: str, options: argparse.Namespace) -> bool:
    """Whether the Python that shall run `method` lacks its tool, which is said once."""
    if method in METHODS:
        return _lacks(method, options.tools_python, METHODS[method].package)
    if method == SEGFLOW:
        return _lacks(method, options.segflow_python or options.tools_python, SEGFLOW)
    return False


@functools.cache
def _lacks(method: str, python: str, package: str) -> bool:
    look = "import importlib.metadata, sys; importlib.metadata.version(sys.argv[1])"
    absent = subprocess.run([python, "-c", look, package], capture_output=True).returncode != 0
    if absent:
        print(f"{method}: left out, {package} is not installed for {python}", flush=True)
    return absent


def _call(command: list[str], request: dict, options: argparse.Namespace) -> None:
    path = options.work / f"request-{os.getpid()}.json"
    path.write_text(json.dumps(request))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(THREADS),
        **waiting_threads(os.environ),
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(THREADS),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "VoxelMorphRegistration")]),
    }
    done = subprocess.run([*command, str(path)], cwd=options.work, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"  failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}", flush=True)


def _output(method: str, case: Case, options: argparse.Namespace) -> Path:
    folder = options.work / "fields" / _file_name(method)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{_file_name(case.name)}.mha"


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)


def _collect(groups: dict[str, list[Case]], options: argparse.Namespace) -> dict:
    """All finished registrations, scored."""
    entries = []
    for group, members in groups.items():
        for method in ALL:
            for case in members:
                output = _output(method, case, options)
                if not output.with_suffix(".json").exists():
                    continue
                scores_path = output.with_suffix(".scores.json")
                if options.fresh or not scores_path.exists() or scores_path.stat().st_mtime < output.stat().st_mtime:
                    judge = score_labels if method == SEGFLOW else score
                    scores_path.write_text(json.dumps(judge(case, sitk.ReadImage(str(output)))))
                entries.append(
                    {
                        "method": method,
                        "case": case.name,
                        "group": group,
                        "frame": case.frame,
                        "real": case.real,
                        "scores": json.loads(scores_path.read_text(encoding="utf-8")),
                        "run": json.loads(output.with_suffix(".json").read_text(encoding="utf-8")),
                    }
                )
    run = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": THREADS,
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
        },
        "note": options.note,
        "adapt": options.adapt,
    }
    return {"runs": dict.fromkeys(groups, run), "entries": entries}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=REPOSITORY / "build" / "benchmark-accuracy")
    parser.add_argument(
        "--cases", type=Path, help="where the cases are or shall be written (default: in the work folder)"
    )
    parser.add_argument(
        "--results", type=Path, help="folder of the table (default: beside this file; the work folder where quick)"
    )
    parser.add_argument(
        "--subset",
        choices=SUBSETS,
        default="full",
        help="real: the real pairs alone; quick: one real pair of each kind, brains at 2 mm, two frames a sequence",
    )
    parser.add_argument(
        "--frames", type=int, nargs="+", default=[5, 10, 15], help="frames of each sequence to register"
    )
    parser.add_argument("--groups", nargs="+", help="only cases whose group or own name contains one of these words")
    parser.add_argument("--methods", nargs="+", help="only these methods")
    parser.add_argument("--model", help="name or file of the network (default: the bundled one)")
    parser.add_argument("--adapt", default="60s", help="budget of the adaptation to a sequence")
    parser.add_argument("--tools-python", default=sys.executable, help="Python that has the other tools")
    parser.add_argument("--segflow-python", help="Python that has segflow4d (default: that of the other tools)")
    parser.add_argument("--note", default="", help="what the report shall say about this run's machine")
    parser.add_argument("--fresh", action="store_true", help="register everything again")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.results = (options.results or (options.work if options.subset == "quick" else HERE)).resolve()
    return options


if __name__ == "__main__":
    main()
