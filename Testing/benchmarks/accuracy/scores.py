"""What a displacement is worth: target-registration error, Dice, 95 % surface distance, folded share."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from Testing.benchmarks.accuracy.cases import Case


def score(case: Case, displacement: sitk.Image) -> dict[str, float]:
    """Scores of a displacement (LPS mm, fixed point + u = moving point, on the fixed grid).

    Keys: `tre_mm`, `tre95_mm` (mean and 95th percentile over the score mask, where truth is known), `tre_start_mm` (no
    registration), `dice SET`, `dice_start SET`, `surface95_mm SET` (mean over the labels of a set), `folded_percent`.
    """
    mask = sitk.GetArrayFromImage(sitk.ReadImage(case.score_mask)) > 0
    vectors = sitk.GetArrayFromImage(displacement).astype(float)
    result = {"folded_percent": 100.0 * float((_jacobian(displacement)[mask] <= 0).mean())}
    if case.truth:
        truth = sitk.GetArrayFromImage(sitk.ReadImage(case.truth))
        error = np.linalg.norm(vectors - truth, axis=-1)[mask]
        result |= {
            "tre_mm": float(error.mean()),
            "tre95_mm": float(np.percentile(error, 95)),
            "tre_start_mm": float(np.linalg.norm(truth, axis=-1)[mask].mean()),
        }
    transform = sitk.DisplacementFieldTransform(sitk.Cast(displacement, sitk.sitkVectorFloat64))
    for name, (fixed_path, moving_path) in case.labels.items():
        fixed, moving = sitk.ReadImage(fixed_path), sitk.ReadImage(moving_path)
        warped = sitk.Resample(moving, fixed, transform, sitk.sitkNearestNeighbor, 0)
        result |= _compare(name, fixed, warped, moving, mask)
    return result


def score_labels(case: Case, warped: sitk.Image) -> dict[str, float]:
    """Scores of a method that returns the warped labels of a case's first label set and no displacement."""
    mask = sitk.GetArrayFromImage(sitk.ReadImage(case.score_mask)) > 0
    name, (fixed_path, moving_path) = next(iter(case.labels.items()))
    return _compare(name, sitk.ReadImage(fixed_path), warped, sitk.ReadImage(moving_path), mask)


def _compare(
    name: str, fixed: sitk.Image, warped: sitk.Image, moving: sitk.Image, mask: np.ndarray
) -> dict[str, float]:
    result = {}
    truth_labels, found, before = (np.where(mask, sitk.GetArrayFromImage(i), 0) for i in (fixed, warped, moving))
    values = [v for v in np.unique(truth_labels) if v and (truth_labels == v).sum() >= 100]
    result[f"dice {name}"] = float(np.mean([_dice(truth_labels == v, found == v) for v in values]))
    result[f"dice_start {name}"] = float(np.mean([_dice(truth_labels == v, before == v) for v in values]))
    distances = [_surface95(truth_labels == v, found == v, fixed.GetSpacing()[::-1]) for v in values]
    result[f"surface95_mm {name}"] = float(np.nanmean(distances))
    if name == "organs" and 5 in values:
        result["dice liver"] = _dice(truth_labels == 5, found == 5)
    return result


def _jacobian(displacement: sitk.Image) -> np.ndarray:
    """det(I + du/dx) by central differences in index space."""
    axes = np.reshape(displacement.GetDirection(), (3, 3)) * np.asarray(displacement.GetSpacing())
    index = sitk.GetArrayFromImage(displacement).astype(float) @ np.linalg.inv(axes).T
    matrix = np.stack([np.stack(np.gradient(index[..., c])[::-1], -1) for c in range(3)], -2)
    return np.linalg.det(matrix + np.eye(3))


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2.0 * float((one & other).sum()) / max(float(one.sum() + other.sum()), 1.0)


def _surface95(one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> float:
    """95th percentile of the distances from each surface to the other, in mm, both directions together."""
    from scipy.ndimage import binary_erosion, distance_transform_edt

    if not one.any() or not other.any():
        return float("nan")
    where = np.argwhere(one | other)
    box = tuple(slice(max(low - 1, 0), high + 2) for low, high in zip(where.min(0), where.max(0)))
    surfaces = [region[box] & ~binary_erosion(region[box]) for region in (one, other)]
    distances = [distance_transform_edt(~surface, sampling=spacing) for surface in surfaces]
    return float(np.percentile(np.concatenate([distances[1][surfaces[0]], distances[0][surfaces[1]]]), 95))
