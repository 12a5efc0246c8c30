"""The frame of a sequence that its browser shows."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
import vtk

from ..errors import InputError


class ShownFrame:
    """Follows the browser of a sequence; of a sequence whose frames stay on disk it has the shown one read.

    `changed` is called when the browser was moved, `say` with a line when a frame cannot be read.
    """

    def __init__(self, changed: Callable[[], None], say: Callable[[str], None]) -> None:
        self._changed, self._say = changed, say
        self._sequence: slicer.vtkMRMLSequenceNode | None = None
        self._observed: list[tuple[slicer.vtkMRMLNode, int]] = []
        self._reads = False
        self._unreadable = -1

    @property
    def number(self) -> int:
        """Of the frame, 0 where there is no browser."""
        browser = self._browser()
        return 0 if browser is None else max(0, browser.GetSelectedItemNumber())

    def follow(self, sequence: slicer.vtkMRMLSequenceNode | None) -> None:
        """Follow this sequence and no other; None for none."""
        self._sequence = sequence
        browser = self._browser()
        nodes = [browser] if browser is not None else []
        if browser is not None and self._on_disk():
            nodes.append(browser.GetProxyNode(sequence))
        if [node for node, tag in self._observed] == nodes:
            return
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = [
            (node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *event: self._moved())) for node in nodes
        ]
        self._unreadable = -1
        self._read_soon()

    def _browser(self) -> slicer.vtkMRMLSequenceBrowserNode | None:
        if self._sequence is None:
            return None
        from ..mrml.browsing import browser_of

        return browser_of(self._sequence)

    def _on_disk(self) -> bool:
        from ..mrml.disk_sequences import source_of

        return source_of(self._sequence) is not None

    def _moved(self) -> None:
        self._changed()
        self._read_soon()

    def _read_soon(self) -> None:
        """In a turn of the event loop of its own, since the browser still works on its nodes."""
        if not self._reads and self._lacks_voxels():
            self._reads = True
            qt.QTimer.singleShot(0, self._read)

    def _lacks_voxels(self) -> bool:
        if self._sequence is None or not self._on_disk() or self.number == self._unreadable:
            return False
        from ..mrml.disk_sequences import lacks_voxels

        return lacks_voxels(self._sequence)

    def _read(self) -> None:
        self._reads = False
        if self._sequence is None or not self._lacks_voxels():
            return
        from ..mrml.disk_sequences import show_frame

        number = self.number
        try:
            show_frame(self._sequence)
        except InputError as error:
            self._unreadable = number
            self._say(str(error))
