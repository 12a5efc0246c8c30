"""Sequence nodes: their frames as images, and new sequences that browse along with them.

Frames are read from the sequence itself, so the item a person looks at in the browser never changes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import SimpleITK as sitk
import slicer

from ..errors import InputError
from ..propagation.frames import Frames
from ..space.grid import Grid
from ..space.plane import Plane
from .volumes import describe, grid_of_volume, image_from_volume


class SequenceFrames(Frames):
    """The volumes of a sequence node, in LPS mm of the coordinates their volume proxy has below its parent transforms.

    A sequence of single slices gives 2D images, in the plane of its first frame.
    """

    def __init__(self, sequence: slicer.vtkMRMLSequenceNode) -> None:
        """Raises InputError when there is no sequence, no frame in it, or frames that are no volumes."""
        if sequence is None:
            raise InputError("the volume sequence: none is chosen; choose a sequence")
        if not sequence.IsA("vtkMRMLSequenceNode"):
            raise InputError(f"{describe(sequence)}: not a sequence; choose a sequence of volumes")
        if sequence.GetNumberOfDataNodes() == 0:
            raise InputError(f"{describe(sequence)}: has no frames; load or choose another sequence")
        if not sequence.GetNthDataNode(0).IsA("vtkMRMLScalarVolumeNode"):
            raise InputError(
                f"{describe(sequence)}: its frames are {sequence.GetDataNodeTagName()} nodes; choose a sequence of "
                "volumes"
            )
        self.sequence = sequence
        self.index_name, self.index_unit = sequence.GetIndexName() or "frame", sequence.GetIndexUnit() or ""
        self.index_type = sequence.GetIndexTypeAsString()
        first = sequence.GetNthDataNode(0)
        self.plane = Plane.of(image_from_volume(first)) if grid_of_volume(first).size[2] == 1 else None

    def __len__(self) -> int:
        return self.sequence.GetNumberOfDataNodes()

    def __getitem__(self, index: int) -> sitk.Image:
        image = self.volume(index)
        return image if self.plane is None else self.plane.flatten(image, self.name(index))

    def volume(self, index: int) -> sitk.Image:
        """The frame as Slicer has it, 3D in any case. Raises InputError for what is no scalar volume with voxels."""
        image = image_from_volume(self._node(index))
        if image.GetNumberOfComponentsPerPixel() > 1:
            raise InputError(
                f"{self.name(index)}: each voxel holds {image.GetNumberOfComponentsPerPixel()} numbers, one is needed"
            )
        return image

    def grid(self, index: int) -> Grid:
        """Where the voxels of `volume` lie. Raises InputError as it does."""
        return grid_of_volume(self._node(index))

    def _node(self, index: int) -> slicer.vtkMRMLVolumeNode:
        if not 0 <= index < len(self):
            raise IndexError(index)
        node = self.sequence.GetNthDataNode(index)
        if node is None or not node.IsA("vtkMRMLVolumeNode"):
            raise InputError(f"{self.name(index)}: is no volume; remove it from the sequence")
        return node

    def name(self, index: int) -> str:
        return f"frame {index} of {self.sequence.GetName()}"

    def value(self, index: int) -> str:
        return self.sequence.GetNthIndexValue(index)


def browsers_of(sequence: slicer.vtkMRMLSequenceNode) -> list[slicer.vtkMRMLSequenceBrowserNode]:
    """The browsers a sequence is shown in: those it is the master of first."""
    scene = sequence.GetScene()
    count = scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")
    every = [scene.GetNthNodeByClass(number, "vtkMRMLSequenceBrowserNode") for number in range(count)]
    shown = [browser for browser in every if browser.IsSynchronizedSequenceNode(sequence, True)]
    return sorted(shown, key=lambda browser: browser.GetMasterSequenceNode() is not sequence)


def browser_of(sequence: slicer.vtkMRMLSequenceNode) -> slicer.vtkMRMLSequenceBrowserNode | None:
    """The first of `browsers_of`, None when there is none."""
    return next(iter(browsers_of(sequence)), None)


def proxy_parent(sequence: slicer.vtkMRMLSequenceNode) -> slicer.vtkMRMLTransformNode | None:
    """The transform that a sequence's frames hang under, by their proxy node in the scene."""
    browser = browser_of(sequence)
    proxy = browser.GetProxyNode(sequence) if browser is not None else None
    return proxy.GetParentTransformNode() if proxy is not None and proxy.IsA("vtkMRMLTransformableNode") else None


def sequence_like(
    sequence: slicer.vtkMRMLSequenceNode, name: str, output: slicer.vtkMRMLSequenceNode | None = None
) -> slicer.vtkMRMLSequenceNode:
    """A sequence whose index has the name, unit and type of `sequence`'s: `output` with what it holds, or a new one."""
    scene = sequence.GetScene()
    if output is None:
        output = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(name))
    for browser in browsers_of(output):
        # What the proxy still shows must not be saved into items that are made anew; `browse_along` allows it again.
        if not _is_of_transforms(output):
            _stop_saving(browser, output)
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


