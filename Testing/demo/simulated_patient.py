"""A patient whose motion is known: the MNI152 head, moved smoothly through a cycle, with noise and intensity drift."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

GREY_MATTER, WHITE_MATTER = 1, 2
LARGEST_MOTION_MM = 8.0


@dataclass(frozen=True)
class Patient:
    """Where the files of a simulated patient lie. `truth[t]` is the known segmentation of `frames[t]`."""

    frames: list[Path]
    segmentation: Path
    truth: list[Path]


def make_patient(folder: Path, frames: int = 24, seed: int = 0) -> Patient:
    """Write `frames` volumes at 2 mm, the segmentation of frame 0 and the known segmentation of every frame.

    Frame t is the reference pulled through a displacement that is known, cycles once and is zero at frame 0, with 3 %
    noise and an intensity that drifts by up to 15 %. Reference, grey and white matter: MNI152 2009 (Fonov et al. 2011)
    as the nilearn package carries it.
    """
    reference, labels = _mni152()
    shape_of_motion = _smooth_motion(reference, seed)
    noise = np.random.default_rng(seed + 1)
    scale = float(np.percentile(sitk.GetArrayViewFromImage(reference), 99))
    patient = Patient(
        [folder / "frames" / f"frame_{t:02d}.nrrd" for t in range(frames)],
        folder / "segmentation.nrrd",
        [folder / "truth" / f"frame_{t:02d}.nrrd" for t in range(frames)],
    )
    for path in (patient.frames[0], patient.truth[0]):
        path.parent.mkdir(parents=True, exist_ok=True)
    for t in range(frames):
        phase = 2 * np.pi * t / frames
        amount = (1 - np.cos(phase)) / 2
        displacement = sitk.GetImageFromArray(shape_of_motion * amount, isVector=True)
        displacement.CopyInformation(reference)
        transform = sitk.DisplacementFieldTransform(displacement)
        moved = sitk.Resample(reference, transform, sitk.sitkLinear, 0.0)
        array = sitk.GetArrayFromImage(moved) * (1 + 0.15 * np.sin(phase)) + noise.normal(
            0, 0.03 * scale, moved.GetSize()[::-1]
        )
        frame = sitk.GetImageFromArray(array.astype(np.float32))
        frame.CopyInformation(moved)
        sitk.WriteImage(frame, str(patient.frames[t]), useCompression=True, compressionLevel=1)
        sitk.WriteImage(
            sitk.Resample(labels, transform, sitk.sitkNearestNeighbor), str(patient.truth[t]), useCompression=True
        )
    sitk.WriteImage(labels, str(patient.segmentation), useCompression=True)
    return patient


def _mni152() -> tuple[sitk.Image, sitk.Image]:
    import nilearn.datasets

    folder = Path(nilearn.datasets.__file__).parent / "data"
    volumes = {}
    for name, pattern in {"t1": "mni_icbm152_t1*", "grey": "mni_icbm152_gm*", "white": "mni_icbm152_wm*"}.items():
        full = sitk.ReadImage(str(next(folder.glob(pattern))), sitk.sitkFloat32)
        volumes[name] = sitk.BinShrink(full, [2, 2, 2])
    grey, white = (sitk.GetArrayFromImage(volumes[name]) for name in ("grey", "white"))
    half = grey.max() / 2
    labels = np.where(white > np.maximum(grey, half), WHITE_MATTER, np.where(grey > half, GREY_MATTER, 0)).astype(
        np.uint8
    )
    segmentation = sitk.GetImageFromArray(labels)
    segmentation.CopyInformation(volumes["t1"])
    return volumes["t1"], segmentation


def _smooth_motion(reference: sitk.Image, seed: int) -> np.ndarray:
    """A smooth displacement (k, j, i, 3) in LPS mm: a push from below that fades upwards, as breathing has, and random
    bending.
    """
    noise = np.random.default_rng(seed).normal(size=(*reference.GetSize()[::-1], 3))
    bending = sitk.GetImageFromArray(noise, isVector=True)
    bending = sitk.SmoothingRecursiveGaussian(bending, 12.0)
    vectors = sitk.GetArrayFromImage(bending)
    vectors *= 0.5 * LARGEST_MOTION_MM / np.linalg.norm(vectors, axis=-1).max()
    height = np.linspace(1, 0, vectors.shape[0])[:, None, None]
    vectors[..., 2] += 0.5 * LARGEST_MOTION_MM * height
    return vectors
