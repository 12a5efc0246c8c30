"""Segmentations: label images and Slicer's `.seg.nrrd`, with names, colours, terminology and overlapping segments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.grid import Grid
from .label_boxes import Box, label_boxes
from .label_warping import SmoothWarper
from .nearest_warping import warp_nearest
from .segment import Segment, generated_segment

if TYPE_CHECKING:
    import torch

    from .device_warping import DeviceWarper


@dataclass(frozen=True)
class Segmentation:
    """Label images on one grid, and what their values mean.

    Voxels of different segments may overlap only across layers. Label values may repeat across layers, not within one.

    Attributes:
        layers: label images (2D or 3D) of one grid and pixel type, background 0.
        segments: in the file's order; each non-zero value of a layer belongs to exactly one of them.
        common: header fields of Slicer's segmentation as a whole (contained representations, conversion parameters).

    >>> labels = np.zeros((4, 5, 6), np.uint8)  # (k, j, i)
    >>> labels[1:3, 2, 3:5] = 7
    >>> segmentation = Segmentation.of(sitk.GetImageFromArray(labels))
    >>> [segment.name for segment in segmentation.segments], segmentation.labels()
    (['Segment_7'], (7,))
    >>> segmentation.extents()
    [(3, 4, 2, 2, 1, 2)]
    >>> from VoxelMorphRegistrationLib.space import displacement as displacements
    >>> grid = segmentation.grid
    >>> one_voxel = displacements.from_array(np.broadcast_to([1.0, 0.0, 0.0], (*grid.shape, 3)), grid)
    >>> segmentation.warp(one_voxel).extents()
    [(2, 3, 2, 2, 1, 2)]
    """

    layers: tuple[sitk.Image, ...]
    segments: tuple[Segment, ...]
    common: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, *layers: sitk.Image, segments: Sequence[Segment] = (), common: dict[str, str] | None = None
    ) -> Segmentation:
        """From label images; values that no segment claims get segments with generated names and colours."""
        segments = list(segments)
        for number, layer in enumerate(layers):
            claimed = {segment.label for segment in segments if segment.layer == number}
            for value in sorted(label_values(layer) - claimed):
                taken = frozenset(name for segment in segments for name in (segment.id, segment.name))
                segments.append(generated_segment(value, number, taken))
        return cls(tuple(layers), tuple(segments), dict(common or {}))

    @property
    def grid(self) -> Grid:
        return Grid.of(self.layers[0])

    def labels(self) -> tuple[int, ...]:
        """The label values of all segments, ascending (a segment may have no voxels)."""
        return tuple(sorted({segment.label for segment in self.segments}))

    @property
    def overlapping(self) -> bool:
        """Whether two segments share a voxel."""
        if len(self.layers) == 1:
            return False
        covered = sum((sitk.GetArrayViewFromImage(layer) != 0).astype(np.uint16) for layer in self.layers)
        return bool(covered.max() > 1)

    def with_distinct_labels(self) -> Segmentation:
        """Each segment with a label value of its own across layers; a value already taken becomes the next free one."""
        if len(set(self.labels())) == len(self.segments):
            return self
        free = iter(range(1, 2 * len(self.segments) + max(self.labels()) + 2))
        every = set(self.labels())
        used: set[int] = set()
        segments = []
        for segment in self.segments:
            label = segment.label if segment.label not in used else next(n for n in free if n not in used | every)
            used.add(label)
            segments.append(replace(segment, label=label))
        return self.with_segments(segments)

    def with_segments(self, segments: Sequence[Segment]) -> Segmentation:
        """The same voxels under other segments, one in place of each; voxels get the label values of these."""
        labels = [segment.label for segment in segments]
        layers = []
        for number, layer in enumerate(self.layers):
            pairs = [(old.label, new.label) for old, new in zip(self.segments, segments) if old.layer == number]
            layers.append(_relabelled(layer, pairs, labels))
        return replace(self, layers=tuple(layers), segments=tuple(segments))

    def without(self, ids: Collection[str]) -> Segmentation:
        """The segments of these ids left out; their voxels become background where no other segment claims them.

        >>> segmentation = Segmentation.of(sitk.GetImageFromArray(np.array([[0, 1, 2]], np.uint8)))
        >>> rest = segmentation.without(["Segment_1"])
        >>> [segment.name for segment in rest.segments], sitk.GetArrayFromImage(rest.label_image()).tolist()
        (['Segment_2'], [[0, 0, 2]])
        """
        left = [segment for segment in self.segments if segment.id in ids]
        layers = list(self.layers)
        for number, layer in enumerate(layers):
            gone = [segment.label for segment in left if segment.layer == number]
            if gone:
                array = sitk.GetArrayViewFromImage(layer)
                layers[number] = Grid.of(layer).image(np.where(np.isin(array, gone), array.dtype.type(0), array))
        return replace(self, layers=tuple(layers), segments=tuple(one for one in self.segments if one not in left))

    def flattened(self) -> Segmentation:
        """One layer, distinct label values; where segments overlap the later shows, as in Slicer's label map export."""
        if len(self.layers) == 1:
            return self
        distinct = self.with_distinct_labels()
        merged = np.zeros_like(sitk.GetArrayViewFromImage(distinct.layers[0]))
        for segment in distinct.segments:
            merged[sitk.GetArrayViewFromImage(distinct.layers[segment.layer]) == segment.label] = segment.label
        segments = tuple(replace(segment, layer=0) for segment in distinct.segments)
        return replace(self, layers=(self.grid.image(merged),), segments=segments)

    def simplified(self) -> Segmentation:
        """One layer when no segments overlap, else all layers; label values distinct either way. No voxel is lost."""
        return self.with_distinct_labels() if self.overlapping else self.flattened()

    def label_image(self) -> sitk.Image:
        """The one label image, or the flattened one of several layers."""
        return self.flattened().layers[0]

    def labelled(self) -> np.ndarray:
        """Where some segment is: bool, in array order (k, j, i).

        >>> Segmentation.of(sitk.GetImageFromArray(np.array([[0, 1, 2]], np.uint8))).labelled().tolist()
        [[False, True, True]]
        """
        return np.any([sitk.GetArrayViewFromImage(layer) != 0 for layer in self.layers], axis=0)

    def placement(self, grid: Grid) -> Literal["same", "padded", "resampled"]:
        """How it gets onto `grid`: as it is, by whole voxels (cropped, padded, axes swapped), or resampled."""
        if self.grid.same_as(grid):
            return "same"
        if self.grid.dimension != grid.dimension:
            return "resampled"
        to_index = self.grid.index_to_index(grid)
        steps, shift = to_index[:-1, :-1], to_index[:-1, -1]
        reach = max(*self.grid.size, *grid.size)
        coincide = np.abs(shift - np.rint(shift)).max() < 0.01 and np.abs(steps - np.rint(steps)).max() * reach < 0.01
        return "padded" if coincide and _is_permutation(steps) else "resampled"

    def on_grid(self, grid: Grid, name: str = "segmentation") -> Segmentation:
        """The segmentation on the grid of its frame, by nearest neighbour: exact where the voxels coincide.

        Raises InputError when the dimensions differ or no labelled voxel lies on the grid.
        """
        if self.grid.dimension != grid.dimension:
            raise InputError(
                f"{name}: has {self.grid.dimension} dimensions and its frame {grid.dimension}; "
                "give a segmentation of that frame"
            )
        if self.placement(grid) == "same":
            return replace(self, layers=tuple(grid.stamp(sitk.Image(layer)) for layer in self.layers))
        identity = sitk.Transform(grid.dimension, sitk.sitkIdentity)
        canvas = grid.empty_image(sitk.sitkUInt8)
        layers = tuple(sitk.Resample(one, canvas, identity, sitk.sitkNearestNeighbor, 0.0) for one in self.layers)
        if not any(np.any(sitk.GetArrayViewFromImage(layer)) for layer in layers):
            raise InputError(
                f"{name}: none of its labelled voxels lies inside its frame; check that both are of the same scan and "
                "that neither file lost its origin or directions"
            )
        return replace(self, layers=layers)

    def warp(
        self,
        displacement: sitk.Image,
        interpolation: Literal["nearest", "smooth"] = "nearest",
        device: torch.device | None = None,
    ) -> Segmentation:
        """Pulled onto the displacement's grid, each layer by itself; the pixel type and all segments are kept.

        `nearest` takes the voxel x + u(x) falls in; `smooth` see `label_warping`. What lies outside is 0. With a GPU as
        `device` its copy of the labels is warped there, and stays for the next displacement; where it has no room, that
        and all further ones are warped on the CPU.
        """
        layers = None
        if device is not None and device.type == "cuda":
            layers = self._warped_on(device, displacement, interpolation)
        if layers is None and interpolation == "nearest":
            layers = [warp_nearest(layer, displacement) for layer in self.layers]
        elif layers is None:
            layers = [warper.warp(displacement) for warper in self._smooth_warpers]
        return replace(self, layers=tuple(layers))

    def _warped_on(
        self, device: torch.device, displacement: sitk.Image, interpolation: Literal["nearest", "smooth"]
    ) -> list[sitk.Image] | None:
        """The layers, warped on a GPU; None where it has no room for that."""
        import torch

        from .device_warping import DeviceWarper

        try:
            if device not in self._on_devices:
                self._on_devices[device] = [DeviceWarper(layer, device) for layer in self.layers]
            warpers = self._on_devices[device]
            return None if warpers is None else [warper.warp(displacement, interpolation) for warper in warpers]
        except torch.cuda.OutOfMemoryError:
            # What was prepared in vain would be prepared for every further displacement.
            self._on_devices[device] = None
            return None

    @cached_property
    def _on_devices(self) -> dict[torch.device, list[DeviceWarper] | None]:
        """None for a device that had no room once."""
        return {}

    @cached_property
    def _smooth_warpers(self) -> list[SmoothWarper]:
        """Kept, because the distances of the reference's labels serve every frame."""
        return [SmoothWarper(layer) for layer in self.layers]

    def extents(self) -> list[tuple[int, ...] | None]:
        """Of each segment the first and last voxel index along i, j(, k) that it reaches; None for an empty one."""
        boxes = [label_boxes(layer) for layer in self.layers]
        found = (boxes[segment.layer].get(segment.label) for segment in self.segments)
        return [None if box is None else _first_and_last(box) for box in found]


