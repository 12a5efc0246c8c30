"""Bounding boxes of what is labelled: of a whole mask, or of each label; slices in array order (k, j, i)."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

Box = tuple[slice, ...]


def bounding_box(mask: np.ndarray, margin: tuple[int, ...] | None = None) -> Box | None:
    """The smallest box that holds every voxel of an array that is not zero; None when all are.

    Args:
        margin: voxels to add on both sides along each array axis, as far as the array reaches.
    """
    box = []
    for axis, count in enumerate(mask.shape):
        along = np.flatnonzero(mask.any(axis=tuple(range(1, mask.ndim))))
        if along.size == 0:
            return None
        more = margin[axis] if margin else 0
        box.append(slice(max(0, int(along[0]) - more), min(count, int(along[-1]) + 1 + more)))
        if mask.ndim > 1:  # Along the first axis numpy is ten times as fast as along any other.
            mask = np.any(mask[int(along[0]) : int(along[-1]) + 1], axis=0)
    return tuple(box)


def label_boxes(labels: sitk.Image) -> dict[int, Box]:
    """The smallest box of each label of a label image but 0; a floating image is read as whole numbers."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.SetBackgroundValue(0)
    statistics.SetComputePerimeter(False)
    statistics.SetComputeFeretDiameter(False)
    whole = "float" not in labels.GetPixelIDTypeAsString()
    statistics.Execute(labels if whole else sitk.Cast(labels, sitk.sitkInt32))
    boxes = {}
    for label in statistics.GetLabels():
        numbers = statistics.GetBoundingBox(label)
        first, size = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
        boxes[int(label)] = tuple(slice(a, a + n) for a, n in zip(reversed(first), reversed(size)))
    return boxes
