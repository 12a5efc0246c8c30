"""Strategies on a breathing abdomen of known truth: error of the displacement, drift, cost of key frames, agreement of
labels, points and surface, and what smoothing the displacements over time or a warm start would gain.

    python -m Testing.benchmarks.propagation_breathing      # prints a table, writes results/propagation_breathing.json

Frame t is a public CT (3 mm) pulled through a displacement written down as a formula (20 mm at the diaphragm, with
hysteresis) with noise of 15 HU. Errors are in units of 3 mm, the CT's voxels (also with --shrink), where the truth
stays inside the field of view.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter1d

from Testing.benchmarks.accuracy.case_motion import _breath, _stays_inside
from Testing.benchmarks.accuracy.cases import SHARED, like, pull, read
from VoxelMorphRegistrationLib.annotations.points import Points
from VoxelMorphRegistrationLib.annotations.surface import Surface
from VoxelMorphRegistrationLib.cli.options import network_spacing
from VoxelMorphRegistrationLib.models.loading import load_model
from VoxelMorphRegistrationLib.propagation.propagate import propagate
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings
from VoxelMorphRegistrationLib.space import displacement
from VoxelMorphRegistrationLib.space.grid import Grid

HERE = Path(__file__).parent

LIVER, VOXEL_MM, KEYFRAME_STEP, NOISE_HU = 5, 3.0, 4, 15.0


class Breathing:
    """The frames, made when they are asked for, and what is true of each."""

    def __init__(self, count: int, shrink: int = 1) -> None:
        self.image = sitk.BinShrink(read(SHARED / "abdomen_ct" / "ct.nii.gz"), [shrink] * 3)
        labels = read(SHARED / "abdomen_ct" / "labels.nii.gz", sitk.sitkUInt8)
        self.labels = sitk.Resample(labels, self.image, sitk.Transform(), sitk.sitkNearestNeighbor)
        padding = [0, 0, 12 // shrink]
        self._mirrored = sitk.MirrorPad(self.image, padding, padding)
        self._body = sitk.BinaryFillhole(sitk.OpeningByReconstruction(self.image > -300.0, [2] * 3))
        self.count = count

    def truth(self, index: int) -> np.ndarray:
        """LPS mm (k, j, i, 3)."""
        return _breath(self.image, self._body, index / self.count, 20.0, 30.0)

    def frame(self, index: int) -> sitk.Image:
        moved = self.image if index == 0 else pull(self._mirrored, self.truth(index), outside=-1000.0, grid=self.image)
        noise = np.random.default_rng(index).normal(0, NOISE_HU, moved.GetSize()[::-1])
        return like((sitk.GetArrayFromImage(moved) + noise).astype(np.float32), self.image)

    def scored(self, index: int) -> np.ndarray:
        """Inside the body and where the true displacement stays inside the original field of view."""
        body = sitk.GetArrayFromImage(pull(self._body, self.truth(index), sitk.sitkNearestNeighbor)) > 0
        return body & _stays_inside(self.image, self.truth(index))


def measure(case: Breathing, frames: list[sitk.Image], model, spacing, **options) -> tuple[dict, list]:
    """Mean error in voxels of each frame, seconds a frame, and every 2nd voxel's displacement of all frames."""
    liver = sitk.Cast(case.labels == LIVER, sitk.sitkUInt8)
    errors, kept, agreement, checks = {}, {}, [], []
    points = liver_points(liver)
    started = time.perf_counter()
    for result in propagate(
        frames, liver, 0, model, network_spacing=spacing, points=points, surface=liver_surface(liver), **options
    ):
        if result.status == "failed":
            raise SystemExit(result.message)
        vectors = sitk.GetArrayFromImage(result.displacement)
        apart = np.linalg.norm(vectors - case.truth(result.index), axis=-1) / VOXEL_MM
        errors[result.index] = float(apart[case.scored(result.index)].mean()) if result.index else 0.0
        kept[result.index] = vectors[::2, ::2, ::2].copy()
        if np.isfinite(result.interpolation_error_mm):
            checks.append(result.interpolation_error_mm / VOXEL_MM)
        if result.index and result.index % 5 == 0:
            agreement.append(surface_to_labels(result) / VOXEL_MM)
    seconds = (time.perf_counter() - started) / len(frames)
    found = {
        "mean_error": mean(errors[i] for i in errors if i),
        "largest_error": max(errors.values()),
        "error_by_frame": [round(errors[i], 3) for i in sorted(errors)],
        "seconds_a_frame": round(seconds, 2),
        "surface_to_labels": mean(agreement),
    }
    if checks:
        found["reported_interpolation_error"] = mean(checks)
    return found, [kept[i] for i in sorted(kept)]


def liver_points(liver: sitk.Image) -> Points:
    where = np.argwhere(sitk.GetArrayViewFromImage(liver))[::200][:, ::-1]
    grid = Grid.of(liver)
    return Points(where @ grid.axes.T + np.asarray(grid.origin), {})


