"""What goes into a propagation of nodes, checked: it can begin in this process or in another, without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import SimpleITK as sitk
import slicer

from ..annotations.points import Points
from ..annotations.segment_matching import match_segments
from ..annotations.segmentation import Segmentation
from ..annotations.surface import Surface
from ..errors import InputError
from .browsing import proxy_parent
from .disk_sequences import frames_of
from .frame_nodes import label_bytes
from .landmarks import points_from_markups, surface_from_model
from .propagation_nodes import DrawnFrames, SequenceInput, SequenceOutput, below_of, could_fill
from .regions import is_box, region_on_grid
from .scene_memory import by_file, check_fits_in_scene
from .segmentations import segmentation_from_node
from .sequence_frames import SequenceFrames
from .volumes import describe, image_from_volume

_VECTOR_BYTES = 12


@dataclass(frozen=True)
class PreparedSequence:
    """Nodes that were checked: a propagation of them can begin, in this process or in another.

    Attributes:
        outputs: as given, `as_labels` decided. drawn: what was drawn, on its frames' grids.
    """

    inputs: SequenceInput
    outputs: SequenceOutput
    frames: SequenceFrames
    drawn: DrawnFrames

    @classmethod
    def of(cls, inputs: SequenceInput, outputs: SequenceOutput, memory_limit: int | None = None) -> PreparedSequence:
        """Raises InputError, as `propagate_segmentation` does; no node is changed."""
        frames = frames_of(inputs.sequence)
        _check_outputs(inputs.sequence, outputs)
        drawn = _drawn(inputs, frames)
        if outputs.segmentation is not None and not could_fill(outputs.segmentation, drawn.node):
            raise InputError(
                f"{describe(outputs.segmentation)}: holds {outputs.segmentation.GetDataNodeTagName()} nodes, which are "
                f"not replaced by what is carried of {describe(drawn.node)}; choose or create another output sequence"
            )
        if outputs.as_labels is None:
            is_labels = drawn.segmentation is not None and not drawn.node.IsA("vtkMRMLSegmentationNode")
            outputs = replace(outputs, as_labels=is_labels)
        if frames.plane is not None and (inputs.points is not None or inputs.surface is not None):
            raise InputError(
                f"{describe(inputs.sequence)}: its frames are single slices, and points and surfaces are 3D; leave "
                "them out"
            )
        _check_size(inputs, outputs, frames, drawn, memory_limit)
        return cls(inputs, outputs, frames, drawn)

    @property
    def parts(self) -> tuple[SequenceInput, SequenceOutput, SequenceFrames, DrawnFrames]:
        return self.inputs, self.outputs, self.frames, self.drawn

    @property
    def mask(self) -> sitk.Image | None:
        """Where images are compared, below the volumes' parent transform; None for everywhere."""
        node = self.inputs.mask
        if node is None:
            return None
        if is_box(node):
            grid = self.frames.grid(self.drawn.first)
            region = region_on_grid(node, grid, self.drawn.parent)
        else:
            region = image_from_volume(node, self.drawn.parent, labels=True)
        return _flat(region, self.frames, describe(node))

    @property
    def points(self) -> Points | None:
        """The markups that are carried, below the volumes' parent transform."""
        return None if self.inputs.points is None else points_from_markups(self.inputs.points, self.drawn.parent)

    @property
    def surface(self) -> Surface | None:
        """The model that is carried, below the volumes' parent transform."""
        return None if self.inputs.surface is None else surface_from_model(self.inputs.surface, self.drawn.parent)


def _check_outputs(sequence: slicer.vtkMRMLSequenceNode, outputs: SequenceOutput) -> None:
    transforms = None if isinstance(outputs.transforms, bool) else outputs.transforms
    for node in (outputs.segmentation, transforms, outputs.points, outputs.surface):
        if node is sequence:
            raise InputError(
                f"{describe(sequence)}: chosen as input and as output; choose or create another output sequence"
            )
        if node is not None and not node.IsA("vtkMRMLSequenceNode"):
            raise InputError(f"{describe(node)}: not a sequence; choose or create an output sequence")


