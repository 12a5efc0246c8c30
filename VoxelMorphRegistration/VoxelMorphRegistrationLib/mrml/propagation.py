"""A segmentation carried through a sequence node: frames from the scene, results as sequences in the input's own
browser.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import slicer

from ..annotations.segmentation import Segmentation
from ..errors import InputError
from ..propagation.propagate import FrameResult, Propagation
from ..propagation.table import FrameTable
from ..space.grid import Grid
from .frame_nodes import FrameNodes, describe_frame, label_bytes
from .landmarks import markups_at, model_at, points_from_markups, surface_from_model
from .segmentations import colour_table, segmentation_from_node
from .sequences import (
    SequenceFrames,
    browse_along,
    by_file,
    check_fits_in_scene,
    proxy_parent,
    save_as_one_file,
    sequence_like,
)
from .tables import plot_volumes, rows_of, table_from_csv
from .volumes import describe, image_from_volume

_LOG = logging.getLogger(__name__)
_VECTOR_BYTES = 12


def propagate_segmentation(
    sequence: slicer.vtkMRMLSequenceNode,
    segmentation: Any,
    reference: int | Sequence[int] = 0,
    output: slicer.vtkMRMLSequenceNode | None = None,
    *,
    as_labels: bool | None = None,
    transforms: slicer.vtkMRMLSequenceNode | bool = False,
    points: slicer.vtkMRMLMarkupsNode | None = None,
    points_output: slicer.vtkMRMLSequenceNode | None = None,
    surface: slicer.vtkMRMLModelNode | None = None,
    surface_output: slicer.vtkMRMLSequenceNode | None = None,
    table: slicer.vtkMRMLTableNode | None = None,
    mask: slicer.vtkMRMLVolumeNode | None = None,
    progress: Callable[[int, int, FrameResult], bool | None] | None = None,
    memory_limit: int | None = None,
    **options: Any,
) -> slicer.vtkMRMLSequenceNode:
    """Carry a segmentation of one frame to all frames; returns the sequence of segmentations (or of label volumes).

    Blocks and opens no window. The results are linked into the sequence's own browser, whose selected item stays, and
    hang where the volumes hang. Each frame is a node of its own that can be edited. The reference frame holds the
    segmentation as it was given. A frame that fails holds its segments without voxels; the table says why, and the
    output's attribute VoxelMorph.FailedFrames names it. The other results are node references of the output:
    VoxelMorph.Transforms, .Points, .Surface, .Table, .Plot.

    Args:
        segmentation: a segmentation node or a label volume (or several, with as many `reference` frames).
        reference: number of the segmented frame, from 0; negative counts from the end.
        as_labels: label volumes, which save as one .seq.nrrd, instead of segmentations; default: as the input is.
        transforms: a sequence to fill, or True for a new one: displacements that pull from each frame to its reference.
            It saves as one .seq.nrrd, so all of them lie on the first reference frame's grid.
        points, surface: markups and a model drawn on the reference frame; they become sequences that follow the tissue.
        table: filled with what frames.csv holds; default a new table. Each label's volume is plotted over the frames.
        mask: similarity counts only where this volume is not zero.
        progress: called after each frame with (frames done, frames in all, result); returning False stops the run, and
            what is done stays.
        memory_limit: bytes that the results may take in the scene; default half of the machine's memory.
        options: those of `propagation.propagate`: model, strategy, keyframe_step, select, and the registration's
            settings. With `select` (frame numbers), the other frames of the outputs and of the table that were given
            are kept.

    Raises InputError, before any node is changed, for input that nothing can be done with, and for results that are too
    large for the scene (with the command that does it by file); DependencyMissing without torch or voxelmorph.
    """
    frames = SequenceFrames(sequence)
    below = proxy_parent(sequence)
    several = isinstance(segmentation, (list, tuple))
    sources = list(segmentation) if several else [segmentation]
    numbers = [_frame_number(one, frames) for one in ([reference] if isinstance(reference, int) else reference)]
    if len(sources) != len(numbers):
        raise InputError(
            f"reference frames: {len(sources)} segmentations and {len(numbers)} frame numbers; give one for each other"
        )
    for node in (output, None if isinstance(transforms, bool) else transforms, points_output, surface_output):
        if node is sequence:
            raise InputError(
                f"{describe(sequence)}: chosen as input and as output; choose or create another output sequence"
            )
        if node is not None and not node.IsA("vtkMRMLSequenceNode"):
            raise InputError(f"{describe(node)}: not a sequence; choose or create an output sequence")
    drawn = [_drawn(source, frames, number, below) for source, number in zip(sources, numbers)]
    if as_labels is None:
        as_labels = not sources[0].IsA("vtkMRMLSegmentationNode")
    command = by_file(sequence, sources[0], numbers[0])
    _check_size(frames, drawn[0], as_labels, bool(transforms), command, memory_limit)
    if frames.plane is not None and (points is not None or surface is not None):
        raise InputError(
            f"{describe(sequence)}: its frames are single slices, and points and surfaces are 3D; leave them out"
        )
    run = Propagation(
        frames,
        drawn,
        numbers,
        mask=None if mask is None else _flat(image_from_volume(mask, below, labels=True), frames, describe(mask)),
        points=None if points is None else points_from_markups(points, below),
        surface=None if surface is None else surface_from_model(surface, below),
        **options,
    )

    name = sources[0].GetName()
    nodes = FrameNodes(frames, dict(zip(numbers, sources)), dict(zip(numbers, drawn)), below, as_labels)
    keep = output is not None and options.get("select") is not None
    output = sequence_like(sequence, f"{name} sequence", output, keep)
    filled = {"Segmentation": output}
    if transforms:
        wanted = None if transforms is True else transforms
        filled["Transforms"] = sequence_like(sequence, f"{sequence.GetName()} to frame {numbers[0]}", wanted, keep)
    for role, node, given in (("Points", points, points_output), ("Surface", surface, surface_output)):
        if node is not None:
            filled[role] = sequence_like(sequence, f"{node.GetName()} sequence", given, keep)
    table = table or (output.GetNodeReference("VoxelMorph.Table") if keep else None)
    earlier = rows_of(table) if keep and table is not None else {}
    make = {
        "Segmentation": nodes.segmentation,
        "Transforms": nodes.transform,
        "Points": lambda result: markups_at(points, result.points),
        "Surface": lambda result: model_at(surface, result.surface),
    }
    with tempfile.TemporaryDirectory() as folder:
        frame_table = FrameTable(Path(folder) / "frames.csv", run.labels())
        frame_table.start({index: row for index, row in earlier.items() if index not in run.select})
        iterator = run.run()
        try:
            for done, result in enumerate(iterator, start=1):
                if result.status == "failed":
                    _LOG.warning("%s: %s", frames.name(result.index), result.message)
                    output.SetDataNodeAtValue(nodes.empty(result), frames.value(result.index))
                else:
                    for role, into in filled.items():
                        node = make[role](result)
                        describe_frame(node, result)
                        into.SetDataNodeAtValue(node, frames.value(result.index))
                frame_table.append(result, 0)
                if progress is not None and progress(done, len(run.select), result) is False:
                    break
        finally:
            iterator.close()
            output.SetAttribute("VoxelMorph.Model", run.model.name)
            _tell(output, frame_table, Path(folder) / "frames.csv", drawn[0], table, name)
            _show(sequence, filled, sources[0], points, surface, drawn[0], as_labels)
    return output


def _frame_number(number: int, frames: SequenceFrames) -> int:
    if not -len(frames) <= number < len(frames):
        raise InputError(
            f"reference frame {number}: {describe(frames.sequence)} has the frames 0 to {len(frames) - 1}; choose one"
        )
    return number % len(frames)


def _drawn(source: Any, frames: SequenceFrames, number: int, below: slicer.vtkMRMLTransformNode | None) -> Segmentation:
    """What was drawn on a frame, on that frame's grid and in its coordinates."""
    segmentation = segmentation_from_node(source, Grid.of(frames.volume(number)), below)
    if frames.plane is None:
        return segmentation
    layers = tuple(frames.plane.flatten(layer, describe(source)) for layer in segmentation.layers)
    return Segmentation(layers, segmentation.segments, segmentation.common)


