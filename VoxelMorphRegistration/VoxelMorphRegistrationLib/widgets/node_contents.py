"""Frames and segments that chosen nodes get or lose while the panel is open."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
import vtk

from .labels_section import segments_of


class NodeContents:
    """Follows sequences and segmentations; `changed` is called in the next turn of the event loop after one of them got
    or lost frames or segments, once for all of that turn: a sequence gets thousands of frames one by one.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._observed: list[tuple[slicer.vtkMRMLNode, list[int]]] = []
        self._known: list[object] = []
        self._waits = False

    def follow(self, *nodes: slicer.vtkMRMLNode | None) -> None:
        """Follow these nodes and no others, as they are now; None stands for a node that is not chosen."""
        chosen = [node for node in nodes if node is not None]
        if [node for node, tags in self._observed] != chosen:
            for node, tags in self._observed:
                for tag in tags:
                    node.RemoveObserver(tag)
            self._observed = [(node, self._observe(node)) for node in chosen]
        self._known = self._contents()

    def _observe(self, node: slicer.vtkMRMLNode) -> list[int]:
        events = [vtk.vtkCommand.ModifiedEvent]
        if node.IsA("vtkMRMLSegmentationNode"):
            kinds = slicer.vtkSegmentation
            events += [kinds.SegmentAdded, kinds.SegmentRemoved, kinds.SegmentModified, kinds.SegmentsOrderModified]
        return [node.AddObserver(event, lambda *event: self._modified()) for event in events]

    def _contents(self) -> list[object]:
        return [_contents_of(node) for node, tags in self._observed]

    def _modified(self) -> None:
        if not self._waits and self._contents() != self._known:
            self._waits = True
            qt.QTimer.singleShot(0, self._tell)

    def _tell(self) -> None:
        self._waits = False
        # Nobody asks any more where other nodes were chosen, or the window was closed, since.
        if self._contents() != self._known:
            self._changed()


def _contents_of(node: slicer.vtkMRMLNode) -> object:
    return node.GetNumberOfDataNodes() if node.IsA("vtkMRMLSequenceNode") else segments_of(node)
