"""Frames that were drawn on besides the first: each with a segmentation of its own, or as the result holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from .lists import fit_rows
from .parameters import Parameters


class ReferencesSection:
    """A list that a person adds the frame shown to, with the segmentation that is chosen beside it."""

    def __init__(self, ui: Any, shown: Callable[[], int]) -> None:
        """`shown`: asks for the number of the frame that the browser shows."""
        self._ui, self._shown = ui, shown
        self._parameters: Parameters | None = None
        self._frames: list[int] = []
        ui.addReferenceButton.connect("clicked(bool)", lambda clicked: self._add())
        ui.removeReferenceButton.connect("clicked(bool)", lambda clicked: self._remove())
        ui.furtherSegmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self._enable())
        ui.referencesList.connect("currentRowChanged(int)", lambda row: self._enable())

    def show(self, parameters: Parameters | None, idle: bool) -> None:
        self._parameters = parameters
        further = {} if parameters is None else parameters.further_references()
        said = []
        for frame, node in sorted(further.items()):
            of = _("as the result has it") if node is None else node.GetName()
            said.append(_("Frame {frame}: {segmentation}").format(frame=frame, segmentation=of))
        box, self._frames = self._ui.referencesList, sorted(further)
        if [box.item(row).text() for row in range(box.count)] != said:
            box.clear()
            for line in said:
                box.addItem(line)
            fit_rows(box)
        box.visible = bool(said)
        self._ui.referencesBox.enabled = idle
        self._enable()

    def _enable(self) -> None:
        ui = self._ui
        ui.addReferenceButton.enabled = ui.furtherSegmentationSelector.currentNode() is not None
        ui.removeReferenceButton.enabled = 0 <= ui.referencesList.currentRow < len(self._frames)

    def _add(self) -> None:
        node = self._ui.furtherSegmentationSelector.currentNode()
        if self._parameters is not None and node is not None:
            frame = self._shown()
            if frame == self._parameters.referenceFrame:
                self._parameters.segmentation = node
            else:
                self._parameters.set_further_references({**self._parameters.further_references(), frame: node})

    def _remove(self) -> None:
        row = self._ui.referencesList.currentRow
        if self._parameters is not None and 0 <= row < len(self._frames):
            further = self._parameters.further_references()
            del further[self._frames[row]]
            self._parameters.set_further_references(further)
