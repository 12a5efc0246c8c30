"""Does it matter how a pair of heads is stored? Labels of one head on the other, from several storages of one pair.

The pair is stored again with its axes permuted and flipped (each head differently), with both headers turned obliquely
together, and both ways at once. Each storage is registered from scratch (affine alignment, then VoxelMorph's brain T1
network); the warped labels are brought back to the first storage's grid and compared with its own by Dice.

    python -m Testing.benchmarks.storage [--shared ../shared] [--output Testing/benchmarks/results/storage.json]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from VoxelMorphRegistrationLib.annotations.label_statistics import dice
from VoxelMorphRegistrationLib.files.images import read_image
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings

TURN = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.30, -0.21, 0.43, (12.0, -7.0, 20.0))


@dataclass(frozen=True)
class Storage:
    """How the voxels of one image are laid out in its file."""

    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)
    turned: bool = False

    def of(self, image: sitk.Image) -> sitk.Image:
        stored = sitk.Flip(sitk.PermuteAxes(image, self.order), self.flips)
        if self.turned:
            turn = np.reshape(TURN.GetMatrix(), (3, 3))
            stored.SetOrigin(TURN.TransformPoint(stored.GetOrigin()))
            stored.SetDirection((turn @ np.reshape(stored.GetDirection(), (3, 3))).ravel())
        return stored

    def undo(self, image: sitk.Image, like: sitk.Image) -> sitk.Image:
        """The image of this storage laid out as `like`: only voxels are moved, none is interpolated."""
        back = sitk.PermuteAxes(sitk.Flip(image, self.flips), np.argsort(self.order).tolist())
        back.CopyInformation(like)
        return back


STORAGES = {
    "as it is": (Storage(), Storage()),
    "axes permuted and flipped": (Storage((2, 0, 1), (True, False, True)), Storage((1, 2, 0), (False, True, True))),
    "headers turned": (Storage(turned=True), Storage(turned=True)),
    "permuted, flipped and turned": (
        Storage((1, 0, 2), (False, True, False), True),
        Storage((2, 1, 0), (True, True, False), True),
    ),
}


def one_label_map(path: Path) -> sitk.Image:
    """A one-hot file (x, y, z, label) as one label map."""
    onehot = sitk.ReadImage(str(path))
    count = onehot.GetSize()[3] if onehot.GetDimension() == 4 else onehot.GetNumberOfComponentsPerPixel()
    labels = None
    for n in range(count):
        channel = onehot[:, :, :, n] if onehot.GetDimension() == 4 else sitk.VectorIndexSelectionCast(onehot, n)
        part = sitk.Cast(channel > 0.5, sitk.sitkUInt8) * (n + 1)
        labels = part if labels is None else sitk.Maximum(labels, part)
    return labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "storage.json")
    parser.add_argument("--align", default="affine")
    args = parser.parse_args()
    heads = args.shared / "data" / "brain_oasis"
    fixed, moving = read_image(heads / "b.nii.gz"), read_image(heads / "a.nii.gz")
    labels = one_label_map(heads / "a_labels_onehot.nii.gz")
    labels.CopyInformation(moving)
    model = load_model(args.shared / "weights" / "vxm_dense_brain_T1_3D_mse.h5")
    registrar = Registrar(model, Settings(align=args.align))
    reference, rows = None, {}
    print(f"{'storage':32s} {'lowest Dice':>12s} {'mean Dice':>10s} {'ncc before':>11s} {'after':>7s}")
    for name, (fixed_storage, moving_storage) in STORAGES.items():
        result = registrar.register(fixed_storage.of(fixed), moving_storage.of(moving))
        warped = fixed_storage.undo(result.warp_labels(moving_storage.of(labels)), fixed)
        reference = warped if reference is None else reference
        overlap = dice(reference, warped)
        rows[name] = {
            "dice": {str(label): round(value, 5) for label, value in overlap.items()},
            "lowest": round(min(overlap.values()), 5),
            "mean": round(float(np.mean(list(overlap.values()))), 5),
            "similarity": result.similarity,
            "folded_percent": result.folded_percent,
        }
        row = rows[name]
        similarity = row["similarity"]
        scores = f"{similarity['before']:11.4f} {similarity['after']:7.4f}"
        print(f"{name:32s} {row['lowest']:12.5f} {row['mean']:10.5f} {scores}", flush=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"align": args.align, "storages": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
