"""What smooth warps need to know of a label map: where several labels meet, and how deep a voxel lies in each."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..space.grid import Grid
from .label_boxes import bounding_box, label_boxes

#: Voxels of background around the codes: one that points half outside look at, one to close every label's box.
MARGIN = 2


class LabelDepths:
    """A label map taken apart.

    Attributes:
        grid: of the labels. dtype: of their image.
        values: the label values, ascending, 0 among them; a code is a position in them.
        codes: int32, `MARGIN` voxels wider than the labels on every side.
        mixed: of each cell of `codes`, a voxel and its 2**d - 1 upper neighbours, whether it holds several codes.
        corner: of each cell its lowest code.
        boxes: of each code the box of `codes` (first, one past last) in which its distances are needed; None for none.
    """

    def __init__(self, labels: sitk.Image) -> None:
        self.grid = Grid.of(labels)
        self.dtype = sitk.GetArrayViewFromImage(labels).dtype
        self.values, codes = coded(labels)
        background = int(np.flatnonzero(self.values == 0)[0])
        self.codes = np.pad(codes, MARGIN, constant_values=background)
        self.mixed, self.corner = _cells(self.codes)
        self.boxes = _boxes(self.codes, len(self.values), self.mixed, background)

    def distance(self, code: int) -> np.ndarray:
        """In the code's box: mm to the nearest voxel of another label (inside, positive) or its own (outside)."""
        box = self.boxes[code]
        assert box is not None, "a code without a box lies nowhere"
        mask = self.codes[tuple(slice(a, b) for a, b in zip(*box))] == code
        spacing = self.grid.spacing
        return (_distance_to(~mask, spacing) - _distance_to(mask, spacing)).astype(np.float16)


def coded(labels: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """The label values, ascending and with 0 among them, and of each voxel the position of its own, int32."""
    array = sitk.GetArrayViewFromImage(labels)
    values, codes = np.unique(array, return_inverse=True)
    if 0 not in values:
        place = int(np.searchsorted(values, 0))
        codes = codes + (codes >= place)
        values = np.insert(values, place, values.dtype.type(0))
    return values, codes.reshape(array.shape).astype(np.int32)


def _cells(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each cell, a voxel and its 2**d - 1 upper neighbours: whether it holds several codes, and its lowest."""
    lowest, highest = codes, codes
    for axis in range(codes.ndim):
        lower = [slice(None)] * codes.ndim
        upper = [slice(None)] * codes.ndim
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        lowest = np.minimum(lowest[tuple(lower)], lowest[tuple(upper)])
        highest = np.maximum(highest[tuple(lower)], highest[tuple(upper)])
    return lowest != highest, lowest


def _boxes(
    codes: np.ndarray, count: int, mixed: np.ndarray, background: int
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Each label's bounding box (first, one past last) and a voxel around it; the background's is that of borders."""
    found = label_boxes(sitk.GetImageFromArray(codes + 1))
    boxes: list[tuple[np.ndarray, np.ndarray] | None] = []
    for code in range(count):
        box = bounding_box(mixed) if code == background else found.get(code + 1)
        if box is None:
            boxes.append(None)
            continue
        # A mixed cell begins at its own index and ends one voxel further.
        before = 0 if code == background else 1
        boxes.append((np.array([side.start - before for side in box]), np.array([side.stop + 1 for side in box])))
    return boxes


def _distance_to(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """mm from each voxel to the nearest voxel of the mask, zero inside it."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing)
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return np.maximum(sitk.GetArrayFromImage(distance), 0)