def _flat(image: sitk.Image, frames: SequenceFrames, name: str) -> sitk.Image:
    return image if frames.plane is None else frames.plane.flatten(image, name)


def _check_size(
    frames: SequenceFrames, drawn: Segmentation, as_labels: bool, transforms: bool, command: str, limit: int | None
) -> None:
    fields = math.prod(drawn.grid.size) * _VECTOR_BYTES if transforms else 0
    needed = (label_bytes(drawn, cropped=not as_labels) + fields) * len(frames)
    what = ("label volumes" if as_labels else "segmentations") + (" and transforms" if transforms else "")
    remedy = f"save sequence and segmentation, and run it by file: {command}"
    check_fits_in_scene(f"{describe(frames.sequence)}: {what}", len(frames), needed, remedy, limit)


def _show(sequence, filled: dict, source, points, surface, drawn: Segmentation, as_labels: bool) -> None:
    """Link the results into the input's browser, looking as their sources do; sequences that can be one file are
    told so.
    """
    output = filled["Segmentation"]
    for role, into in filled.items():
        if into is not output:
            output.SetNodeReferenceID(f"VoxelMorph.{role}", into.GetID())
        if into.GetNumberOfDataNodes() == 0:
            continue
        colours = None
        if role == "Transforms" or (role == "Segmentation" and as_labels):
            save_as_one_file(into)
        if role == "Segmentation" and as_labels:
            shown = None if source.IsA("vtkMRMLSegmentationNode") else source.GetDisplayNode()
            colours = shown.GetColorNode() if shown is not None else None
            colours = colours or colour_table(sequence.GetScene(), drawn, f"{source.GetName()} labels")
        like = {"Segmentation": source, "Points": points, "Surface": surface}.get(role)
        browse_along(into, sequence, like, colours, editable=role != "Transforms")


def _tell(output, frame_table: FrameTable, path: Path, drawn: Segmentation, node, name: str) -> None:
    """The table of frames, the plot of each label's volume, and on each frame why a person should look at it."""
    rows = frame_table.finish()
    failed = [str(index) for index, row in rows.items() if row["status"] == "failed"]
    output.SetAttribute("VoxelMorph.FailedFrames", " ".join(failed))
    for row in rows.values():
        data = output.GetDataNodeAtValue(row["index_value"])
        if data is not None and row["flag"]:
            data.SetAttribute("VoxelMorph.Flag", row["flag"])
    table = table_from_csv(output.GetScene(), path, f"{name} frames", node)
    names = {segment.label: segment.name for segment in drawn.with_distinct_labels().segments}
    chart = plot_volumes(table, names)
    output.SetNodeReferenceID("VoxelMorph.Table", table.GetID())
    output.SetNodeReferenceID("VoxelMorph.Plot", chart.GetID() if chart is not None else None)