def check_labelled(segmentation: Segmentation, name: str = "segmentation") -> None:
    """Raises InputError when no voxel is labelled."""
    if not any(np.any(sitk.GetArrayViewFromImage(layer)) for layer in segmentation.layers):
        raise InputError(
            f"{name}: has no labelled voxel, all are 0; give a segmentation with at least one segment drawn"
        )


def _first_and_last(box: Box) -> tuple[int, ...]:
    return tuple(n for side in reversed(box) for n in (side.start, side.stop - 1))


def label_values(labels: sitk.Image) -> set[int]:
    """The values of a label image but 0."""
    return {int(value) for value in np.unique(sitk.GetArrayViewFromImage(labels)) if value != 0}


def _relabelled(layer: sitk.Image, pairs: list[tuple[int, int]], labels: Sequence[int]) -> sitk.Image:
    """The layer with each first value of `pairs` replaced by the second, in a type that holds all `labels`."""
    array = sitk.GetArrayViewFromImage(layer)
    lowest, highest = min(labels, default=0), max(labels, default=0)
    dtype = array.dtype
    if dtype.kind != "f" and not np.iinfo(dtype).min <= lowest <= highest <= np.iinfo(dtype).max:
        dtype = np.result_type(dtype, np.min_scalar_type(lowest), np.min_scalar_type(highest))
    changed = array.astype(dtype)
    for old, new in pairs:
        if old != new:
            changed[array == old] = new
    return Grid.of(layer).image(changed)


def _is_permutation(steps: np.ndarray) -> bool:
    whole = np.abs(np.rint(steps))
    return bool(np.all(whole.sum(axis=0) == 1) and np.all(whole.sum(axis=1) == 1))
