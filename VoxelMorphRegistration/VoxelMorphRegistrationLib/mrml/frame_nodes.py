"""What a propagation finds in one frame, as nodes of that frame's own."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
import slicer

from ..annotations.label_boxes import bounding_box
from ..annotations.segmentation import Segmentation
from ..files import slicer_attributes
from ..propagation.frame_result import FrameResult
from ..space import displacement as displacements
from ..space.grid import Grid
from ..space.plane import Plane
from .geometry import linear_matrix, transform_between
from .propagation_nodes import DrawnFrames, below_of
from .segmentations import update_label_volume, update_segmentation_node
from .sequence_frames import SequenceFrames
from .transforms import update_transform


@dataclass(frozen=True)
class _Source:
    """A segmentation that was given. `exact`: in the coordinates of its frame, so that it needs no resampling there."""

    held: slicer.vtkSegmentation
    exact: bool


class FrameNodes:
    """Makes the data nodes of the output sequences, in the coordinates below the volumes' parent transform."""

    def __init__(self, frames: SequenceFrames, drawn: DrawnFrames, as_labels: bool) -> None:
        self._frames, self._drawn, self._as_labels = frames, drawn, as_labels
        # Copies: a source may be the very node that shows the output, and changes while that is filled.
        self._sources = {
            number: _copied(node, drawn.parent, drawn.left_out.get(number, ())) for number, node in drawn.nodes.items()
        }
        self._planes: dict[int, Plane] = {}

    def segmentation(self, result: FrameResult) -> slicer.vtkMRMLNode:
        """A label volume or segmentation node; of a reference frame, what was given."""
        source = self._sources[result.reference]
        if result.status == "reference" and source is not None and not self._as_labels and source.exact:
            # Drawn finer than the volume, or with surfaces: it stays exactly that.
            node = slicer.vtkMRMLSegmentationNode()
            held = slicer.vtkSegmentation()
            held.DeepCopy(source.held)
            node.SetAndObserveSegmentation(held)
            return node
        assert result.segmentation is not None
        return self._node(self._lifted(result.segmentation, result.index), source)

    def empty(self, result: FrameResult) -> slicer.vtkMRMLNode:
        """For a frame that failed: the segments without voxels, to be drawn by hand or found with other settings."""
        drawn = self._drawn.segmentations[result.reference]
        assert drawn is not None
        segmentation = replace(drawn, layers=tuple(layer * 0 for layer in drawn.layers))
        return self._node(self._lifted(segmentation, result.reference), self._sources[result.reference])

    def transform(self, result: FrameResult) -> slicer.vtkMRMLTransformNode:
        """The displacement that pulls from the frame to its reference, on the reference's grid: one `.seq.nrrd`
        knows one grid.

        Linear between its voxels, as Slicer makes a transform that it reads from a sequence file.
        """
        field = result.displacement
        assert field is not None
        grid = self._frames.grid(result.reference)
        if self._frames.plane is not None:
            flat = Grid.of(self._frames[result.reference])
            field = displacements.resample(field, flat)
            field = self._plane(result.index).lift(field, grid, self._plane(result.reference).height)
        elif not Grid.of(field).same_as(grid):
            field = displacements.resample(field, grid)
        node = slicer.vtkMRMLTransformNode()
        update_transform(node, field, interpolation="linear")
        return node

    def _node(self, segmentation: Segmentation, source: _Source | None) -> slicer.vtkMRMLNode:
        if self._as_labels:
            node = slicer.vtkMRMLLabelMapVolumeNode()
            update_label_volume(node, segmentation)
        else:
            node = slicer.vtkMRMLSegmentationNode()
            # Segments that several references have are those of the first one.
            like = self._sources[self._drawn.first] or source
            update_segmentation_node(node, segmentation, None if like is None else like.held)
        return node

    def _lifted(self, segmentation: Segmentation, index: int) -> Segmentation:
        if self._frames.plane is None:
            return segmentation
        grid = Grid.of(self._frames.volume(index))
        layers = tuple(self._frames.plane.raise_image(layer, grid) for layer in segmentation.layers)
        return replace(segmentation, layers=layers)

    def _plane(self, index: int) -> Plane:
        """The frame's own plane: parallel slices may lie at different heights."""
        if index not in self._planes:
            first = self._frames.plane
            assert first is not None
            height = float(first.axes[:, 2] @ np.asarray(self._frames.volume(index).GetOrigin()))
            self._planes[index] = Plane(first.axes, height)
        return self._planes[index]


def _copied(
    node: slicer.vtkMRMLNode, parent: slicer.vtkMRMLTransformNode | None, without: Collection[str]
) -> _Source | None:
    """What a segmentation node holds, but for segments of the ids `without`; None for a label volume."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        return None
    held = slicer.vtkSegmentation()
    held.DeepCopy(node.GetSegmentation())
    for identifier in without:
        held.RemoveSegment(identifier)
    matrix = linear_matrix(transform_between(node.GetParentTransformNode(), below_of(node, parent)))
    return _Source(held, matrix is not None and np.allclose(matrix, np.eye(4)))


def describe_frame(node: slicer.vtkMRMLNode, result: FrameResult) -> None:
    """How a frame was found and how well, as attributes that are saved with its node."""
    quality = result.quality
    values = {
        slicer_attributes.FRAME: result.index,
        slicer_attributes.STATUS: result.status,
        slicer_attributes.REFERENCE_FRAME: result.reference,
        slicer_attributes.SIMILARITY_METRIC: quality.metric,
        slicer_attributes.SIMILARITY_BEFORE: quality.similarity_before,
        slicer_attributes.SIMILARITY_AFTER: quality.similarity_after,
        slicer_attributes.INVERSE_CONSISTENCY_MM: quality.inverse_consistency_mm,
        slicer_attributes.FOLDED_PERCENT: result.folded_percent,
        slicer_attributes.MESSAGE: result.message,
    }
    for name, text in slicer_attributes.as_text(values).items():
        node.SetAttribute(name, text)


def label_bytes(segmentation: Segmentation, cropped: bool) -> int:
    """How much memory one frame of a segmentation takes, with its layers whole or cropped to what is labelled."""
    total = 0
    for layer in segmentation.layers:
        array = sitk.GetArrayViewFromImage(layer)
        voxels = array.size
        if cropped:
            box = bounding_box(array)
            # The organ may reach further in other frames.
            voxels = 0 if box is None else math.prod(int(1.25 * (side.stop - side.start)) for side in box)
        total += voxels * array.itemsize
    return total
