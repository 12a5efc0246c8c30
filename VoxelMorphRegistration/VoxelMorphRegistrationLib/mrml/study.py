"""Results in the same study of the subject hierarchy as what they were made from."""

from __future__ import annotations

from collections.abc import Iterable

import slicer

from .browsing import browser_of


def put_beside(node: slicer.vtkMRMLNode, results: Iterable[slicer.vtkMRMLNode | None]) -> None:
    """Put results into the study or folder of a node; those that a person has put somewhere stay there.

    A sequence that lies nowhere counts as lying where its volume in the browser does.
    """
    scene = node.GetScene()
    tree = scene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode") if scene is not None else None
    if tree is None:
        return
    top = tree.GetSceneItemID()
    place = _place_of(node, tree)
    if place in (0, top) and node.IsA("vtkMRMLSequenceNode"):
        browser = browser_of(node)
        proxy = None if browser is None else browser.GetProxyNode(node)
        place = 0 if proxy is None else _place_of(proxy, tree)
    if place in (0, top):
        return
    for result in results:
        item = 0 if result is None else tree.GetItemByDataNode(result)
        if item and tree.GetItemParent(item) == top:
            tree.SetItemParent(item, place)


def _place_of(node: slicer.vtkMRMLNode, tree: slicer.vtkMRMLSubjectHierarchyNode) -> int:
    item = tree.GetItemByDataNode(node)
    return tree.GetItemParent(item) if item else 0
