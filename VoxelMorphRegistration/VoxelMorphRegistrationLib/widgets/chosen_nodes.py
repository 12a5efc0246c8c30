"""What the parameters choose, as the nodes that a job takes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from ..errors import InputError
from .parameters import Mode, Parameters

if TYPE_CHECKING:
    from ..mrml.prepared_sequence import PreparedSequence
    from ..mrml.registration_nodes import RegistrationNodes


def propose_volumes(parameters: Parameters) -> None:
    """Choose the fixed and the moving volume where the scene has exactly two."""
    scene = slicer.mrmlScene
    count = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    every = [scene.GetNthNodeByClass(number, "vtkMRMLScalarVolumeNode") for number in range(count)]
    volumes = [node for node in every if node.GetClassName() == "vtkMRMLScalarVolumeNode"]
    if len(volumes) == 2:
        parameters.fixedVolume, parameters.movingVolume = volumes


def sequence_of_pair(parameters: Parameters) -> slicer.vtkMRMLSequenceNode | None:
    """The sequence that one of the two volumes is a frame of."""
    found = (sequence_shown_by(volume) for volume in (parameters.fixedVolume, parameters.movingVolume))
    return next((sequence for sequence in found if sequence is not None), None)


def sequence_shown_by(node: slicer.vtkMRMLNode | None) -> slicer.vtkMRMLSequenceNode | None:
    """The sequence whose frames a node of the scene shows one by one; None for any other node."""
    if node is None or node.GetScene() is None:
        return None
    scene = node.GetScene()
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        sequence = scene.GetNthNodeByClass(number, "vtkMRMLSequenceBrowserNode").GetSequenceNode(node)
        if sequence is not None:
            return sequence
    return None


def voxels_of_a_frame(sequence: slicer.vtkMRMLSequenceNode) -> int:
    """How many voxels the frame that is shown has, else the first; 0 where none is there, as of a sequence on disk."""
    from ..mrml.browsing import browser_of

    browser = browser_of(sequence)
    first = sequence.GetNthDataNode(0) if sequence.GetNumberOfDataNodes() else None
    shown = first if browser is None else browser.GetProxyNode(sequence)
    image = shown.GetImageData() if shown is not None and shown.IsA("vtkMRMLVolumeNode") else None
    points = 0 if image is None else image.GetNumberOfPoints()
    return points if points > 1 else 0


def volume_to_look_at(parameters: Parameters) -> slicer.vtkMRMLVolumeNode | None:
    """The fixed volume, or the frame of the sequence that is shown; None where it has no voxels."""
    volume = parameters.fixedVolume
    if parameters.mode is Mode.SEQUENCE:
        from ..mrml.browsing import browser_of

        browser = None if parameters.sequence is None else browser_of(parameters.sequence)
        volume = None if browser is None else browser.GetProxyNode(parameters.sequence)
    image = volume.GetImageData() if volume is not None and volume.IsA("vtkMRMLVolumeNode") else None
    return volume if image is not None and image.GetNumberOfPoints() > 1 else None


def pair(parameters: Parameters) -> RegistrationNodes:
    """The pair. A transform that was made for another moving volume is left to it, and a new one is made."""
    from ..mrml.registration_nodes import RegistrationNodes

    transform = parameters.outputTransform
    if transform is not None:
        made_for = transform.GetNodeReference(slicer.vtkMRMLTransformNode.GetMovingNodeReferenceRole())
        if made_for is not None and made_for is not parameters.movingVolume:
            transform = None
    return RegistrationNodes(
        fixed=parameters.fixedVolume,
        moving=parameters.movingVolume,
        transform=transform,
        warped_volume=parameters.outputVolume,
        mask=parameters.region,
    )


def sequence(parameters: Parameters) -> PreparedSequence:
    """The sequence with what was drawn on its reference frames. An output that holds something of another kind, as
    segmentations where points are carried now, is left as it is, and a new one is made.

    Raises InputError for what cannot be propagated.
    """
    from ..mrml.prepared_sequence import PreparedSequence
    from ..mrml.propagation_nodes import SequenceInput, SequenceOutput, could_fill

    volumes, output = parameters.sequence, parameters.outputSequence
    carried = parameters.segmentation or parameters.points or parameters.surface
    if output is not None and carried is not None and not could_fill(output, carried):
        output = None
    drawn = [parameters.segmentation]
    for frame, segmentation in parameters.further_references().items():
        if segmentation is None and output is not None:
            segmentation = output.GetDataNodeAtValue(volumes.GetNthIndexValue(frame))
        if segmentation is None:
            said = _("frame {frame}: its segmentation is gone; remove it from the further references")
            raise InputError(said.format(frame=frame))
        drawn.append(segmentation)
    inputs = SequenceInput(
        volumes,
        drawn,
        parameters.references(),
        points=parameters.points,
        surface=parameters.surface,
        mask=parameters.region,
        leave_out=parameters.leftOutSegments,
    )
    return PreparedSequence.of(inputs, SequenceOutput(output, transforms=parameters.saveTransforms))


def nearer_frames(frame: int, others: Collection[int], kept: Collection[int], count: int) -> list[int]:
    """The frames of `count` that are nearer to one reference than to the `others`, but for those that are kept."""
    return [
        number
        for number in range(count)
        if number not in kept
        and number not in others
        and abs(number - frame) < min((abs(number - other) for other in others), default=count)
    ]
