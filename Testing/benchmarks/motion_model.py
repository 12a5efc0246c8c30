"""Strategy motion-model against direct: a breathing abdomen of known truth in which some frames are unlike all others.

    python -m Testing.benchmarks.motion_model            # 200 frames; prints a table, writes results/motion_model.json
    python -m Testing.benchmarks.motion_model --detail segmentation     # full detail around the liver alone
    python -m Testing.benchmarks.motion_model --frames 60 --direct 12

Each frame is a public CT (3 mm) pulled through a displacement written down as a formula: breathing down and forward
whose amplitude, phase and lag are drawn anew for every frame, and a sideways mode of its own strength, with noise of
15 HU. One frame in twenty is an intruder besides: the patient is shifted, twisted, bulges in one place, or the frame
has another contrast. Errors are in voxels, inside the body and where the truth stays inside the field of view.
`direct` is measured on a subset of the frames, spread evenly, and on all intruders; its seconds a frame are those of
the sequence, in which intruders are one in twenty.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.benchmarks.accuracy.case_motion import _other_day, _stays_inside
from Testing.benchmarks.accuracy.cases import SHARED, like, points_of, pull, read
from VoxelMorphRegistrationLib.models.loading import Model, load_model
from VoxelMorphRegistrationLib.propagation.choices import DETAILS
from VoxelMorphRegistrationLib.propagation.frames import Frames
from VoxelMorphRegistrationLib.propagation.propagate import Propagation
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings
from VoxelMorphRegistrationLib.registration.settings import Settings

RESULTS = Path(__file__).parent / "results"
LIVER, NOISE_HU, EVERY = 5, 15.0, 20
KINDS = ("shift", "twist", "bulge", "contrast")


class BreathingWithIntruders(Frames):
    """The frames, made when they are asked for, and what is true of each. Frame 0 is the CT itself."""

    def __init__(self, count: int, shrink: int = 1) -> None:
        self.image = sitk.BinShrink(read(SHARED / "abdomen_ct" / "ct.nii.gz"), [shrink] * 3)
        labels = read(SHARED / "abdomen_ct" / "labels.nii.gz", sitk.sitkUInt8)
        self.labels = sitk.Resample(labels, self.image, sitk.Transform(), sitk.sitkNearestNeighbor)
        self._made: dict[int, np.ndarray] = {}
        self.seconds = 0.0  # of processor time that making frames took
        self._count = count
        self._mirrored = sitk.MirrorPad(self.image, [0, 0, 12 // shrink], [0, 0, 12 // shrink])
        self._body = sitk.BinaryFillhole(sitk.OpeningByReconstruction(self.image > -300.0, [2] * 3))
        self._points = points_of(self.image)
        height = self._points[..., 2] - self._points[..., 2].min()
        ramp = np.clip((height - 30) / (height.max() - 30), 0, 1)
        occupied = self._points[sitk.GetArrayViewFromImage(self._body) > 0]
        low, high = np.percentile(occupied, [1, 99], axis=0)
        self._middle, self._half = (low + high) / 2, (high - low) / 2
        radius = np.linalg.norm(((self._points - self._middle) / self._half)[..., :2], axis=-1)
        self._amount = ramp * ramp * (3 - 2 * ramp) * np.exp(-((radius / 0.9) ** 4))
        self._aside = np.exp(-((radius / 0.9) ** 4)) * np.sin(np.pi * np.clip(height / height.max(), 0, 1))

    def __len__(self) -> int:
        return self._count

    def intruder(self, index: int) -> str:
        """What makes the frame unlike the others, '' for nothing."""
        return KINDS[index // EVERY % len(KINDS)] if index % EVERY == EVERY // 2 else ""

    def truth(self, index: int) -> np.ndarray:
        """LPS mm (k, j, i, 3)."""
        if index == 0:
            return np.zeros_like(self._points)
        draw = np.random.default_rng(index)
        amplitude, phase, lag = draw.uniform(8, 22), draw.uniform(0, 1), draw.uniform(0.04, 0.12)
        displacement = np.zeros_like(self._points)
        displacement[..., 2] = amplitude * self._amount * np.sin(np.pi * phase) ** 2
        forward = np.sin(np.pi * (phase - lag)) ** 2 - np.sin(np.pi * lag) ** 2
        displacement[..., 1] = 0.25 * amplitude * self._amount * forward
        displacement[..., 0] = draw.normal(0, 2.5) * self._aside
        kind = self.intruder(index)
        if kind == "shift":
            displacement += draw.normal(0, 1, 3) * (1, 1, 0.3) + (6, -4, 0)
        if kind == "twist":
            angle = np.deg2rad(draw.choice([-1, 1]) * draw.uniform(4, 7))
            x, y = np.moveaxis(self._points - self._middle, -1, 0)[:2]
            displacement[..., 0] += np.cos(angle) * x - np.sin(angle) * y - x
            displacement[..., 1] += np.sin(angle) * x + np.cos(angle) * y - y
        if kind == "bulge":
            place = self._middle + draw.uniform(-0.5, 0.5, 3) * self._half
            distance = np.linalg.norm(self._points - place, axis=-1)
            towards = draw.normal(size=3)
            bulge = 9 * np.exp(-0.5 * (distance / 18) ** 2)
            displacement += bulge[..., None] * towards / np.linalg.norm(towards)
        return displacement

    def __getitem__(self, index: int) -> sitk.Image:
        if index in self._made:
            return like(self._made[index], self.image)
        started = time.thread_time()
        moved = self.image if index == 0 else pull(self._mirrored, self.truth(index), outside=-1000.0, grid=self.image)
        noise = np.random.default_rng(index).normal(0, NOISE_HU, moved.GetSize()[::-1])
        values = sitk.GetArrayFromImage(moved) + noise
        if self.intruder(index) == "contrast":
            values = _other_day(1000 - values, (-200, 1300), index)
        # Kept as a scanner would, in whole numbers: a strategy reads most frames twice.
        self._made[index] = np.rint(values).astype(np.int16)
        frame = like(self._made[index], self.image)
        self.seconds += time.thread_time() - started
        return frame

    def error(self, index: int, displacement: sitk.Image) -> float:
        """Mean distance in voxels of the displacement that was found from the true one."""
        truth = self.truth(index)
        body = sitk.GetArrayFromImage(pull(self._body, truth, sitk.sitkNearestNeighbor)) > 0
        apart = np.linalg.norm(sitk.GetArrayFromImage(displacement) - truth, axis=-1) / self.image.GetSpacing()[0]
        return float(apart[body & _stays_inside(self.image, truth)].mean())


@dataclass
class Measured:
    """One strategy on some frames.

    Attributes:
        errors: by frame, voxels. strategies: by frame, what found its displacement. keys: the key frames. apart: those
            that were said to be unlike the others.
        seconds: processor seconds in all, without those that making and scoring the frames took.
    """

    errors: dict[int, float]
    strategies: dict[int, str]
    keys: list[int]
    seconds: float
    apart: list[int] = field(default_factory=list)


def measure(case: BreathingWithIntruders, model: Model, settings: PropagationSettings) -> Measured:
    liver = sitk.Cast(case.labels == LIVER, sitk.sitkUInt8)
    found = Measured({}, {}, [], 0.0)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / ".resume").mkdir()
        propagation = Propagation(case, liver, 0, model, settings).kept_in(Path(scratch))
        made, started, scoring = case.seconds, time.process_time(), 0.0
        for result in propagation.run():
            if result.failure is not None:
                raise SystemExit(result.failure.traceback)
            before = time.thread_time()
            if result.status == "done":
                found.errors[result.index] = case.error(result.index, result.displacement)
                found.strategies[result.index] = result.strategy
                found.keys += [result.index] if result.keep else []
                found.apart += [result.index] if "unlike the other frames" in result.message else []
            scoring += time.thread_time() - before
        found.seconds = time.process_time() - started - scoring - (case.seconds - made)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--direct", type=int, default=20, help="frames besides the intruders that direct registers")
    parser.add_argument("--keyframes", type=int)
    parser.add_argument("--model", default="any-anatomy-fast")
    parser.add_argument("--detail", choices=DETAILS, default="everywhere", help="where a frame has full detail")
    parser.add_argument("--network-spacing", type=float, metavar="MM", help="another than the network's")
    parser.add_argument("--shrink", type=int, default=1, metavar="N", help="voxels of N x 3 mm, to try it out")
    args = parser.parse_args()
    # One thread: then the time of the thread that makes frames is the processor time this takes.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    case, model = BreathingWithIntruders(args.frames, args.shrink), load_model(args.model)
    intruders = [index for index in range(args.frames) if case.intruder(index)]
    usual = [index for index in range(1, args.frames) if not case.intruder(index)]
    every = max(1, len(usual) // args.direct)
    pairs = Settings(align="none", network_spacing=args.network_spacing)
    how = partial(PropagationSettings, registration=pairs, detail=args.detail)
    combined = measure(case, model, how("motion-model", keyframes=args.keyframes))
    print(table("motion-model", combined, intruders), flush=True)
    chosen = usual[::every]
    apart = [measure(case, model, how("direct", select=part)) for part in (chosen, intruders)]
    direct = Measured({**apart[0].errors, **apart[1].errors}, {}, [], sum(one.seconds for one in apart))
    print(table("direct", direct, intruders), flush=True)
    both = [index for index in chosen if index not in combined.keys]
    found = [index for index in intruders if index in combined.apart]
    needless = [i for i in usual if combined.strategies[i] == "direct" and i not in combined.keys]
    share = len(intruders) / args.frames
    of_direct = [one.seconds / len(part) for one, part in zip(apart, (chosen, intruders))]
    seconds = combined.seconds / args.frames, (1 - share) * of_direct[0] + share * of_direct[1]
    told = {
        "frames": args.frames,
        "model": model.name,
        "voxel_mm": case.image.GetSpacing()[0],
        "network_spacing": args.network_spacing,
        "key_frames": combined.keys,
        "processor_seconds_a_frame": {"motion-model": round(seconds[0], 3), "direct": round(seconds[1], 3)},
        "of_direct": {"usual frame": round(of_direct[0], 3), "intruder": round(of_direct[1], 3)},
        "times_less": round(seconds[1] / seconds[0], 2),
        "error_of_frames_both_made": {
            "frames": len(both),
            "motion-model": mean(combined.errors[i] for i in both),
            "direct": mean(direct.errors[i] for i in both),
        },
        "error_of_all_usual_frames": mean(combined.errors[i] for i in usual),
        "intruders": {
            "found": f"{len(found)} of {len(intruders)}",
            "missed": {index: case.intruder(index) for index in intruders if index not in found},
            "motion-model": mean(combined.errors[i] for i in intruders),
            "direct": mean(direct.errors[i] for i in intruders),
        },
        "other_frames_registered_directly": needless,
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "motion_model.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**kept, args.detail: told}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=1))


def table(name: str, measured: Measured, intruders: list[int]) -> str:
    usual = [error for index, error in measured.errors.items() if index not in intruders]
    return (
        f"{name}: {len(measured.errors)} frames, {measured.seconds / (len(measured.errors) + 1):.2f} processor "
        f"seconds a frame, error {mean(usual)} voxels (largest {max(usual):.3f}), of intruders "
        f"{ {index: round(measured.errors[index], 3) for index in intruders} }"
    )


def mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)


if __name__ == "__main__":
    main()
