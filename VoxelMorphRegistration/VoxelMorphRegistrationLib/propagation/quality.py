"""How far each frame of a propagation can be trusted: measured as it is made, judged when its neighbours are known."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import SimpleITK as sitk
import torch

from ..annotations.label_boxes import bounding_box
from ..annotations.label_statistics import measure_labels
from ..annotations.segmentation import Segmentation
from ..flow.similarity import nmi
from ..space.displacement import box_reaching, sample
from ..space.grid import Grid
from ..space.inverse import invert_at
from .frame_result import Quality

_LATTICE_POINTS = 40_000
_AROUND_MM = 10.0
_CHECKED_POINTS = 200
_FEWEST_POINTS = 50


class FrameQuality:
    """Measures frames against one reference, on a lattice of some ten thousand voxels, so that it costs next to
    nothing.
    """

    def __init__(
        self, reference: sitk.Image, metric: Literal["ncc", "nmi"] = "ncc", mask: sitk.Image | None = None
    ) -> None:
        self._values = _finite(sitk.GetArrayViewFromImage(reference))
        self._grid = Grid.of(reference)
        self._metric = metric
        self._mask = None if mask is None else (sitk.GetArrayFromImage(mask) != 0, Grid.of(mask))

    def measure(self, frame: sitk.Image, displacement: sitk.Image | None, labels: Segmentation | None) -> Quality:
        """`displacement` (None for the reference itself) and `labels` lie on the frame's grid."""
        whole = _Lattice(frame, displacement, None, _LATTICE_POINTS)
        chosen = np.ones(len(whole.points), bool)
        if self._mask is not None:
            chosen = _nearest(*self._mask, whole.points)
        before, after = self._alike(whole, chosen)
        if labels is None:
            return Quality(self._metric, before, after)
        distinct = labels.with_distinct_labels()
        volumes = {}
        for layer in distinct.layers:
            volumes.update(measure_labels(layer))
        labelled = np.any([sitk.GetArrayViewFromImage(layer) != 0 for layer in labels.layers], axis=0)
        margin = tuple(math.ceil(_AROUND_MM / spacing) for spacing in reversed(frame.GetSpacing()))
        box = bounding_box(labelled, margin)
        if box is None:
            return Quality(self._metric, before, after, labels=volumes)
        near = _Lattice(frame, displacement, box, _LATTICE_POINTS)
        inside = labelled[near.where]
        around = _within(inside, near.spacing, _AROUND_MM) & ~inside
        in_before, in_after = self._alike(near, inside.ravel())
        out_before, out_after = self._alike(near, around.ravel())
        back = math.nan if displacement is None else _there_and_back(displacement, near.points[inside.ravel()])
        return Quality(self._metric, before, after, in_before, in_after, out_before, out_after, back, volumes)

    def inside(
        self, frame: sitk.Image, displacement: sitk.Image, region: np.ndarray | None = None
    ) -> tuple[float, float]:
        """Similarity before and after, where the displacement leads into a region of the reference.

        Args:
            displacement: on the frame's grid.
            region: on the reference's array, true where the images are compared; None for the whole frame.
        """
        box = None
        if region is not None:
            where = bounding_box(region)
            box = None if where is None else box_reaching(displacement, self._grid, where)
            if box is None:
                return math.nan, math.nan
        lattice = _Lattice(frame, displacement, box, _LATTICE_POINTS)
        chosen = np.ones(len(lattice.points), bool)
        if region is not None:
            chosen = _nearest(region, self._grid, lattice.moved)
        return self._alike(lattice, chosen)

    def _alike(self, lattice: _Lattice, chosen: np.ndarray) -> tuple[float, float]:
        values = lattice.values[chosen]
        if lattice.grid == self._grid:  # voxel on voxel: as a rule
            unmoved = self._values[lattice.where].ravel()[chosen].astype(np.float32)
            before = self._compared(values, unmoved)
        else:
            before = self._compare(values, lattice.points[chosen])
        return before, before if lattice.still else self._compare(values, lattice.moved[chosen])

    def _compare(self, values: np.ndarray, points: np.ndarray) -> float:
        """Of values of a frame with those of the reference at LPS points (n, d); those outside it do not count."""
        from scipy.ndimage import map_coordinates

        index = self._grid.to_index(points)
        seen = np.all((index >= -0.5) & (index <= np.asarray(self._grid.size) - 0.5), axis=-1)
        if not seen.all():
            values, index = values[seen], index[seen]
        return self._compared(values, map_coordinates(self._values, index.T[::-1], np.float32, order=1, mode="nearest"))

    def _compared(self, values: np.ndarray, reference: np.ndarray) -> float:
        if len(values) < _FEWEST_POINTS:
            return math.nan
        if self._metric == "ncc":
            return _ncc(values, reference)
        return nmi(*(torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in (values, reference)))


def near(segmentation: Segmentation) -> np.ndarray:
    """Where a voxel lies in a segmentation or within 10 mm of it: bool, on its array."""
    labelled = np.any([sitk.GetArrayViewFromImage(layer) != 0 for layer in segmentation.layers], axis=0)
    return labelled | _within(labelled, tuple(reversed(segmentation.grid.spacing)), _AROUND_MM)


class _Lattice:
    """Every n-th voxel of a frame (inside a box of its array), with what is there and where the displacement leads."""

    def __init__(
        self, frame: sitk.Image, displacement: sitk.Image | None, box: tuple[slice, ...] | None, count: int
    ) -> None:
        self.grid = grid = Grid.of(frame)
        box = box or tuple(slice(0, n) for n in grid.shape)
        step = max(1, math.ceil((math.prod(s.stop - s.start for s in box) / count) ** (1 / grid.dimension)))
        self.where = tuple(slice(s.start, s.stop, step) for s in box)
        self.spacing = tuple(step * s for s in reversed(grid.spacing))
        index = np.stack(np.meshgrid(*[np.arange(s.start, s.stop, step) for s in box], indexing="ij"), -1)
        self.points = grid.to_physical(index.reshape(-1, grid.dimension)[:, ::-1])
        self.values = _finite(sitk.GetArrayViewFromImage(frame)[self.where]).ravel()
        self.still = displacement is None
        self.moved = self.points
        if displacement is not None:
            vectors = sitk.GetArrayViewFromImage(displacement)[self.where]
            self.moved = self.points + vectors.reshape(self.points.shape)


def _there_and_back(displacement: sitk.Image, points: np.ndarray) -> float:
    points = points[:: max(1, len(points) // _CHECKED_POINTS)]
    if len(points) == 0:
        return math.nan
    back, residual = invert_at(displacement, points + sample(displacement, points), iterations=20, tolerance=0.01)
    return float(np.percentile(np.maximum(np.linalg.norm(back - points, axis=-1), residual), 95))


def _within(inside: np.ndarray, spacing: tuple[float, ...], distance: float) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~inside, sampling=spacing) <= distance if inside.any() else np.zeros_like(inside)


def _nearest(array: np.ndarray, grid: Grid, points: np.ndarray) -> np.ndarray:
    index = np.rint(grid.to_index(points)).astype(int)
    seen = np.all((index >= 0) & (index < np.asarray(grid.size)), axis=-1)
    found = np.zeros(len(points), bool)
    found[seen] = array[tuple(index[seen].T[::-1])]
    return found


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) if values.dtype.kind == "f" else values


def _ncc(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
    size = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else math.nan
