"""Which segments of the segmentation are carried."""

from __future__ import annotations

from typing import Any

import qt
import slicer

from .lists import fit_rows
from .parameters import Parameters


class LabelsSection:
    """A list of the segments with a check mark each; the parameter keeps the ids of those without one."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Parameters | None = None
        self._ids: list[str] = []
        self._filling = False
        ui.segmentsList.connect("itemChanged(QListWidgetItem*)", lambda item: self._changed())

    def show(self, drawn: slicer.vtkMRMLNode | None, parameters: Parameters | None, idle: bool) -> None:
        """Show the segments of what was drawn; a label volume has none to choose from."""
        self._parameters = parameters
        segments = segments_of(drawn)
        left = set() if parameters is None else set(parameters.leftOutSegments)
        box = self._ui.segmentsList
        shown = [(identifier, name, identifier not in left) for identifier, name in segments]
        held = [
            (identifier, box.item(row).text(), box.item(row).checkState() == qt.Qt.Checked)
            for row, identifier in enumerate(self._ids)
        ]
        if shown != held:
            self._filling = True
            box.clear()
            for _, name, carried in shown:
                item = qt.QListWidgetItem(name)
                item.setCheckState(qt.Qt.Checked if carried else qt.Qt.Unchecked)
                box.addItem(item)
            fit_rows(box)
            self._ids = [identifier for identifier, _ in segments]
            self._filling = False
        box.enabled = idle
        if len(segments) < 2:
            box.visible = self._ui.segmentsLabel.visible = False

    def _changed(self) -> None:
        if self._filling or self._parameters is None:
            return
        box = self._ui.segmentsList
        rows = enumerate(self._ids)
        self._parameters.leftOutSegments = [
            identifier for row, identifier in rows if box.item(row).checkState() != qt.Qt.Checked
        ]


def segments_of(node: slicer.vtkMRMLNode | None) -> list[tuple[str, str]]:
    """Ids and names of a segmentation's segments; other nodes have none."""
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        return []
    held = node.GetSegmentation()
    return [(identifier, held.GetSegment(identifier).GetName()) for identifier in held.GetSegmentIDs()]
