"""What a displacement is worth: target-registration error, Dice, 95 % surface distance, folded share.

Nothing here is this project's own arithmetic: displacements and labels are sampled by SimpleITK.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.benchmarks.accuracy.cases import Case


def score(case: Case, displacement: sitk.Image) -> dict[str, float]:
    """Scores of a displacement (LPS mm, fixed point + u = moving point, on the fixed grid).

    Keys: `tre_mm`, `tre95_mm` (mean and 95th percentile over the landmarks, or over the score mask where the true
    displacement is known), `tre_start_mm` (no registration), `dice SET`, `dice_start SET`, `surface95_mm SET` (mean
    over the labels of a set), `folded_percent`.
    """
    mask = _mask(case, displacement)
    vectors = sitk.GetArrayFromImage(displacement).astype(float)
    result = {"folded_percent": 100.0 * float((jacobian_determinant(displacement)[mask] <= 0).mean())}
    transform = sitk.DisplacementFieldTransform(sitk.Cast(displacement, sitk.sitkVectorFloat64))
    if case.landmarks:
        fixed_points, moving_points = read_landmark_pair(*case.landmarks)
        found_points = np.asarray([transform.TransformPoint(point) for point in fixed_points.tolist()])
        error = np.linalg.norm(found_points - moving_points, axis=1)
        result |= {
            "tre_mm": float(error.mean()),
            "tre95_mm": float(np.percentile(error, 95)),
            "tre_start_mm": float(np.linalg.norm(fixed_points - moving_points, axis=1).mean()),
        }
    elif case.truth:
        truth = sitk.GetArrayFromImage(sitk.ReadImage(case.truth))
        error = np.linalg.norm(vectors - truth, axis=-1)[mask]
        result |= {
            "tre_mm": float(error.mean()),
            "tre95_mm": float(np.percentile(error, 95)),
            "tre_start_mm": float(np.linalg.norm(truth, axis=-1)[mask].mean()),
        }
    for name, (fixed_path, moving_path) in case.labels.items():
        fixed, moving = sitk.ReadImage(fixed_path), sitk.ReadImage(moving_path)
        warped = sitk.Resample(moving, fixed, transform, sitk.sitkNearestNeighbor, 0)
        result |= _compare(name, fixed, warped, moving, mask)
    return result


def error_or_dice(scores: dict[str, float]) -> float:
    """One number of what `score` gives: the mean error in mm where that is known, else the mean Dice of all sets."""
    if "tre_mm" in scores:
        return scores["tre_mm"]
    dice = [value for name, value in scores.items() if name.startswith("dice ")]
    return sum(dice) / len(dice)


def score_labels(case: Case, warped: sitk.Image) -> dict[str, float]:
    """Scores of a method that returns the warped labels of a case's first label set and no displacement."""
    mask = _mask(case, warped)
    name, (fixed_path, moving_path) = next(iter(case.labels.items()))
    return _compare(name, sitk.ReadImage(fixed_path), warped, sitk.ReadImage(moving_path), mask)


def read_landmark_pair(fixed: str, moving: str) -> tuple[np.ndarray, np.ndarray]:
    """The points (n, 3) of two legacy VTK files, in LPS mm as they are written.

    Raises ValueError where a file holds no points, or the two not as many.
    """
    one, other = (_read_points(Path(path)) for path in (fixed, moving))
    if len(one) != len(other):
        raise ValueError(f"{fixed} has {len(one)} landmarks and {moving} {len(other)}: they are no pairs")
    return one, other


def _read_points(path: Path) -> np.ndarray:
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    reader = vtk.vtkPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    if not reader.GetOutput().GetNumberOfPoints():
        raise ValueError(f"{path}: no points of a legacy VTK file in it")
    return vtk_to_numpy(reader.GetOutput().GetPoints().GetData()).astype(float)


def _mask(case: Case, image: sitk.Image) -> np.ndarray:
    if case.score_mask is None:
        return np.ones(image.GetSize()[::-1], bool)
    return sitk.GetArrayFromImage(sitk.ReadImage(case.score_mask)) > 0


def _compare(
    name: str, fixed: sitk.Image, warped: sitk.Image, moving: sitk.Image, mask: np.ndarray
) -> dict[str, float]:
    result = {}
    moving = sitk.Resample(moving, fixed, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    truth_labels, found, before = (np.where(mask, sitk.GetArrayFromImage(i), 0) for i in (fixed, warped, moving))
    values = [v for v in np.unique(truth_labels) if v and (truth_labels == v).sum() >= 100]
    result[f"dice {name}"] = float(np.mean([_dice(truth_labels == v, found == v) for v in values]))
    result[f"dice_start {name}"] = float(np.mean([_dice(truth_labels == v, before == v) for v in values]))
    distances = [_surface95(truth_labels == v, found == v, fixed.GetSpacing()[::-1]) for v in values]
    result[f"surface95_mm {name}"] = float(np.nanmean(distances))
    if name == "organs" and 5 in values:
        result["dice liver"] = _dice(truth_labels == 5, found == 5)
    return result


def jacobian_determinant(displacement: sitk.Image) -> np.ndarray:
    """det(I + du/dx) in physical space (k, j, i), by central differences; at and below 0 the space is folded.

    Vectors and places are both taken to index space, which leaves the determinant as it is. SimpleITK's own filter
    differentiates along the axes of the array and takes the vectors in LPS: with a direction it is another quantity.
    """
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
