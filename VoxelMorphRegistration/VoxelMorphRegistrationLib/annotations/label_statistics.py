"""What a label map measures: volumes, centroids, and the overlap of two label maps."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.affine import lps_to_ras
from ..space.grid import Grid
from .label_boxes import bounding_box


def dice(a: sitk.Image, b: sitk.Image) -> dict[int, float]:
    """Dice overlap 2 |A and B| / (|A| + |B|) of each label but 0 that either label map (on one grid) holds.

    Raises InputError when the two are of different size.
    """
    if a.GetSize() != b.GetSize():
        raise InputError(f"Dice: label maps of size {a.GetSize()} and {b.GetSize()}; resample one like the other")
    first, second = (sitk.GetArrayViewFromImage(image).ravel() for image in (a, b))
    in_a, in_b = _counts(first), _counts(second)
    common = _counts(first[first == second])
    found = sorted({*in_a, *in_b})
    return {label: 2.0 * common.get(label, 0) / (in_a.get(label, 0) + in_b.get(label, 0)) for label in found}


def measure_labels(labels: sitk.Image) -> dict[int, tuple[float, tuple[float, ...]]]:
    """Millilitres (2D: mm2 / 1000) and centroid (RAS mm) of each label but 0."""
    array = sitk.GetArrayViewFromImage(labels)
    grid = Grid.of(labels)
    box = bounding_box(array)
    if box is None:
        return {}
    inside = array[box]
    where = np.flatnonzero(inside)
    values = inside.ravel()[where]
    small = values.dtype.kind == "u" and values.dtype.itemsize <= 2
    kinds, member = (None, values) if small else np.unique(values, return_inverse=True)
    counts = np.bincount(member)
    sums, rest = [], where
    for side in reversed(box):
        rest, position = np.divmod(rest, side.stop - side.start)
        sums.append(np.bincount(member, position, len(counts)) + side.start * counts)
    millilitres = abs(float(np.linalg.det(grid.axes))) / 1000.0
    found = np.flatnonzero(counts)
    index = np.stack([total[found] / counts[found] for total in sums], axis=-1)
    centroids = lps_to_ras(grid.to_physical(index))
    names = found if kinds is None else kinds[found]
    return {
        int(name): (float(counts[code]) * millilitres, tuple(centroid.tolist()))
        for name, code, centroid in zip(names, found, centroids)
    }


def _counts(values: np.ndarray) -> dict[int, int]:
    found, counts = np.unique(values[values != 0], return_counts=True)
    return {int(value): int(count) for value, count in zip(found, counts)}
