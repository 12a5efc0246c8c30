"""A segmentation carried through a sequence node: frames from the scene, results as sequences in the input's own
browser.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk
import slicer

from ..annotations.points import Points
from ..annotations.segment_matching import match_segments
from ..annotations.segmentation import Segmentation
from ..annotations.surface import Surface
from ..errors import InputError
from ..propagation.propagate import Propagation
from ..propagation.settings import PropagationSettings
from ..propagation.sinks import deliver
from ..space.grid import Grid
from .frame_nodes import label_bytes
from .landmarks import points_from_markups, surface_from_model
from .propagation_nodes import DrawnFrames, SequenceInput, SequenceOutput
from .scene_sink import FrameDone, SceneSink
from .segmentations import segmentation_from_node
from .sequences import SequenceFrames, by_file, check_fits_in_scene, proxy_parent
from .volumes import describe, image_from_volume

if TYPE_CHECKING:
    from ..models.loading import Model

_VECTOR_BYTES = 12


def propagate_segmentation(
    inputs: SequenceInput,
    outputs: SequenceOutput | None = None,
    settings: PropagationSettings | None = None,
    model: Model | str | Path | None = None,
    progress: FrameDone | None = None,
    memory_limit: int | None = None,
) -> slicer.vtkMRMLSequenceNode:
    """Carry a segmentation of one frame to all frames; returns the sequence of segmentations (or of label volumes).

    Blocks and opens no window. The results are linked into the sequence's own browser, whose selected item stays, and
    hang where the volumes hang. Each frame is a node of its own that can be edited. The reference frame holds the
    segmentation as it was given. A frame that fails holds its segments without voxels; the table says why, the log
    where, and the output's attribute VoxelMorph.FailedFrames names it. The other results are node references of the
    output: VoxelMorph.Transforms, .Points, .Surface, .Table, .Plot.

    Args:
        outputs: the nodes to fill; new ones without.
        settings: how. With `select` (frame numbers), the other frames of the outputs and of the table that were given
            are kept. A mask is a node of `inputs`.
        model: a name, a weights file, or a loaded model; default the bundled one.
        progress: called after each frame with (frames done, frames in all, result); returning False stops the run, and
            what is done stays.
        memory_limit: bytes that the results may take in the scene; default half of the machine's memory.

    Raises InputError, before any node is changed, for input that nothing can be done with, and for results that are too
    large for the scene (with the command that does it by file); DependencyMissing without torch or voxelmorph. Raises
    InputError when several frames fail alike one after another; what is done stays.
    """
    prepared = PreparedSequence.of(inputs, outputs or SequenceOutput(), memory_limit)
    propagation = _propagation(prepared, settings or PropagationSettings(), model)
    with tempfile.TemporaryDirectory() as scratch:
        sink = SceneSink(*prepared.parts, Path(scratch), progress)
        deliver(propagation, sink)
    return sink.output


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
        frames = SequenceFrames(inputs.sequence)
        _check_outputs(inputs.sequence, outputs)
        drawn = _drawn(inputs, frames)
        if outputs.as_labels is None:
            outputs = replace(outputs, as_labels=not drawn.node.IsA("vtkMRMLSegmentationNode"))
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
        return _flat(image_from_volume(node, self.drawn.parent, labels=True), self.frames, describe(node))

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
    nodes = _listed(inputs.segmentation)
    numbers = [_frame_number(number, frames) for number in _listed(inputs.reference)]
    if len(nodes) != len(numbers):
        raise InputError(
            f"reference frames: {len(nodes)} segmentations and {len(numbers)} frame numbers; give one for each other"
        )
    if len(set(numbers)) < len(numbers):
        raise InputError(f"reference frames {sorted(numbers)}: one is named twice; give one segmentation a frame")
    parent = proxy_parent(inputs.sequence)
    segmentations = {number: _on_frame(node, frames, number, parent) for node, number in zip(nodes, numbers)}
    matched = match_segments(
        [segmentation.simplified() for segmentation in segmentations.values()],
        [f"{describe(node)}, segmentation of frame {number}" for node, number in zip(nodes, numbers)],
    )
    return DrawnFrames(dict(zip(numbers, nodes)), dict(zip(numbers, matched.segmentations)), matched.segments, parent)


def _on_frame(
    node: slicer.vtkMRMLNode, frames: SequenceFrames, number: int, parent: slicer.vtkMRMLTransformNode | None
) -> Segmentation:
    segmentation = segmentation_from_node(node, Grid.of(frames.volume(number)), parent)
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
    fields = math.prod(drawn.segmentation.grid.size) * _VECTOR_BYTES if outputs.transforms else 0
    needed = (label_bytes(drawn.segmentation, cropped=not outputs.as_labels) + fields) * len(frames)
    what = "label volumes" if outputs.as_labels else "segmentations"
    what += " and transforms" if outputs.transforms else ""
    command = by_file(inputs.sequence, drawn.node, drawn.first)
    remedy = f"save sequence and segmentation, and run it by file: {command}"
    check_fits_in_scene(f"{describe(inputs.sequence)}: {what}", len(frames), needed, remedy, limit)


def _propagation(
    prepared: PreparedSequence, settings: PropagationSettings, model: Model | str | Path | None
) -> Propagation:
    """The propagation set up and checked, in the coordinates below the volumes' parent transform."""
    mask = prepared.mask
    if mask is not None:
        settings = replace(settings, mask=mask)
    drawn = prepared.drawn
    return Propagation(
        prepared.frames,
        list(drawn.segmentations.values()),
        list(drawn.segmentations),
        model,
        settings,
        points=prepared.points,
        surface=prepared.surface,
    )
