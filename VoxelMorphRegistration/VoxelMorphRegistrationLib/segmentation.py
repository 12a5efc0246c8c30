"""Segmentations: label images and Slicer's `.seg.nrrd`, with names, colours, terminology and overlapping segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk

from . import displacement as displacements
from . import seg_nrrd
from .errors import InputError
from .grid import Grid
from .images import check_geometry, check_labels, check_scalar, read_labels, write_image
from .label_warping import SmoothWarper
from .seg_nrrd import Segment

_NRRD = (".nrrd", ".nhdr")


@dataclass(frozen=True)
class Segmentation:
    """Label images on one grid, and what their values mean.

    Voxels of different segments may overlap only across layers. Label values may repeat across layers, not within one.

    Attributes:
        layers: label images (2D or 3D) of one grid and pixel type, background 0.
        segments: in the file's order; each non-zero value of a layer belongs to exactly one of them.
        common: header fields of Slicer's segmentation as a whole (contained representations, conversion parameters).
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
            for value in sorted(_values(layer) - claimed):
                taken = frozenset(name for segment in segments for name in (segment.id, segment.name))
                segments.append(seg_nrrd.generated_segment(value, number, taken))
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
        layers = []
        for number, layer in enumerate(self.layers):
            pairs = [(old.label, new.label) for old, new in zip(self.segments, segments) if old.layer == number]
            layers.append(_relabelled(layer, pairs, max(used)))
        return replace(self, layers=tuple(layers), segments=tuple(segments))

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

    def placement(self, grid: Grid) -> Literal["same", "padded", "resampled"]:
        """How it gets onto `grid`: as it is, by whole voxels (cropped, padded, axes swapped), or resampled."""
        if self.grid.same_as(grid):
            return "same"
        if self.grid.dimension != grid.dimension:
            return "resampled"
        to_index = grid.physical_to_index() @ self.grid.index_to_physical()
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

    def warp(self, displacement: sitk.Image, interpolation: Literal["nearest", "smooth"] = "nearest") -> Segmentation:
        """Pulled onto the displacement's grid, each layer by itself; the pixel type and all segments are kept.

        `nearest` takes the voxel x + u(x) falls in; `smooth` see `label_warping`. What lies outside is 0.
        """
        if interpolation == "nearest":
            layers = [displacements.warp(layer, displacement, "nearest") for layer in self.layers]
        else:
            layers = [warper.warp(displacement) for warper in self._smooth_warpers()]
        return replace(self, layers=tuple(layers))

    def write(self, path: str | Path) -> None:
        """Write whole or not at all. A 3D `.nrrd` (`.seg.nrrd` or a plain name) carries names, colours and terminology.

        Raises InputError when it cannot be written, and for several layers under another name than `.seg.nrrd`.
        """
        path = Path(path)
        nrrd = path.name.lower().endswith(_NRRD)
        if len(self.layers) > 1 and not path.name.lower().endswith(tuple(f".seg{end}" for end in _NRRD)):
            raise InputError(f"{path}: overlapping segments do not fit one label image; end the name in .seg.nrrd")
        image = sitk.Image(self.layers[0]) if len(self.layers) == 1 else sitk.Compose(list(self.layers))
        if nrrd and self.grid.dimension == 3:
            for key, value in seg_nrrd.header_fields(self.segments, self._extents(), self.common, self.grid).items():
                image.SetMetaData(key, value)
        write_image(image, path)

    def _smooth_warpers(self) -> list[SmoothWarper]:
        """Made once and kept: the distances of the reference's labels serve every frame."""
        if "warpers" not in self.__dict__:
            object.__setattr__(self, "warpers", [SmoothWarper(layer) for layer in self.layers])
        return self.__dict__["warpers"]

    def _extents(self) -> list[tuple[int, ...] | None]:
        boxes: dict[tuple[int, int], tuple[int, ...]] = {}
        for number, layer in enumerate(self.layers):
            statistics = _shape_statistics(layer)
            for label in statistics.GetLabels():
                box = statistics.GetBoundingBox(label)
                first, size = box[: len(box) // 2], box[len(box) // 2 :]
                boxes[number, label] = tuple(n for a, b in zip(first, size) for n in (a, a + b - 1))
        return [boxes.get((segment.layer, segment.label)) for segment in self.segments]


def read_segmentation(path: str | Path) -> Segmentation:
    """The segmentation in a label image file or in Slicer's `.seg.nrrd`; a cropped one lies where its voxels lie.

    Raises InputError, naming the file, for what `images.read_labels` refuses, for a header that contradicts itself, and
    when no voxel is labelled.
    """
    path = Path(path)
    fields = _header(path) if path.name.lower().endswith(_NRRD) else {}
    if seg_nrrd.is_segmentation(fields):
        segmentation = _read_seg_nrrd(path, fields)
    else:
        labels = read_labels(path)
        if labels.GetDimension() > 3:
            raise InputError(
                f"{path}: has 4 dimensions {labels.GetSize()}, one label image is needed; give one frame of it"
            )
        segmentation = Segmentation.of(_without_fields(labels))
    check_labelled(segmentation, str(path))
    return segmentation


def check_labelled(segmentation: Segmentation, name: str = "segmentation") -> None:
    """Raises InputError when no voxel is labelled."""
    if not any(np.any(sitk.GetArrayViewFromImage(layer)) for layer in segmentation.layers):
        raise InputError(
            f"{name}: has no labelled voxel, all are 0; give a segmentation with at least one segment drawn"
        )


def _header(path: Path) -> dict[str, str]:
    """The key/value fields of a file; none when it cannot be read, which reading its voxels will explain."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return {}
    return {key: _readable(reader.GetMetaData(key)) for key in reader.GetMetaDataKeys()}


def _readable(text: str) -> str:
    """SimpleITK hands out bytes that are not UTF-8 (names typed on old systems) as surrogates and refuses them back."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _read_seg_nrrd(path: Path, fields: dict[str, str]) -> Segmentation:
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: the file is cut short or damaged; save or copy it again") from error
    try:
        segments, common = seg_nrrd.parse(fields)
    except ValueError as error:
        raise InputError(f"{path}: {error}; save the segmentation again in Slicer") from error
    layers = _split(image)
    for layer in layers:
        check_scalar(layer, str(path))
        check_geometry(layer, str(path))
        check_labels(layer, str(path))
    claimed: dict[tuple[int, int], Segment] = {}
    for segment in segments:
        if not 0 <= segment.layer < len(layers):
            raise InputError(
                f"{path}: segment {segment.name!r} is said to be in layer {segment.layer}, the file has {len(layers)}; "
                "save the segmentation again in Slicer"
            )
        other = claimed.setdefault((segment.layer, segment.label), segment)
        if other is not segment:
            raise InputError(
                f"{path}: segments {other.name!r} and {segment.name!r} are the same voxels (layer {segment.layer}, "
                f"value {segment.label}); save the segmentation again in Slicer"
            )
    return Segmentation.of(*layers, segments=segments, common=common)


def _split(image: sitk.Image) -> list[sitk.Image]:
    """The layers: components of a voxel, or the fourth axis of the oldest files."""
    image = _without_fields(image)
    if image.GetDimension() == 4:
        return [image[..., number] for number in range(image.GetSize()[3])]
    if "vector" in image.GetPixelIDTypeAsString():
        return [sitk.VectorIndexSelectionCast(image, number) for number in range(image.GetNumberOfComponentsPerPixel())]
    return [image]


def _without_fields(image: sitk.Image) -> sitk.Image:
    """Header fields of the input file must not turn up in files that are made from it."""
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image


def _values(labels: sitk.Image) -> set[int]:
    return {int(value) for value in np.unique(sitk.GetArrayViewFromImage(labels)) if value != 0}


def _relabelled(layer: sitk.Image, pairs: list[tuple[int, int]], highest: int) -> sitk.Image:
    """The layer with each first value of `pairs` replaced by the second, in a type that holds `highest`."""
    array = sitk.GetArrayViewFromImage(layer)
    fits = array.dtype.kind == "f" or highest <= np.iinfo(array.dtype).max
    changed = array.astype(array.dtype if fits else np.min_scalar_type(highest))
    for old, new in pairs:
        if old != new:
            changed[array == old] = new
    return Grid.of(layer).image(changed)


def _is_permutation(steps: np.ndarray) -> bool:
    whole = np.abs(np.rint(steps))
    return bool(np.all(whole.sum(axis=0) == 1) and np.all(whole.sum(axis=1) == 1))


def _shape_statistics(labels: sitk.Image) -> sitk.LabelShapeStatisticsImageFilter:
    statistics = sitk.LabelShapeStatisticsImageFilter()
    whole = "float" not in labels.GetPixelIDTypeAsString()
    statistics.Execute(labels if whole else sitk.Cast(labels, sitk.sitkInt32))
    return statistics