def browse_along(
    output: slicer.vtkMRMLSequenceNode,
    sequence: slicer.vtkMRMLSequenceNode,
    like: slicer.vtkMRMLDisplayableNode | None = None,
    colours: slicer.vtkMRMLColorNode | None = None,
) -> slicer.vtkMRMLSequenceBrowserNode:
    """Link a sequence into the browser of another, where it hangs under the same transform; the browser stays at its
    item. Edits of the shown frame (in Segment Editor, say) go into that frame.

    Args:
        like: its display is that of this node. colours: the colour table of label volumes.
    """
    scene = sequence.GetScene()
    browser = browser_of(sequence)
    if browser is None:
        browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{sequence.GetName()} browser")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    modifying = browser.StartModify()
    try:
        if not browser.IsSynchronizedSequenceNode(output, True):
            browser.AddSynchronizedSequenceNode(output)
        browser.SetOverwriteProxyName(output, True)
        browser.SetMissingItemMode(output, browser.MissingItemSetToDefault)
        if _is_of_transforms(output):
            # Shared by proxy and frame: Slicer copies its 100 MB and more otherwise, whenever the browser is moved.
            browser.SetSaveChanges(output, True)
        else:
            # While the proxy is dressed, nothing of it may be saved: a frame that has no item would get one.
            _stop_saving(browser, output)
    finally:
        browser.EndModify(modifying)
    update_proxies(browser)
    proxy, parent = browser.GetProxyNode(output), proxy_parent(sequence)
    if proxy is not None and proxy.IsA("vtkMRMLTransformableNode") and not proxy.IsA("vtkMRMLTransformNode"):
        proxy.SetAndObserveTransformNodeID(parent.GetID() if parent is not None else None)
    display = proxy.GetDisplayNode() if proxy is not None and proxy.IsA("vtkMRMLDisplayableNode") else None
    theirs = like.GetDisplayNode() if like is not None else None
    if display is not None and theirs is not None and display.GetClassName() == theirs.GetClassName():
        display.CopyContent(theirs)
        display.SetVisibility(True)  # What was drawn is hidden once its copy on the frames is shown.
    if display is not None and colours is not None:
        display.SetAndObserveColorNodeID(colours.GetID())
    volume = browser.GetProxyNode(sequence)
    if proxy is not None and proxy.IsA("vtkMRMLSegmentationNode") and volume is not None:
        # Segment Editor paints on this volume's voxels; without one it asks.
        proxy.SetNodeReferenceID(proxy.GetReferenceImageGeometryReferenceRole(), volume.GetID())
    browser.SetSaveChanges(output, True)
    update_proxies(browser)
    return browser


def _is_of_transforms(sequence: slicer.vtkMRMLSequenceNode) -> bool:
    return sequence.GetNumberOfDataNodes() > 0 and sequence.GetNthDataNode(0).IsA("vtkMRMLTransformNode")


def _stop_saving(browser: slicer.vtkMRMLSequenceBrowserNode, output: slicer.vtkMRMLSequenceNode) -> None:
    """Let edits of the proxy no longer go into its frame.

    While they do, the proxy and the frame share one vtkSegmentation. Once they do not, Slicer copies the frame into the
    proxy, and a vtkSegmentation that is copied into itself loses its segments: so the frame gets one of its own first.
    """
    if not browser.GetSaveChanges(output):
        return
    proxy = browser.GetProxyNode(output)
    if proxy is not None and proxy.IsA("vtkMRMLSegmentationNode"):
        for number in range(output.GetNumberOfDataNodes()):
            data = output.GetNthDataNode(number)
            if data.GetSegmentation() is proxy.GetSegmentation():
                own = slicer.vtkSegmentation()
                own.DeepCopy(data.GetSegmentation())
                data.SetAndObserveSegmentation(own)
    browser.SetSaveChanges(output, False)


def update_proxies(browser: slicer.vtkMRMLSequenceBrowserNode) -> None:
    """Show the browser's selected item in its proxy nodes now, by the application's sequences logic where there is
    one.
    """
    sequences = getattr(getattr(slicer, "modules", None), "sequences", None)
    if sequences is not None:
        logic = sequences.logic()
    else:
        logic = slicer.vtkSlicerSequencesLogic()
        logic.SetMRMLScene(browser.GetScene())
    logic.UpdateProxyNodesFromSequences(browser)


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


def check_fits_in_scene(what: str, frames: int, needed: int, remedy: str, limit: int | None = None) -> None:
    """Raises InputError when `needed` bytes of results are more than the scene should hold; the message ends in
    `remedy`.

    `limit` in bytes; default half of the machine's memory.
    """
    limit = _half_of_memory() if limit is None else limit
    if needed > limit:
        raise InputError(
            f"{what} of {frames} frames need {needed / 1e9:.3g} GB in the scene, more than the {limit / 1e9:.3g} GB it "
            f"may take; {remedy}"
        )


def by_file(sequence: slicer.vtkMRMLSequenceNode, drawn: slicer.vtkMRMLNode, reference: int) -> str:
    """The command that carries what was drawn through a sequence by file, one frame in memory at a time."""
    option, ending = next((found for kind, *found in _BY_FILE if drawn.IsA(kind)), ("segmentation", ".seg.nrrd"))
    names = []
    for node, end in ((sequence, ".seq.nrrd"), (drawn, ending)):
        storage = node.GetStorageNode()
        name = (storage.GetFileName() if storage is not None else None) or f"{node.GetName()}{end}"
        names.append(f'"{name}"' if " " in name else name)
    return (
        f"slicer-voxelmorph propagate --sequence {names[0]} --{option} {names[1]} --reference-frame {reference} "
        "--output DIR"
    )


#: Of a class of nodes: its option of the command line, and the ending of its file.
_BY_FILE = (("vtkMRMLMarkupsNode", "points", ".mrk.json"), ("vtkMRMLModelNode", "surface", ".vtp"))


def _half_of_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # Windows
        return 8_000_000_000