def liver_surface(liver: sitk.Image) -> Surface:
    """The 0.5 level of the liver's mask, by vtk, in LPS."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    array = np.pad(sitk.GetArrayFromImage(liver), 1).astype(np.float32)
    data = vtk.vtkImageData()
    data.SetDimensions(array.shape[::-1])
    data.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True))
    cubes = vtk.vtkFlyingEdges3D()
    cubes.SetInputData(data)
    cubes.SetValue(0, 0.5)
    cubes.Update()
    mesh = vtk.vtkPolyData()
    mesh.DeepCopy(cubes.GetOutput())
    grid = Grid.of(liver)
    index = vtk_to_numpy(mesh.GetPoints().GetData()) - 1.0
    return Surface(mesh).at(index @ grid.axes.T + np.asarray(grid.origin))


def surface_to_labels(result) -> float:
    """Mean distance in mm of the warped surface's vertices from the surface of the warped labels."""
    from scipy.spatial import cKDTree

    labels = liver_surface(result.segmentation.layers[0])
    inside = Grid.of(result.segmentation.layers[0]).contains(result.surface.points, -1.0)
    return float(cKDTree(labels.points).query(result.surface.points[inside])[0].mean())


def smoothed_over_time(case: Breathing, fields: list[np.ndarray], sigma: float) -> float:
    """Mean error in voxels when the displacements are smoothed over time with a Gaussian."""
    smooth = gaussian_filter1d(np.stack(fields), sigma, axis=0, mode="nearest")
    every = (slice(None, None, 2),) * 3
    errors = []
    for index in range(1, len(fields)):
        apart = np.linalg.norm(smooth[index] - case.truth(index)[every], axis=-1) / VOXEL_MM
        errors.append(apart[case.scored(index)[every]].mean())
    return float(np.mean(errors))


def warm_started(case: Breathing, frames: list[sitk.Image], model, spacing) -> dict:
    """Each frame registered with the reference as the frame before left it, and the two displacements composed."""
    registrar = Registrar(model, Settings(align="none", network_spacing=spacing))
    errors, whole = [], None
    for index in range(1, len(frames)):
        moving = frames[0] if whole is None else displacement.warp(frames[0], whole, outside=-1000.0)
        step = registrar.register(frames[index], moving).displacement
        whole = step if whole is None else displacement.compose(step, whole)
        apart = np.linalg.norm(sitk.GetArrayFromImage(whole) - case.truth(index), axis=-1) / VOXEL_MM
        errors.append(float(apart[case.scored(index)].mean()))
    return {
        "mean_error": mean(errors),
        "largest_error": max(errors),
        "error_by_frame": [0.0, *[round(e, 3) for e in errors]],
    }


def mean(values) -> float:
    return round(float(np.mean(list(values))), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--shrink", type=int, default=1, help="use the CT at this many times 3 mm, for a slow machine")
    parser.add_argument("--model")
    parser.add_argument("--network-spacing", type=network_spacing, help="mm or native (default: the model's)")
    args = parser.parse_args()
    spacing = args.network_spacing
    case = Breathing(args.frames, args.shrink)
    frames = [case.frame(index) for index in range(args.frames)]
    model = load_model(args.model) if args.model else load_model()
    still = mean(
        np.linalg.norm(case.truth(i), axis=-1)[case.scored(i)].mean() / VOXEL_MM for i in range(1, args.frames)
    )
    found = {
        "frames": args.frames,
        "voxel_mm": VOXEL_MM * args.shrink,
        "unit_mm": VOXEL_MM,
        "model": model.name,
        "network_spacing": args.network_spacing or "the model's",
        "doing_nothing": still,
    }
    for strategy in ("direct", "sequential", "keyframes"):
        found[strategy], fields = measure(case, frames, model, spacing, strategy=strategy, keyframe_step=KEYFRAME_STEP)
        if strategy == "direct":
            unsmoothed = smoothed_over_time(case, fields, 1e-6)
            found["smoothed_over_time"] = {
                str(sigma): round(smoothed_over_time(case, fields, sigma) - unsmoothed, 4) for sigma in (0.5, 1.0, 2.0)
            }
        print(strategy, json.dumps({k: v for k, v in found[strategy].items() if k != "error_by_frame"}), flush=True)
        save(found)
    found["warm_start"] = warm_started(case, frames, model, spacing)
    save(found)


def save(found: dict) -> None:
    """After every strategy, so that a run that is stopped has not run for nothing."""
    if "sequential" in found:
        direct, sequential = (np.asarray(found[name]["error_by_frame"]) for name in ("direct", "sequential"))
        found["sequential_drift"] = round(float((sequential - direct).max()), 4)
    if "keyframes" in found:
        found["keyframes_cost"] = round(found["keyframes"]["mean_error"] - found["direct"]["mean_error"], 4)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "propagation_breathing.json").write_text(json.dumps(found, indent=1) + "\n")
    print(
        json.dumps(
            {k: v for k, v in found.items() if not isinstance(v, dict)} | {"smoothing": found["smoothed_over_time"]}
        )
    )


if __name__ == "__main__":
    main()
