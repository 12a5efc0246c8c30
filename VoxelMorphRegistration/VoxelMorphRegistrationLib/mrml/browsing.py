"""Sequence browsers: which of them show a sequence, and results that browse along with their input."""

from __future__ import annotations

import slicer


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
        if is_of_transforms(output):
            # Shared by proxy and frame: Slicer copies its 100 MB and more otherwise, whenever the browser is moved.
            browser.SetSaveChanges(output, True)
        else:
            # While the proxy is dressed, nothing of it may be saved: a frame that has no item would get one.
            stop_saving(browser, output)
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


def is_of_transforms(sequence: slicer.vtkMRMLSequenceNode) -> bool:
    """Whether a sequence holds transforms; not of one that holds nothing yet."""
    return sequence.GetNumberOfDataNodes() > 0 and sequence.GetNthDataNode(0).IsA("vtkMRMLTransformNode")


def stop_saving(browser: slicer.vtkMRMLSequenceBrowserNode, output: slicer.vtkMRMLSequenceNode) -> None:
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
