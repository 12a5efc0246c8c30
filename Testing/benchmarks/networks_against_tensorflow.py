"""The released networks on two real heads: this program's field against TensorFlow's VoxelMorph, voxel by voxel.

Both integrate in float32, and seven squarings of a 20 voxel displacement magnify what they round: so where the network
gives a velocity, both are also compared with its integration in float64 (scipy).

Needs a second Python with TensorFlow's VoxelMorph (see Testing/fixtures/networks/make_fixtures.py for its packages):

    python -m Testing.benchmarks.networks_against_tensorflow --tensorflow-python TFENV/bin/python
        [--shared ../shared] [--output Testing/benchmarks/results/networks_against_tensorflow.json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NETWORKS = ("vxm_dense_brain_T1_3D_mse.h5", "cvpr2018_vm2_cc.h5")
SHAPE = (160, 192, 224)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensorflow-python", required=True)
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[3] / "shared")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("results") / "networks_against_tensorflow.json"
    )
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder) / "pair.npz"
        fixed, moving = (head(arguments.shared / "data" / "brain_oasis" / name) for name in ("a.nii.gz", "b.nii.gz"))
        np.savez(pair, fixed=fixed, moving=moving)
        for name in NETWORKS:
            weights = arguments.shared / "weights" / name
            expected = Path(folder) / f"{name}.npy"
            command = [arguments.tensorflow_python, __file__, "in-tensorflow", weights, pair, expected]
            subprocess.run([str(part) for part in command], check=True)
            results[name] = compare(weights, fixed, moving, np.load(expected))
            print(name, results[name])
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def head(path: Path) -> np.ndarray:
    """The head, in the order and extent the networks were trained with (array axes to Left, Inferior, Anterior)."""
    import SimpleITK as sitk

    image = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "LIA")).T
    centre = [int(indices.mean()) for indices in np.nonzero(image)]
    image = np.pad(image, [(n, n) for n in SHAPE])
    return image[tuple(slice(c + n - n // 2, c + n - n // 2 + n) for c, n in zip(centre, SHAPE))].astype(np.float32)


def compare(weights: Path, fixed: np.ndarray, moving: np.ndarray, expected: np.ndarray) -> dict:
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "VoxelMorphRegistration"))
    from VoxelMorphRegistrationLib.models.loading import load_model

    network = load_model(weights).network
    images = [torch.from_numpy(np.ascontiguousarray(image))[None, None] for image in (fixed, moving)]
    start = time.perf_counter()
    flow = network.flow(*images)
    displacement = flow.displacement(SHAPE)[0].numpy()
    seconds = time.perf_counter() - start
    expected = np.moveaxis(expected, -1, 0)
    result = {
        "largest_displacement_voxels": float(np.abs(expected).max()),
        "seconds": round(seconds, 2),
        "difference_voxels": measures(displacement - expected),
    }
    if flow.kind == "velocity":
        exact = integrated_in_float64(flow.field[0].numpy(), flow.squarings, flow.factor)
        result["from_float64_voxels"] = {
            "ours": measures(displacement - exact),
            "tensorflow": measures(expected - exact),
        }
    return result


def measures(difference: np.ndarray) -> dict:
    difference = np.abs(difference)
    return {
        "mean": float(difference.mean()),
        "percentile_99": float(np.percentile(difference, 99)),
        "largest": float(difference.max()),
    }


def integrated_in_float64(velocity: np.ndarray, steps: int, factor: int) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    def sampled(field: np.ndarray, position: np.ndarray) -> np.ndarray:
        return np.stack([map_coordinates(channel, position, order=1, mode="nearest") for channel in field])

    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in velocity.shape[1:]], indexing="ij"))
    displacement = velocity.astype(float) / 2**steps
    for _ in range(steps):
        displacement = displacement + sampled(displacement, grid + displacement)
    axes = [np.linspace(0, n - 1, size) for n, size in zip(velocity.shape[1:], SHAPE)]
    return factor * sampled(displacement, np.stack(np.meshgrid(*axes, indexing="ij")))


def in_tensorflow(weights: str, pair: str, output: str) -> int:
    import inspect

    # VoxelMorph 0.2 calls a function that Python 3.11 removed.
    inspect.getargspec = lambda function: inspect.getfullargspec(function)[:4]
    import tensorflow as tf
    import voxelmorph as vxm

    with np.load(pair) as arrays:
        fixed, moving = (arrays[key][None, ..., None] for key in ("fixed", "moving"))
    if "cvpr2018" in weights:
        layers = {"SpatialTransformer": vxm.layers.SpatialTransformer}
        model = tf.keras.models.load_model(weights, custom_objects=layers, compile=False)
        field = tf.keras.Model(model.inputs, model.get_layer("flow").output).predict([moving, fixed], verbose=0)
    else:
        field = vxm.networks.VxmDense.load(weights).register(moving, fixed)
    np.save(output, field[0])
    return 0


if __name__ == "__main__":
    sys.exit(in_tensorflow(*sys.argv[2:]) if sys.argv[1:2] == ["in-tensorflow"] else main())
