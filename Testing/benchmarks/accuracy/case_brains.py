"""Pairs whose truth is in their labels (brains), or known because we moved one of them (prostate)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.benchmarks.accuracy.cases import (
    COLIN,
    SHARED,
    Case,
    affine_start,
    like,
    points_of,
    pull,
    read,
    smooth_noise,
    write,
)

GREY, WHITE, FLUID = 1, 2, 3
_MNI152_ORIGIN = (-90.0, 126.0, -72.0)  # of FSL's 1 mm grid in LPS; the packaged atlas lost it from its header
# Cortical regions that AAL (on Colin27) and Harvard-Oxford (on MNI152) draw alike: name -> (AAL, HO).
REGIONS = {
    "precentral": ((1, 2), (7,)),
    "postcentral": ((57, 58), (17,)),
    "insula": ((29, 30), (2,)),
    "temporal": ((81, 82, 85, 86, 89, 90), tuple(range(9, 17))),
    "precuneus": ((67, 68), (31,)),
    "anterior cingulate": ((31, 32), (29,)),
    "lingual": ((47, 48), (36,)),
    "cuneus": ((45, 46), (32,)),
    "supramarginal": ((63, 64), (19, 20)),
    "angular": ((65, 66), (21,)),
    "fusiform": ((55, 56), (37, 38, 39, 40)),
    "parahippocampal": ((39, 40), (34, 35)),
    "supplementary motor": ((19, 20), (26,)),
}


def mni_colin(folder: Path, quick: bool) -> list[Case]:
    """Fixed MNI152 2009 (skull-stripped), moving Colin27 after an affine start: tissues and cortical regions."""
    import nilearn.datasets

    data = Path(nilearn.datasets.__file__).parent / "data"
    t1, grey, white = (read(next(data.glob(f"mni_icbm152_{kind}_*"))) for kind in ("t1", "gm", "wm"))
    colin = read(COLIN / "ch2bet.nii.gz")
    atlases = read(COLIN / "aal.nii.gz"), read(COLIN / "HarvardOxford-cort-maxprob-thr0-1mm.nii.gz")
    atlases[1].SetOrigin(_MNI152_ORIGIN)
    if quick:
        t1, grey, white, colin = (sitk.BinShrink(i, [2, 2, 2]) for i in (t1, grey, white, colin))
    fixed_tissue = _from_probabilities(t1, grey, white)
    start = affine_start(t1, colin)
    moving = sitk.Resample(colin, t1, start, sitk.sitkLinear, 0.0)
    moving_tissue = sitk.Resample(_tissues(colin), t1, start, sitk.sitkNearestNeighbor, 0)
    harvard = sitk.Resample(atlases[1], t1, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    aal = sitk.Resample(atlases[0], t1, start, sitk.sitkNearestNeighbor, 0)
    return [
        _pair(
            "MNI152 - Colin27",
            folder,
            t1,
            moving,
            t1 > 0,
            {
                "tissues": (fixed_tissue, moving_tissue),
                "regions": (_regions(harvard, fixed_tissue, 1), _regions(aal, moving_tissue, 0)),
            },
        )
    ]


def oasis(folder: Path, quick: bool) -> list[Case]:
    """Two heads after an affine start. Only the moving one has labels; what both have is tissue by intensity."""
    fixed, moving = read(SHARED / "brain_oasis" / "b.nii.gz"), read(SHARED / "brain_oasis" / "a.nii.gz")
    if quick:
        fixed, moving = (sitk.BinShrink(i, [2, 2, 2]) for i in (fixed, moving))
    fixed = _cropped(fixed, margin_mm=8)
    start = affine_start(fixed, moving)
    aligned = sitk.Resample(moving, fixed, start, sitk.sitkLinear, 0.0)
    tissues = _tissues(fixed), sitk.Resample(_tissues(moving), fixed, start, sitk.sitkNearestNeighbor, 0)
    return [_pair("OASIS a - b", folder, fixed, aligned, fixed > 0, {"tissues": tissues})]


def prostate(folder: Path, quick: bool) -> list[Case]:
    """Fixed ADC map, moving high-b-value image of the same scan, bent by a known smooth displacement of up to 8 mm."""
    adc, hbv = (read(SHARED / "oblique" / f"10000_1000000_{kind}.mha") for kind in ("adc", "hbv"))
    shape = adc.GetSize()[::-1]
    velocity = np.stack([smooth_noise(shape, 9, seed) for seed in (5, 6, 7)], -1)
    velocity *= 8.0 / np.linalg.norm(velocity, axis=-1).max()
    truth, inverse = _exponential(adc, velocity), _exponential(adc, -velocity)
    moving = pull(hbv, inverse, grid=adc)
    points = points_of(adc).reshape(-1, 3)
    radius = np.linalg.norm((points - points.mean(0)) / (np.ptp(points, axis=0) / 2), axis=1).reshape(shape)
    mask = like((radius < 0.8).astype(np.uint8), adc)
    return [_pair("prostate ADC - HBV", folder, adc, moving, mask, {}, truth, "different")]


def _pair(
    name: str,
    folder: Path,
    fixed: sitk.Image,
    moving: sitk.Image,
    mask: sitk.Image,
    labels: dict[str, tuple[sitk.Image, sitk.Image]],
    truth: np.ndarray | None = None,
    contrast: str = "same",
) -> Case:
    paths = {
        key: (write(one, folder / f"fixed_{key}.nii.gz"), write(other, folder / f"moving_{key}.nii.gz"))
        for key, (one, other) in labels.items()
    }
    field = None if truth is None else write(like(truth.astype(np.float32), fixed, vector=True), folder / "truth.mha")
    return Case(
        name,
        name,
        write(fixed, folder / "fixed.nii.gz"),
        write(moving, folder / "moving.nii.gz"),
        write(sitk.Cast(mask, sitk.sitkUInt8), folder / "mask.nii.gz"),
        field,
        paths,
        contrast,
    )


def _from_probabilities(t1: sitk.Image, grey: sitk.Image, white: sitk.Image) -> sitk.Image:
    g, w, inside = (sitk.GetArrayFromImage(i) for i in (grey, white, t1 > 0))
    fluid = np.clip(max(g.max(), w.max()) - g - w, 0, None)
    return like(np.where(inside > 0, np.argmax([g, w, fluid], axis=0) + 1, 0).astype(np.uint8), t1)


def _tissues(image: sitk.Image) -> sitk.Image:
    """Grey, white, fluid of a skull-stripped T1 by k-means of its intensities."""
    from scipy.cluster.vq import kmeans2

    values = sitk.GetArrayFromImage(image)
    inside = values > 0
    centres = np.percentile(values[inside], [10, 50, 85])
    centres, _ = kmeans2(values[inside][::7].astype(float), centres, minit="matrix")
    order = np.argsort(centres.ravel())
    nearest = np.argmin(np.abs(values[..., None] - centres.ravel()[order]), axis=-1)
    return like(np.where(inside, np.array([FLUID, GREY, WHITE])[nearest], 0).astype(np.uint8), image)


def _regions(atlas: sitk.Image, tissue: sitk.Image, column: int) -> sitk.Image:
    """The compared cortical regions, 1.., inside the image's own grey matter."""
    indices = sitk.GetArrayFromImage(atlas).round().astype(int)
    result = np.zeros(indices.shape, np.uint8)
    for value, choice in enumerate(REGIONS.values(), start=1):
        result[np.isin(indices, choice[column])] = value
    return like(np.where(sitk.GetArrayFromImage(tissue) == GREY, result, 0).astype(np.uint8), atlas)


def _cropped(image: sitk.Image, margin_mm: float) -> sitk.Image:
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(image > 0, sitk.sitkUInt8))
    box = shape.GetBoundingBox(1)
    margin = [int(margin_mm / s) for s in image.GetSpacing()]
    low = [max(box[a] - margin[a], 0) for a in range(3)]
    high = [min(box[a] + box[a + 3] + margin[a], image.GetSize()[a]) for a in range(3)]
    return sitk.RegionOfInterest(image, [h - n for n, h in zip(low, high)], low)


def _exponential(image: sitk.Image, velocity: np.ndarray, steps: int = 7) -> np.ndarray:
    """The displacement after unit time of a stationary velocity (k, j, i, 3) in LPS mm, by ITK's own filter chain."""
    field = like(velocity / 2**steps, image, vector=True)
    for _ in range(steps):
        again = sitk.Resample(field, field, sitk.DisplacementFieldTransform(sitk.Image(field)), sitk.sitkLinear, 0.0)
        field = field + again
    return sitk.GetArrayFromImage(field)
