"""What came out of a pair: in words, in numbers, and in the slice views."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import slicer
from slicer.i18n import tr as _

from .steps import Steps
from .words import numbers_in_words, sentence, verdict_in_words


class PairResultSection:
    """Shows one result at a time; empty until there is one."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._making: Steps | None = None
        self._said = "", ""
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
        self._uncheck()
        self._transform = self._fixed = self._warped = None
        self._say("", "")
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
        self._say(
            "\n".join([verdict_in_words(report), *map(sentence, report["doubts"]), *notes]),
            "\n".join([numbers_in_words(report), *map(sentence, report["notes"])]),
        )
        self._enable()
        self._fade(self._ui.fadeSlider.value)

    def refresh(self) -> None:
        """Say again what is known of the pair: the other mode says its own in the same place."""
        for label, text in zip((self._ui.resultLabel, self._ui.numbersLabel), self._said):
            label.text, label.visible = text, bool(text)

    def _say(self, result: str, numbers: str) -> None:
        self._said = result, numbers
        self.refresh()

    def _enable(self) -> None:
        there, ui = self._transform is not None, self._ui
        follows = self._follows()
        ui.fadeSlider.enabled = ui.transformsButton.enabled = ui.outlinesButton.enabled = there
        ui.hardenButton.enabled, ui.checkerboardButton.enabled = follows, there

    def _follows(self) -> bool:
        """Whether what is compared is the moving volume, which hangs under the transform."""
        node = self._warped
        while node is not None and node is not self._transform:
            node = node.GetParentTransformNode()
        return node is not None

    def _fade(self, share: float) -> None:
        if self._fixed is not None and self._warped is not None:
            self._uncheck()
            self._compare(self._fixed, self._warped, share)

    def _checkerboard(self) -> None:
        self._uncheck(but=self._ui.checkerboardButton)
        if not self._ui.checkerboardButton.checked:
            self._fade(self._ui.fadeSlider.value)
            return
        from ..mrml.comparison import checkerboard_in_pieces

        through = self._transform if self._follows() else None
        board = checkerboard_in_pieces(self._fixed, self._warped, _("Checkerboard"), through=through)
        self._make(board, self._compare)

    def _outlines(self) -> None:
        self._uncheck(but=self._ui.outlinesButton)
        if not self._ui.outlinesButton.checked:
            self._fade(self._ui.fadeSlider.value)
            return
        from ..mrml.comparison import outlines_in_pieces

        fixed = self._fixed
        self._make(outlines_in_pieces(self._warped, _("Outlines")), lambda made: self._compare(fixed, labels=made))

    def _make(self, pieces: Generator[Any, Any, Any], show: Callable[[Any], None]) -> None:
        """Make a picture while the window lives, and show it unless something else was asked for meanwhile."""

        def finished() -> Generator[Any, Any, None]:
            show((yield from pieces))

        def failed(error: Exception) -> None:
            self._uncheck()
            slicer.util.errorDisplay(str(error), _("VoxelMorph Registration"))

        self._making = Steps(finished(), lambda item: None, lambda: None, failed)

    def _uncheck(self, but: Any = None) -> None:
        if self._making is not None:
            self._making.stop()
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
        result, numbers = self._said
        self._say(f"{result}\n" + _("{volume} holds the transform now.").format(volume=self._warped.GetName()), numbers)
        self._enable()

    def _open_transforms(self) -> None:
        slicer.util.selectModule("Transforms")
        widget = getattr(slicer.modules, "transforms", None)
        if widget is not None:
            widget.widgetRepresentation().setEditedNode(self._transform)


def _nodes(class_name: str) -> list[slicer.vtkMRMLNode]:
    scene = slicer.mrmlScene
    return [scene.GetNthNodeByClass(number, class_name) for number in range(scene.GetNumberOfNodesByClass(class_name))]