def _drawn(inputs: SequenceInput, frames: SequenceFrames) -> DrawnFrames:
    """What was drawn on which frame, each on its frame's grid."""
    nodes = [node for node in _listed(inputs.segmentation) if node is not None]
    numbers = [_frame_number(number, frames) for number in _listed(inputs.reference)]
    parent = proxy_parent(inputs.sequence)
    if not nodes:
        return DrawnFrames({numbers[0]: _alone(inputs, numbers)}, {numbers[0]: None}, (), parent)
    if len(nodes) != len(numbers):
        raise InputError(
            f"reference frames: {len(nodes)} segmentations and {len(numbers)} frame numbers; give one for each other"
        )
    if len(set(numbers)) < len(numbers):
        raise InputError(f"reference frames {sorted(numbers)}: one is named twice; give one segmentation a frame")
    segmentations = {number: _on_frame(node, frames, number, parent) for node, number in zip(nodes, numbers)}
    matched = match_segments(
        [segmentation.simplified() for segmentation in segmentations.values()],
        [f"{describe(node)}, segmentation of frame {number}" for node, number in zip(nodes, numbers)],
    )
    left = {segment.id for segment in matched.segments if segment.id in inputs.leave_out}
    if len(left) == len(matched.segments):
        raise InputError(f"{describe(nodes[0])}: every segment is left out; carry at least one")
    return DrawnFrames(
        dict(zip(numbers, nodes)),
        {number: one.without(left) for number, one in zip(numbers, matched.segmentations)},
        tuple(segment for segment in matched.segments if segment.id not in left),
        parent,
        {
            number: [was.id for was, now in zip(segmentations[number].segments, one.segments) if now.id in left]
            for number, one in zip(numbers, matched.segmentations)
        },
    )


def _alone(inputs: SequenceInput, numbers: list[int]) -> slicer.vtkMRMLNode:
    """The points, else the surface, that are carried without a segmentation."""
    node = inputs.points or inputs.surface
    if node is None:
        raise InputError(
            f"{describe(inputs.sequence)}: nothing is chosen that could be carried through it; choose a segmentation, "
            "points or a model that were drawn on one frame"
        )
    if len(numbers) > 1:
        raise InputError(
            f"{describe(node)}: points and models belong to one frame; remove the further references, or choose a "
            "segmentation"
        )
    return node


def _on_frame(
    node: slicer.vtkMRMLNode, frames: SequenceFrames, number: int, parent: slicer.vtkMRMLTransformNode | None
) -> Segmentation:
    segmentation = segmentation_from_node(node, frames.grid(number), below_of(node, parent))
    if frames.plane is None:
        return segmentation
    return replace(segmentation, layers=tuple(_flat(one, frames, describe(node)) for one in segmentation.layers))


def _flat(image: sitk.Image, frames: SequenceFrames, name: str) -> sitk.Image:
    return image if frames.plane is None else frames.plane.flatten(image, name)


def _listed(one_or_several: Any) -> list[Any]:
    return list(one_or_several) if isinstance(one_or_several, (list, tuple)) else [one_or_several]


def _frame_number(number: int, frames: SequenceFrames) -> int:
    if not -len(frames) <= number < len(frames):
        raise InputError(
            f"reference frame {number}: {describe(frames.sequence)} has the frames 0 to {len(frames) - 1}; choose one"
        )
    return number % len(frames)


def _check_size(
    inputs: SequenceInput, outputs: SequenceOutput, frames: SequenceFrames, drawn: DrawnFrames, limit: int | None
) -> None:
    """Raises InputError, with the command that does it by file, when the results are too large for the scene."""
    bytes_a_frame = {}
    if drawn.segmentation is not None:
        what = "label volumes" if outputs.as_labels else "segmentations"
        bytes_a_frame[what] = label_bytes(drawn.segmentation, cropped=not outputs.as_labels)
    if inputs.surface is not None and inputs.surface.GetPolyData() is not None:
        bytes_a_frame["models"] = inputs.surface.GetPolyData().GetActualMemorySize() * 1024
    if outputs.transforms:
        bytes_a_frame["transforms"] = math.prod(frames.grid(drawn.first).size) * _VECTOR_BYTES
    command = by_file(inputs.sequence, drawn.node, drawn.first)
    remedy = f"save sequence and {drawn.node.GetName()}, and run it by file: {command}"
    what = f"{describe(inputs.sequence)}: {' and '.join(bytes_a_frame)}"
    check_fits_in_scene(what, len(frames), sum(bytes_a_frame.values()) * len(frames), remedy, limit)
