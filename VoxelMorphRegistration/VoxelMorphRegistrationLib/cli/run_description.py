"""What run.json says of a run by command line."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING, Any

from .options import settings_from

if TYPE_CHECKING:
    from ..propagation.propagate import Propagation
    from ..propagation.record import Run


def describe_run(args: argparse.Namespace, propagation: Propagation) -> Run:
    """The record of a run: what changes results (`Run.settings`, model, inputs), and what only says where and when."""
    from ..propagation.record import Run, describe_file, describe_frames, installed_versions

    settings = {
        name: value for name, value in settings_from(args).items() if name not in ("device", "initial_transform")
    }
    settings |= {
        "strategy": args.strategy,
        "adapt": args.adapt,
        "save_transforms": args.save_transforms,
        "reference_frames": [reference.index for reference in propagation.references],
    }
    if args.strategy == "keyframes":
        settings["keyframe_step"] = args.keyframe_step
    if args.strategy == "motion-model":
        settings["keyframes"] = args.keyframes
    if any(reference.renumbered for reference in propagation.references):
        # Frames of versions that matched segments by their numbers are not to be mixed with these.
        settings["segments"] = "matched by id and name"
    if args.mask_margin is not None:
        settings["mask_margin"] = args.mask_margin
    inputs: dict[str, Any] = {}
    count = len(propagation.frames)
    for number, index in enumerate(args.reference_frame):
        inputs[f"reference frame {index % count}"] = describe_file(propagation.frames.file(index % count))
        if args.segmentation:
            inputs[f"segmentation of frame {index % count}"] = describe_file(args.segmentation[number])
    for role in ("points", "surface", "mask", "initial_transform"):
        if getattr(args, role):
            inputs[role] = describe_file(getattr(args, role))
    model = {"name": propagation.model.card.name, "sha256": propagation.model.sha256}
    circumstances = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": str(propagation.registrar.device),
        "sequence": args.sequence,
        "frames": args.frames,
        "arguments": args.argv,
        "working_folder": os.getcwd(),
        "wanted": len(propagation.select),
        "total": count,
        "cores": os.cpu_count(),
    }
    return Run(settings, model, inputs, describe_frames(propagation.frames), circumstances, installed_versions())
