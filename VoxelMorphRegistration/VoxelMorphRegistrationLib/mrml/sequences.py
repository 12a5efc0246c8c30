"""Sequence nodes for results: made like the sequence they belong to, filled without a copy, and saved as one file."""

from __future__ import annotations

from collections.abc import Sequence

import slicer

from .browsing import browsers_of, is_of_transforms, stop_saving


def sequence_like(
    sequence: slicer.vtkMRMLSequenceNode, name: str, output: slicer.vtkMRMLSequenceNode | None = None
) -> slicer.vtkMRMLSequenceNode:
    """A sequence whose index has the name, unit and type of `sequence`'s: `output` with what it holds, or a new one."""
    scene = sequence.GetScene()
    if output is None:
        output = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(name))
    for browser in browsers_of(output):
        # What the proxy still shows must not be saved into items that are made anew; `browse_along` allows it again.
        if not is_of_transforms(output):
            stop_saving(browser, output)
    output.SetIndexName(sequence.GetIndexName())
    output.SetIndexUnit(sequence.GetIndexUnit())
    output.SetIndexType(sequence.GetIndexType())
    # Values nearer to each other than this are one to Slicer: frames .4 ms apart, in seconds, are nearer than its own.
    output.SetNumericIndexValueTolerance(sequence.GetNumericIndexValueTolerance())
    return output


def tell_apart(sequence: slicer.vtkMRMLSequenceNode, values: Sequence[str]) -> None:
    """Lower the tolerance of a sequence, where needed, so that each of these index values keeps an item of its own."""
    try:
        numbers = sorted({float(value) for value in values})
    except ValueError:
        return
    gaps = [after - before for before, after in zip(numbers, numbers[1:])]
    if gaps and min(gaps) < 2 * sequence.GetNumericIndexValueTolerance():
        sequence.SetNumericIndexValueTolerance(min(gaps) / 2)


def put_without_copy(sequence: slicer.vtkMRMLSequenceNode, node: slicer.vtkMRMLNode, value: str) -> None:
    """Make a node of no scene the data node of an index value, with its contents and not a copy of them.

    A sequence copies what it is given; the displacement of one frame is 100 MB and more. `node` is not used again.
    """
    content = next((one for one in _CONTENTS if node.IsA(one[0])), None)
    if content is None:
        sequence.SetDataNodeAtValue(node, value)
        return
    _, held, hold = content
    contents = getattr(node, held)()
    getattr(node, hold)(None)
    modifying = sequence.StartModify()
    try:
        sequence.SetDataNodeAtValue(node, value)
        getattr(sequence.GetDataNodeAtValue(value), hold)(contents)
    finally:
        sequence.EndModify(modifying)


#: Of a class: the methods that give and take what is large in it.
_CONTENTS = (
    ("vtkMRMLTransformNode", "GetTransformFromParent", "SetAndObserveTransformFromParent"),
    ("vtkMRMLSegmentationNode", "GetSegmentation", "SetAndObserveSegmentation"),
)


def remove_other_values(output: slicer.vtkMRMLSequenceNode, sequence: slicer.vtkMRMLSequenceNode) -> None:
    """Remove the data nodes of index values that `sequence` has not: they are of another sequence."""
    known = {sequence.GetNthIndexValue(number) for number in range(sequence.GetNumberOfDataNodes())}
    held = [output.GetNthIndexValue(number) for number in range(output.GetNumberOfDataNodes())]
    for value in held:
        if value not in known:
            output.RemoveDataNodeAtValue(value)


def save_as_one_file(sequence: slicer.vtkMRMLSequenceNode, file_name: str | None = None) -> None:
    """Give a sequence of label volumes or displacements the storage that keeps it in ONE `.seq.nrrd`.

    Slicer's default for a sequence it does not know the content of yet is a bundle (.seq.mrb) of one file a frame.
    """
    data = sequence.GetNthDataNode(0)
    kind = (
        "vtkMRMLTransformSequenceStorageNode"
        if data.IsA("vtkMRMLTransformNode")
        else "vtkMRMLVolumeSequenceStorageNode"
    )
    storage = sequence.GetStorageNode()
    if storage is None or storage.GetClassName() != kind:
        storage = sequence.GetScene().AddNewNodeByClass(kind)
        sequence.SetAndObserveStorageNodeID(storage.GetID())
    if file_name is not None:
        storage.SetFileName(file_name)
