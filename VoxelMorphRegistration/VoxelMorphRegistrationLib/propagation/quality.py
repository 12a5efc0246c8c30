"""How far each frame of a propagation can be trusted: measured as it is made, judged when its neighbours are known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import SimpleITK as sitk
import torch

from ..annotations.label_boxes import bounding_box
from ..annotations.label_statistics import measure_labels
from ..annotations.segmentation import Segmentation
from ..flow.similarity import nmi
from ..space.affine import array_order
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
        chosen = None if self._mask is None else _nearest(self._mask[0], whole.index_in(self._mask[1]))
        before, after = self._alike(whole, chosen)
        if labels is None:
            return Quality(self._metric, before, after)
        distinct = labels.with_distinct_labels()
        volumes = {}
        for layer in distinct.layers:
            volumes.update(measure_labels(layer))
        labelled = labels.labelled()
        box = bounding_box(labelled, _margin(tuple(reversed(frame.GetSpacing()))))
        if box is None:
            return Quality(self._metric, before, after, labels=volumes)
        near = _Lattice(frame, displacement, box, _LATTICE_POINTS)
        inside = labelled[near.where]
        around = _within(inside, near.spacing, _AROUND_MM) & ~inside
        in_before, in_after = self._alike(near, inside.ravel())
        out_before, out_after = self._alike(near, around.ravel())
        back = math.nan if displacement is None else _there_and_back(displacement, near.points(inside, _CHECKED_POINTS))
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
        return self._alike(lattice, None if region is None else _nearest(region, lattice.moved_in(self._grid)))

    def _alike(self, lattice: _Lattice, chosen: np.ndarray | None) -> tuple[float, float]:
        """Before and after, at the chosen points (bool (n,); None for all) of the lattice."""
        where = slice(None) if chosen is None else chosen
        values = lattice.values[where]
        if lattice.grid == self._grid:  # voxel on voxel: as a rule
            before = self._compared(values, self._values[lattice.where].ravel()[where].astype(np.float32))
        else:
            before = self._compare(values, lattice.index_in(self._grid)[:, where])
        return before, before if lattice.still else self._compare(values, lattice.moved_in(self._grid)[:, where])

    def _compare(self, values: np.ndarray, index: np.ndarray) -> float:
        """Of values of a frame with those of the reference at array indices (d, n); those outside do not count."""
        from scipy.ndimage import map_coordinates

        seen = _between(index, -0.5, np.asarray(self._grid.shape) - 0.5)
        if not seen.all():
            values, index = values[seen], index[:, seen]
        return self._compared(values, map_coordinates(self._values, index, np.float32, order=1, mode="nearest"))

    def _compared(self, values: np.ndarray, reference: np.ndarray) -> float:
        if len(values) < _FEWEST_POINTS:
            return math.nan
        if self._metric == "ncc":
            return _ncc(values, reference)
        return nmi(*(torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in (values, reference)))


def near(segmentation: Segmentation) -> np.ndarray:
    """Where a voxel lies in a segmentation or within 10 mm of it: bool, on its array."""
    labelled = segmentation.labelled()
    spacing = tuple(reversed(segmentation.grid.spacing))
    box = bounding_box(labelled, _margin(spacing))
    if box is not None:
        labelled[box] |= _within(labelled[box], spacing, _AROUND_MM)
    return labelled


def _margin(spacing: Sequence[float]) -> tuple[int, ...]:
    """Voxels along each array axis within which lies what is around a segmentation."""
    return tuple(math.ceil(_AROUND_MM / along) for along in spacing)


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
        self.values = _finite(sitk.GetArrayViewFromImage(frame)[self.where]).ravel()
        self.still = displacement is None
        self._vectors = None if displacement is None else sitk.GetArrayViewFromImage(displacement)[self.where]
        self._found: dict[tuple[Grid, bool], np.ndarray] = {}

    def index_in(self, grid: Grid) -> np.ndarray:
        """Where the points lie in an array on another grid, in its voxels: (d, n)."""
        return self._in(grid, moved=False)

    def moved_in(self, grid: Grid) -> np.ndarray:
        """The same of where the displacement leads."""
        return self._in(grid, moved=not self.still)

    def _in(self, grid: Grid, moved: bool) -> np.ndarray:
        if (grid, moved) not in self._found:
            steps = array_order(self.grid.index_to_index(grid))[:-1]
            lines = [np.arange(s.start, s.stop, s.step, dtype=float) for s in self.where]
            along = np.meshgrid(*lines, indexing="ij", sparse=True)
            index = np.stack([_weighted(row[:-1], along, self._shape, row[-1]) for row in steps])
            if moved:
                assert self._vectors is not None
                components = np.moveaxis(self._vectors, -1, 0)
                for row, matrix in zip(index, grid.physical_to_index()[:-1, :-1][::-1]):
                    row += _weighted(matrix, components, self._shape)
            self._found[grid, moved] = index.reshape(grid.dimension, -1)
        return self._found[grid, moved]

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(len(range(s.start, s.stop, s.step)) for s in self.where)

    def points(self, chosen: np.ndarray, count: int) -> np.ndarray:
        """LPS points (n, d) of every so many-th of the chosen ones (bool, on the lattice), about `count`."""
        found = np.flatnonzero(chosen)
        index = np.unravel_index(found[:: max(1, len(found) // count)], self._shape)
        voxels = [s.start + s.step * along for s, along in zip(self.where, index)]
        return self.grid.to_physical(np.stack(voxels[::-1], -1))


def _weighted(
    weights: np.ndarray, parts: Iterable[np.ndarray], shape: tuple[int, ...], offset: float = 0.0
) -> np.ndarray:
    """The sum of all parts, each times its weight, and an offset; float64."""
    total = np.full(shape, offset)
    for weight, part in zip(weights, parts):
        if weight:
            total += weight * part
    return total


def _there_and_back(displacement: sitk.Image, points: np.ndarray) -> float:
    if len(points) == 0:
        return math.nan
    back, residual = invert_at(displacement, points + sample(displacement, points), iterations=20, tolerance=0.01)
    return float(np.percentile(np.maximum(np.linalg.norm(back - points, axis=-1), residual), 95))


def _within(inside: np.ndarray, spacing: tuple[float, ...], distance: float) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~inside, sampling=spacing) <= distance if inside.any() else np.zeros_like(inside)


def _nearest(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    """What an array of bool has in the voxels in which indices (d, n) fall; false outside."""
    nearest = np.rint(index)
    inside = _between(nearest, 0, np.asarray(array.shape) - 1)
    found = np.zeros(index.shape[1], bool)
    found[inside] = array[tuple(nearest[:, inside].astype(np.intp))]
    return found


def _between(index: np.ndarray, low: float, high: np.ndarray) -> np.ndarray:
    """Which indices (d, n) are no less than `low` and no more than `high` (d,) along any axis."""
    found = np.ones(index.shape[1], bool)
    for along, most in zip(index, high):
        found &= (along >= low) & (along <= most)
    return found


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) if values.dtype.kind == "f" else values


def _ncc(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else math.nan
