"""The benchmark's cases: real pairs, and pairs and sequences made of public images, whose truth or labels are known.

The real pairs are read where they lie, each image on its own grid. A case that is made is a fixed and a moving image on
ONE grid (an affine start, where one is needed, is already applied), so that all methods answer the same question with
the same input. `python cases.py FOLDER [--subset quick]` writes them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
COLIN = Path("/usr/share/mricron/templates")
SUBSETS = ("full", "real", "quick")


class Unavailable(Exception):
    """The public data a case is made of are not on this machine."""


@dataclass
class Case:
    """One registration to do and what is known about its answer. Paths are absolute.

    Attributes:
        group: the case it is one frame of ('abdomen CT'); results are averaged over a group.
        truth: displacement field (LPS mm, fixed point + u = moving point), where it is known.
        score_mask: where the displacement is scored (target-registration error, folding) and labels are compared; None
            is everywhere.
        labels: name of a label set -> (fixed labels, moving labels).
        contrast: 'same' or 'different' image contrast.
        landmarks: legacy VTK files of the same points, in the same order, in the fixed and the moving image, LPS mm.
        align: the start that the pair needs before anything deformable: 'none' or 'affine'.
        refine: the refinement that this project is scored with, besides none (`Settings.refine`).
        real: two images that were really taken, neither made of the other.
    """

    name: str
    group: str
    fixed: str
    moving: str
    score_mask: str | None = None
    truth: str | None = None
    labels: dict[str, tuple[str, str]] = field(default_factory=dict)
    contrast: str = "same"
    frame: int | None = None
    landmarks: tuple[str, str] | None = None
    align: str = "none"
    refine: int | str = "auto"
    real: bool = False


def exchanged(case: Case) -> Case:
    """A real pair the other way round."""
    labels = {name: (moving, fixed) for name, (fixed, moving) in case.labels.items()}
    landmarks = case.landmarks and (case.landmarks[1], case.landmarks[0])
    name = f"{case.name}, exchanged"
    return replace(case, name=name, fixed=case.moving, moving=case.fixed, labels=labels, landmarks=landmarks)


def build(folder: Path, subset: str = "full") -> list[Case]:
    """The cases that this machine has data for, the real ones first; those to be made are written once.

    `subset`: one of `SUBSETS`: 'full'; 'real' for the real pairs alone; 'quick' for one real pair of each kind, brains
    at 2 mm and two frames a sequence.
    """
    from Testing.benchmarks.accuracy import case_brains, case_motion, case_real

    cases = case_real.pairs(one_of_each=subset == "quick")
    if subset == "real":
        return cases
    makers: list[Callable[[Path, bool], list[Case]]] = [
        case_motion.abdomen_ct,
        case_motion.abdomen_mr,
        case_motion.heart,
        case_brains.mni_colin,
        case_brains.oasis,
        case_brains.prostate,
    ]
    for maker in makers:
        target = folder / subset / maker.__name__
        index = target / "cases.json"
        try:
            if not index.exists():
                target.mkdir(parents=True, exist_ok=True)
                index.write_text(json.dumps([asdict(case) for case in maker(target, subset == "quick")], indent=1))
        except Unavailable as reason:
            print(f"{maker.__name__}: left out, {reason}", flush=True)
            continue
        cases += [Case(**entry) for entry in json.loads(index.read_text(encoding="utf-8"))]
    return cases


def read(path: Path, kind: int = sitk.sitkFloat32) -> sitk.Image:
    if not path.exists():
        raise Unavailable(f"{path} is not on this machine")
    return sitk.ReadImage(str(path), kind)


def write(image: sitk.Image, path: Path) -> str:
    sitk.WriteImage(image, str(path), useCompression=image.GetNumberOfComponentsPerPixel() == 1)
    return str(path)


def like(array: np.ndarray, image: sitk.Image, vector: bool = False) -> sitk.Image:
    result = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=vector)
    result.CopyInformation(image)
    return result


def points_of(image: sitk.Image) -> np.ndarray:
    """LPS mm of every voxel centre, (k, j, i, 3)."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in image.GetSize()], indexing="ij"), -1).transpose(2, 1, 0, 3)
    axes = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    return index @ axes.T + np.asarray(image.GetOrigin())


def pull(
    image: sitk.Image,
    displacement: np.ndarray,
    interpolator: int = sitk.sitkBSpline,
    outside: float = 0.0,
    grid: sitk.Image | None = None,
) -> sitk.Image:
    """`image(x + u(x))` for LPS mm vectors (k, j, i, 3) at the voxels of `grid` (default: the image's own)."""
    grid = grid or image
    vectors = like(displacement.astype(np.float64), grid, vector=True)
    return sitk.Resample(
        image, grid, sitk.DisplacementFieldTransform(vectors), interpolator, outside, image.GetPixelID()
    )


def affine_start(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """Affine transform (fixed point to moving point) by correlation, from the images' moments."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2, 1])
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method.SetInitialTransform(start, inPlace=False)
    return method.Execute(fixed, moving)


def smooth_noise(shape: tuple[int, ...], sigma: float, seed: int) -> np.ndarray:
    """Gaussian-smoothed noise scaled to -1..1."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return noise / np.abs(noise).max()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--subset", choices=SUBSETS, default="full")
    arguments = parser.parse_args()
    for made in build(arguments.folder.resolve(), arguments.subset):
        print(made.group, made.name)
