"""Sequences of known truth: an abdomen that breathes (CT and MR) and a heart that beats.

Frame t is the reference pulled through a displacement written down as a formula, so the truth is exact: fixed =
frame t, moving = reference.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.benchmarks.accuracy.cases import SHARED, Case, like, points_of, pull, read, smooth_noise, write

FRAMES = 20
LIVER = 5


def abdomen_ct(folder: Path, quick: bool) -> list[Case]:
    """CT, 3 mm, 20 mm of motion at the diaphragm."""
    image, labels = (
        read(SHARED / "abdomen_ct" / "ct.nii.gz"),
        read(SHARED / "abdomen_ct" / "labels.nii.gz", sitk.sitkUInt8),
    )
    return _breathing(
        "abdomen CT",
        folder,
        image,
        labels,
        largest=20.0,
        foot_mm=30.0,
        window=(-200, 300),
        air=-1000.0,
        tissue=-300.0,
        quick=quick,
    )


def abdomen_mr(folder: Path, quick: bool) -> list[Case]:
    """MR slab of 60 mm, 3 mm, 9 mm of motion at its top."""
    image, labels = (
        read(SHARED / "abdomen_mr" / "mr.nii.gz"),
        read(SHARED / "abdomen_mr" / "labels.nii.gz", sitk.sitkUInt8),
    )
    return _breathing(
        "abdomen MR",
        folder,
        image,
        labels,
        largest=9.0,
        foot_mm=-60.0,
        window=(0, 600),
        air=0.0,
        tissue=20.0,
        quick=quick,
    )


def _breathing(
    group: str,
    folder: Path,
    image: sitk.Image,
    labels: sitk.Image,
    largest: float,
    foot_mm: float,
    window: tuple[float, float],
    air: float,
    tissue: float,
    quick: bool,
) -> list[Case]:
    """`foot_mm` above the lowest slice the motion begins; it is full at the top slice (the diaphragm)."""
    padding = [0, 0, 12]
    mirrored, mirrored_labels = (sitk.MirrorPad(i, padding, padding) for i in (image, labels))
    body = sitk.BinaryFillhole(sitk.OpeningByReconstruction(image > tissue, [2] * 3))
    reference, reference_labels = (
        write(image, folder / "reference.nii.gz"),
        write(labels, folder / "reference_labels.nii.gz"),
    )
    cases = []
    for t in (5, 10) if quick else range(1, FRAMES):
        displacement = _breath(image, body, t / FRAMES, largest, foot_mm)
        frame = pull(mirrored, displacement, outside=air, grid=image)
        truth_labels = pull(mirrored_labels, displacement, sitk.sitkNearestNeighbor, grid=image)
        moved_body = pull(body, displacement, sitk.sitkNearestNeighbor)
        scored = (sitk.GetArrayFromImage(moved_body) > 0) & _stays_inside(image, displacement)
        mask = like(scored.astype(np.uint8), image)
        common = {
            "moving": reference,
            "score_mask": write(mask, folder / f"mask_{t:02d}.nii.gz"),
            "truth": write(like(displacement.astype(np.float32), image, vector=True), folder / f"truth_{t:02d}.mha"),
            "labels": {"organs": (write(truth_labels, folder / f"labels_{t:02d}.nii.gz"), reference_labels)},
            "frame": t,
        }
        cases.append(Case(f"{group} {t:02d}", group, write(frame, folder / f"frame_{t:02d}.nii.gz"), **common))
        changed = like(_other_day(sitk.GetArrayFromImage(frame), window, seed=t), image)
        cases.append(
            Case(
                f"{group}, noise and contrast {t:02d}",
                f"{group}, noise and contrast",
                write(changed, folder / f"changed_{t:02d}.nii.gz"),
                **common,
            )
        )
    return sorted(cases, key=lambda case: case.name)


def _breath(image: sitk.Image, body: sitk.Image, phase: float, largest: float, foot_mm: float) -> np.ndarray:
    """Inhaling moves tissue down (u points up) and forward; forward lags: hysteresis. LPS mm (k, j, i, 3)."""
    points = points_of(image)
    height = points[..., 2] - points[..., 2].min()
    ramp = np.clip((height - foot_mm) / (height.max() - foot_mm), 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    occupied = points[sitk.GetArrayViewFromImage(body) > 0][:, :2]
    low, high = np.percentile(occupied, [1, 99], axis=0)
    radius = np.linalg.norm((points[..., :2] - (low + high) / 2) / ((high - low) / 2), axis=-1)
    amount = largest * ramp * np.exp(-((radius / 0.9) ** 4))
    lag = 0.08
    forward = np.sin(np.pi * (phase - lag)) ** 2 - np.sin(np.pi * lag) ** 2
    displacement = np.zeros(points.shape)
    displacement[..., 2] = amount * np.sin(np.pi * phase) ** 2
    displacement[..., 1] = 0.25 * amount * forward
    return displacement


def _stays_inside(image: sitk.Image, displacement: np.ndarray) -> np.ndarray:
    height = (points_of(image) + displacement)[..., 2]
    own = points_of(image)[..., 2]
    return (height <= own.max()) & (height >= own.min())


def _other_day(values: np.ndarray, window: tuple[float, float], seed: int) -> np.ndarray:
    """Noise (4 % of the window), a bias field of +-15 % and another contrast curve inside the window."""
    low, high = window
    scale = high - low
    inside = np.clip((values - low) / scale, 0, 1)
    bias = 1 + 0.15 * smooth_noise(values.shape, 12, seed)
    changed = values + scale * (bias * inside**0.7 - inside)
    return (changed + np.random.default_rng(100 + seed).normal(0, 0.04 * scale, values.shape)).astype(np.float32)


def heart(folder: Path, quick: bool) -> list[Case]:
    """A left ventricle with papillary muscles, a right one, and textured tissue around them; 1.5 mm.

    The wall thickens without changing its volume, the base comes down 8 mm and the apex twists by 12 degrees.
    """
    image = sitk.Image([104, 104, 88], sitk.sitkFloat32)
    image.SetSpacing([1.5] * 3)
    image.SetOrigin([-77.25, -77.25, -65.25])
    points = points_of(image)
    values, labels = _heart_at_rest(points)
    reference = like(values.astype(np.float32), image)
    rest = like(labels.astype(np.uint8), image)
    paths = write(reference, folder / "reference.nii.gz"), write(rest, folder / "reference_labels.nii.gz")
    cases = []
    for t in (4, 7) if quick else range(1, FRAMES):
        displacement = _beat(points, np.sin(np.pi * (t / FRAMES) ** 0.8) ** 2)
        noise = np.random.default_rng(t).normal(0, 0.02, values.shape)
        frame = like(sitk.GetArrayFromImage(pull(reference, displacement)) + noise.astype(np.float32), image)
        truth_labels = pull(rest, displacement, sitk.sitkNearestNeighbor)
        mask = like((np.linalg.norm(points / [62, 62, 60], axis=-1) < 1).astype(np.uint8), image)
        cases.append(
            Case(
                f"heart {t:02d}",
                "beating heart",
                write(frame, folder / f"frame_{t:02d}.nii.gz"),
                paths[0],
                write(mask, folder / "mask.nii.gz"),
                write(like(displacement.astype(np.float32), image, vector=True), folder / f"truth_{t:02d}.mha"),
                {"chambers and wall": (write(truth_labels, folder / f"labels_{t:02d}.nii.gz"), paths[1])},
                frame=t,
            )
        )
    return cases


_LEFT = np.array([21.0, 21.0, 38.0])  # half axes of the left ventricle's blood pool, mm


def _heart_at_rest(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intensities 0..1 and labels (1 left pool, 2 wall, 3 right pool) at end diastole."""
    radius = np.linalg.norm(points / _LEFT, axis=-1)
    pool, wall = radius < 1, (radius >= 1) & (radius < 1.45)
    right = (np.linalg.norm((points - [-26, -4, 4]) / [22, 26, 34], axis=-1) < 1) & ~pool & ~wall
    labels = np.select([pool, wall, right], [1, 2, 3], 0)
    papillary = np.zeros_like(pool)
    for x, y in ((11, 8), (-4, -13)):
        papillary |= (np.hypot(points[..., 0] - x, points[..., 1] - y) < 3.5) & (np.abs(points[..., 2] + 8) < 16) & pool
    tissue = 0.35 + 0.15 * np.sign(smooth_noise(points.shape[:3], 6, 1))
    values = np.select([papillary, pool, wall, right], [0.42, 0.9, 0.4, 0.85], tissue)
    values = values + 0.12 * smooth_noise(points.shape[:3], 1.5, 2) + 0.1 * smooth_noise(points.shape[:3], 4, 3)
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(values, 0.6), labels


