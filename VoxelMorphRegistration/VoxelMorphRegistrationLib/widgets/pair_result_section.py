"""What came out of a pair: in words, in numbers, and in the slice views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer
from slicer.i18n import tr as _

from .words import numbers_in_words, verdict_in_words


class PairResultSection:
    """Shows one result at a time; empty until there is one."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._transform: slicer.vtkMRMLTransformNode | None = None
        self._fixed: slicer.vtkMRMLVolumeNode | None = None
        self._warped: slicer.vtkMRMLVolumeNode | None = None
        ui.fadeSlider.connect("valueChanged(double)", self._fade)
        ui.checkerboardButton.connect("clicked(bool)", lambda clicked: self._checkerboard())
        ui.hardenButton.connect("clicked(bool)", lambda clicked: self._harden())
        ui.transformsButton.connect("clicked(bool)", lambda clicked: self._open_transforms())
        self.clear()

    def clear(self) -> None:
        self._transform = self._fixed = self._warped = None
        for label in (self._ui.resultLabel, self._ui.numbersLabel):
            label.text = ""
        self._enable()

    def show(
        self,
        transform: slicer.vtkMRMLTransformNode,
        fixed: slicer.vtkMRMLVolumeNode,
        warped: slicer.vtkMRMLVolumeNode,
        report: Mapping[str, Any],
        notes: list[str],
    ) -> None:
        """`warped`: the output volume, or the moving volume that follows the transform."""
        self._transform, self._fixed, self._warped = transform, fixed, warped
        self._ui.resultLabel.text = "\n".join([verdict_in_words(report), *report["doubts"], *notes])
        self._ui.numbersLabel.text = "\n".join([numbers_in_words(report), *report["notes"]])
        self._enable()
        self._fade(self._ui.fadeSlider.value)

    def _enable(self) -> None:
        there, ui = self._transform is not None, self._ui
        follows = there and self._warped is not None and self._warped.GetParentTransformNode() is not None
        ui.fadeSlider.enabled = ui.transformsButton.enabled = there
        ui.hardenButton.enabled = follows
        ui.checkerboardButton.enabled = there and not follows

    def _fade(self, share: float) -> None:
        if self._fixed is None or self._warped is None:
            return
        scene = slicer.mrmlScene
        for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
            view = scene.GetNthNodeByClass(number, "vtkMRMLSliceCompositeNode")
            view.SetBackgroundVolumeID(self._fixed.GetID())
            view.SetForegroundVolumeID(self._warped.GetID())
            view.SetForegroundOpacity(share)

    def _checkerboard(self) -> None:
        from ..mrml.volumes import add_checkerboard

        board = add_checkerboard(self._fixed, self._warped, _("Checkerboard"))
        scene = slicer.mrmlScene
        for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
            view = scene.GetNthNodeByClass(number, "vtkMRMLSliceCompositeNode")
            view.SetBackgroundVolumeID(board.GetID())
            view.SetForegroundVolumeID(None)

    def _harden(self) -> None:
        assert self._warped is not None
        self._warped.HardenTransform()
        self._enable()

    def _open_transforms(self) -> None:
        slicer.util.selectModule("Transforms")
        widget = getattr(slicer.modules, "transforms", None)
        if widget is not None:
            widget.widgetRepresentation().setEditedNode(self._transform)
