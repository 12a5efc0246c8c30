"""A segmentation carried through a sequence node: frames from the scene, results as sequences in the input's own
browser.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from ..propagation.propagate import Propagation
from ..propagation.settings import PropagationSettings
from ..propagation.sinks import deliver
from .prepared_sequence import PreparedSequence
from .propagation_nodes import SequenceInput, SequenceOutput
from .scene_sink import FrameDone, SceneSink

if TYPE_CHECKING:
    from ..models.loading import Model


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