def _beat(points: np.ndarray, strength: float) -> np.ndarray:
    """The pull to end diastole of a heart contracted by `strength` 0..1, in mm (k, j, i, 3)."""
    shrunk = 1 - 0.3 * strength
    radius = np.linalg.norm(points / _LEFT, axis=-1)
    grown = np.where(radius < shrunk, radius / shrunk, np.cbrt(radius**3 + 1 - shrunk**3))
    fade = np.exp(-((radius / 2.2) ** 4))
    displacement = points * ((grown / np.maximum(radius, 1e-6) - 1) * fade)[..., None]
    rested = points + displacement
    angle = np.deg2rad(12) * strength * fade * np.clip(-points[..., 2] / 38, -1, 1)
    turned = np.stack(
        [
            np.cos(angle) * rested[..., 0] - np.sin(angle) * rested[..., 1],
            np.sin(angle) * rested[..., 0] + np.cos(angle) * rested[..., 1],
            rested[..., 2],
        ],
        -1,
    )
    turned[..., 2] += 8 * strength * fade * np.clip((points[..., 2] + 38) / 76, 0, 1)
    edge = 1 - np.clip(np.abs(points / np.abs(points).max((0, 1, 2))).max(-1), 0, 1) ** 8
    return (turned - points) * edge[..., None]
