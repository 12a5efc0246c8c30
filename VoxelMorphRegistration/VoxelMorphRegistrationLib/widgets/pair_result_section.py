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
        ui.outlinesButton.connect("clicked(bool)", lambda clicked: self._outlines())
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
        ui.fadeSlider.enabled = ui.transformsButton.enabled = ui.outlinesButton.enabled = there
        ui.hardenButton.enabled = follows
        ui.checkerboardButton.enabled = there and not follows

    def _fade(self, share: float) -> None:
        if self._fixed is not None and self._warped is not None:
            self._uncheck()
            self._compare(self._fixed, self._warped, share)

    def _checkerboard(self) -> None:
        self._uncheck(but=self._ui.checkerboardButton)
        if not self._ui.checkerboardButton.checked:
            self._fade(self._ui.fadeSlider.value)
            return
        from ..mrml.comparison import add_checkerboard

        self._compare(add_checkerboard(self._fixed, self._warped, _("Checkerboard")))

    def _outlines(self) -> None:
        self._uncheck(but=self._ui.outlinesButton)
        if not self._ui.outlinesButton.checked:
            self._fade(self._ui.fadeSlider.value)
            return
        from ..mrml.comparison import add_outlines

        self._compare(self._fixed, labels=add_outlines(self._warped, _("Outlines")))

    def _uncheck(self, but: Any = None) -> None:
        for button in (self._ui.checkerboardButton, self._ui.outlinesButton):
            if button is not but:
                button.checked = False

    def _compare(
        self,
        background: slicer.vtkMRMLNode,
        foreground: slicer.vtkMRMLNode | None = None,
        share: float = 0.0,
        labels: slicer.vtkMRMLNode | None = None,
    ) -> None:
        """Show these in every slice view, label volumes as outlines. Labels that a person shows stay otherwise."""
        ours = slicer.mrmlScene.GetFirstNodeByName(_("Outlines"))
        for view in _nodes("vtkMRMLSliceCompositeNode"):
            view.SetBackgroundVolumeID(background.GetID())
            view.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
            view.SetForegroundOpacity(share)
            if labels is not None:
                view.SetLabelVolumeID(labels.GetID())
            elif ours is not None and view.GetLabelVolumeID() == ours.GetID():
                view.SetLabelVolumeID(None)
        if labels is not None:
            for view in _nodes("vtkMRMLSliceNode"):
                view.SetUseLabelOutline(True)

    def _harden(self) -> None:
        assert self._warped is not None
        self._warped.HardenTransform()
        self._ui.resultLabel.text += "\n" + _("{volume} holds the transform now.").format(volume=self._warped.GetName())
        self._enable()

    def _open_transforms(self) -> None:
        slicer.util.selectModule("Transforms")
        widget = getattr(slicer.modules, "transforms", None)
        if widget is not None:
            widget.widgetRepresentation().setEditedNode(self._transform)


def _nodes(class_name: str) -> list[slicer.vtkMRMLNode]:
    scene = slicer.mrmlScene
    return [scene.GetNthNodeByClass(number, class_name) for number in range(scene.GetNumberOfNodesByClass(class_name))]
