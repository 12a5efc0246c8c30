"""Scores models on the public cases of ../accuracy, all of them: what training is judged by, never what it sees.

`python score_model.py CASES_FOLDER MODEL... [--groups OASIS] [--refine auto] [--pyramid 4,2,1] [--further 7 7 7]
[--cues-alone] [--spacing 2] [--subset full] [--json OUT]`; the cases are those of `../accuracy/cases.py` that need no
affine start, and are made in CASES_FOLDER when they are not there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from Testing.benchmarks.accuracy.cases import Case, build
from Testing.benchmarks.accuracy.scores import score
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings

HERE = Path(__file__).resolve().parent


def score_model(registrar: Registrar, cases: list[Case]) -> dict[str, dict[str, float]]:
    """Group of cases -> mean of every score, and of the seconds the network took."""
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for case in cases:
        fixed, moving = (sitk.ReadImage(path, sitk.sitkFloat32) for path in (case.fixed, case.moving))
        start = time.perf_counter()
        result = registrar.register(fixed, moving)
        seconds = time.perf_counter() - start
        rows[case.group].append(
            {**score(case, result.displacement), "seconds": seconds, "similarity": result.similarity["after"]}
        )
    return {group: {key: float(np.mean([r[key] for r in found])) for key in found[0]} for group, found in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pyramid", help="passes in place of the card's, such as 4,2,1,1")
    parser.add_argument(
        "--further", type=int, nargs="*", help="windows of the looks that may follow, in place of the card's"
    )
    parser.add_argument("--subset", choices=("quick", "full"), default="quick", help="full: brains at 1 mm, 20 frames")
    parser.add_argument("--cues-alone", action="store_true", help="leave out what the network adds to its motion cues")
    parser.add_argument("--spacing", type=float, help="mm in place of the card's")
    parser.add_argument("--refine", default=0, help="steps or auto")
    parser.add_argument("--groups", nargs="+", help="only groups whose name contains one of these words")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cases = [case for case in build(options.cases.resolve(), options.subset) if case.align == "none"]
    if options.groups:
        cases = [case for case in cases if any(word in case.group for word in options.groups)]
    refine = options.refine if options.refine == "auto" else int(options.refine)
    results = {}
    for name in options.models:
        model = load_model(name)
        if options.pyramid:
            model.network.factors = tuple(int(f) for f in options.pyramid.split(","))
        if options.further is not None:
            model.network.further_windows = tuple(options.further)
        if options.cues_alone:
            model.network.predict = lambda source, _: source.new_zeros(1, 3, *source.shape[2:])
        results[name] = score_model(
            Registrar(model, Settings(align="none", network_spacing=options.spacing, refine=refine)), cases
        )
        print(f"\n{name}")
        for group, values in results[name].items():
            print(
                f"  {group:36s} "
                + "  ".join(
                    f"{key} {value:.3f}" for key, value in values.items() if not key.startswith(("tre95", "surface"))
                ),
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
