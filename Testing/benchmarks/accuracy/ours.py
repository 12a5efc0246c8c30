"""Registrations by this project, through its public functions: `python ours.py REQUEST.json`.

One process registers many pairs with one loaded model, as a user's run does. The seconds of a pair are its registration
alone: importing, loading the model and reading files are not in them. A request holds {"pairs": [{"fixed", "moving",
"output"}], "align" and "refine": as in `Settings`, "adapt": null | budget, "adapted_model": where the adapted network
is kept for the method that asks for it next, "frames": [paths of the sequence, the reference first]}.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import SimpleITK as sitk
import torch

from Testing.benchmarks.accuracy.others import THREADS, Clock
from VoxelMorphRegistrationLib.models.loading import DEFAULT_MODEL, Model, load_model
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings
from VoxelMorphRegistrationLib.version import __version__


def main() -> None:
    torch.set_num_threads(THREADS)
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    model = load_model(request.get("model") or DEFAULT_MODEL)
    adapted = {}
    if request.get("adapt"):
        model, adapted = _adapted(model, request)
    registrar = Registrar(model, Settings(align=request["align"], refine=request["refine"]))
    moving_path, moving = None, None
    for pair in request["pairs"]:
        fixed = sitk.ReadImage(pair["fixed"], sitk.sitkFloat32)
        if pair["moving"] != moving_path:
            moving_path, moving = pair["moving"], sitk.ReadImage(pair["moving"], sitk.sitkFloat32)
        clock = Clock()
        registration = registrar.register(fixed, moving)
        spent = clock.spent()
        sitk.WriteImage(registration.displacement, pair["output"])
        stages = {key: value for key, value in registration.seconds.items() if value}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        Path(pair["output"]).with_suffix(".json").write_text(
            json.dumps(
                {
                    **spent,
                    **adapted,
                    "memory_mb": memory,
                    "version": __version__,
                    "model": model.card.name,
                    "sha256": model.sha256,
                    "stages": stages,
                }
            )
        )


def _adapted(model: Model, request: dict) -> tuple[Model, dict[str, float]]:
    """The model adapted to the sequence and what that cost: as it was kept, where this sequence had its turn
    already.
    """
    from VoxelMorphRegistrationLib.training.adaptation import adapt

    kept = Path(request["adapted_model"])
    record = kept.with_suffix(".cost.json")
    identity = {"model": model.sha256, "budget": request["adapt"], "frames": request["frames"]}
    if record.exists():
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["identity"] == identity:
            return load_model(kept), known["cost"]
    frames = [sitk.ReadImage(path, sitk.sitkFloat32) for path in request["frames"]]
    clock = Clock()
    adapted = adapt(model, frames, reference=0, budget=request["adapt"], output=kept)
    cost = {f"adaptation_{key}": value for key, value in clock.spent().items()}
    record.write_text(json.dumps({"identity": identity, "cost": cost}))
    return adapted, cost


if __name__ == "__main__":
    main()
