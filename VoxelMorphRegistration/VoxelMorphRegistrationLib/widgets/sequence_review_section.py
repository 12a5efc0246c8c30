"""The frames of a propagation, those that need a look first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from ..files import slicer_attributes
from .run_again_section import OnAgain, RunAgainSection
from .words import frame_numbers

if TYPE_CHECKING:
    from ..mrml.review import FrameState


class SequenceReviewSection:
    """Leads a person through the frames of one output sequence; `on_reference` and `on_again` ask for further runs."""

    def __init__(self, ui: Any, on_reference: Callable[[FrameState], None], on_again: OnAgain) -> None:
        self._ui, self._on_reference = ui, on_reference
        self._again = RunAgainSection(ui, on_again)
        self._output: slicer.vtkMRMLSequenceNode | None = None
        self._busy = False
        self._plot_views: list[Any] = []
        ui.previousFlaggedButton.connect("clicked(bool)", lambda clicked: self._go(-1))
        ui.nextFlaggedButton.connect("clicked(bool)", lambda clicked: self._go(1))
        ui.acceptButton.connect("clicked(bool)", lambda clicked: self._accept())
        ui.editButton.connect("clicked(bool)", lambda clicked: self._edit())
        ui.referenceButton.connect("clicked(bool)", lambda clicked: self._reference())
        ui.plotButton.connect("clicked(bool)", lambda clicked: self._plot())

    @property
    def output(self) -> slicer.vtkMRMLSequenceNode | None:
        return self._output

    def show(self, output: slicer.vtkMRMLSequenceNode | None, busy: bool = False) -> None:
        """`busy`: a run works on it, so that no other can be asked for."""
        self._output, self._busy = output, busy
        self.update()

    def update(self) -> None:
        """Say what is known of the frames, and of the one that is shown."""
        ui, states = self._ui, self._states()
        looked = [state for state in states if state.needs_look]
        shown = self._shown(states)
        if len(states) == 1 and not looked:
            ui.resultLabel.text = _("One frame, not flagged. Look at it in the slice views.")
        elif states and not looked:
            ui.resultLabel.text = _("{count} frames, none of them flagged. Look at the volume curve.").format(
                count=len(states)
            )
        elif states:
            ui.resultLabel.text = _("{flagged} of {count} frames need a look: {numbers}").format(
                flagged=len(looked), count=len(states), numbers=frame_numbers([state.index for state in looked])
            )
        else:
            ui.resultLabel.text = ""
        accepted = sum(state.accepted for state in states)
        edited = sum(state.edited for state in states)
        ui.numbersLabel.text = (
            _("{accepted} accepted, {edited} edited by hand.").format(accepted=accepted, edited=edited)
            if states
            else ""
        )
        ui.frameLabel.text = "" if shown is None else self._described(shown)
        for button in (ui.previousFlaggedButton, ui.nextFlaggedButton):
            button.enabled = bool(looked)
        ui.acceptButton.enabled = ui.editButton.enabled = shown is not None
        ui.acceptButton.text = _("Accepted: take back") if shown is not None and shown.accepted else _("Accept")
        ui.referenceButton.enabled = shown is not None and not self._busy
        self._again.show(states, shown, self._frame_count(), self._busy)
        ui.plotButton.enabled = self._chart() is not None
        proxy = self._proxy()
        is_segmentation = proxy is not None and proxy.IsA("vtkMRMLSegmentationNode")
        ui.show3DButton.enabled = is_segmentation
        ui.show3DButton.setSegmentationNode(proxy if is_segmentation else None)

    def _states(self) -> list[FrameState]:
        if self._output is None:
            return []
        from ..mrml.review import frame_states

        return frame_states(self._output)

    def _browser(self) -> slicer.vtkMRMLSequenceBrowserNode | None:
        if self._output is None:
            return None
        from ..mrml.sequences import browser_of

        return browser_of(self._output)

    def _proxy(self) -> slicer.vtkMRMLNode | None:
        browser = self._browser()
        return None if browser is None else browser.GetProxyNode(self._output)

    def _chart(self) -> slicer.vtkMRMLPlotChartNode | None:
        return None if self._output is None else self._output.GetNodeReference(slicer_attributes.PLOT)

    def _frame_count(self) -> int:
        """Of the sequence, finished or not."""
        browser = self._browser()
        return 0 if browser is None else browser.GetNumberOfItems()

    def _shown_number(self) -> int:
        browser = self._browser()
        return -1 if browser is None else browser.GetSelectedItemNumber()

    def _shown(self, states: list[FrameState]) -> FrameState | None:
        number = self._shown_number()
        return next((state for state in states if state.index == number), None)

    def _described(self, state: FrameState) -> str:
        said = _("Frame {index}: ").format(index=state.index)
        if state.status == "reference":
            return said + _("drawn on.")
        marks = [_("accepted")] if state.accepted else []
        marks += [_("edited by hand")] if state.edited else []
        marks += [state.reasons] if state.reasons else []
        return said + ("; ".join(marks) or _("nothing speaks against it")) + "."

    def _go(self, way: int) -> None:
        """Show the nearest flagged frame before or after the one that is shown; past the last one, the first."""
        looked = [state.index for state in self._states() if state.needs_look]
        browser, here = self._browser(), self._shown_number()
        if not looked or browser is None:
            return
        if way > 0:
            browser.SetSelectedItemNumber(next((index for index in looked if index > here), looked[0]))
        else:
            browser.SetSelectedItemNumber(next((index for index in reversed(looked) if index < here), looked[-1]))
        self.update()

    def _accept(self) -> None:
        from ..mrml.review import accept

        shown = self._shown(self._states())
        if shown is not None and self._output is not None:
            accept(self._output, shown.value, not shown.accepted)
            self.update()

    def _edit(self) -> None:
        browser, proxy = self._browser(), self._proxy()
        module = getattr(slicer.modules, "segmenteditor", None)
        if browser is None or proxy is None or module is None:
            return
        slicer.util.selectModule("SegmentEditor")
        editor = module.widgetRepresentation().self().editor
        editor.setSegmentationNode(proxy)
        editor.setSourceVolumeNode(browser.GetProxyNode(browser.GetMasterSequenceNode()))

    def _reference(self) -> None:
        shown = self._shown(self._states())
        if shown is not None:
            self._on_reference(shown)

    def _plot(self) -> None:
        chart = self._chart()
        manager = slicer.app.layoutManager() if hasattr(slicer.app, "layoutManager") else None
        if chart is None or manager is None:
            return
        layouts = slicer.modules.plots.logic()
        manager.setLayout(layouts.GetLayoutWithPlot(manager.layout))
        layouts.ShowChartInLayout(chart)
        for number in range(manager.plotViewCount):
            view = manager.plotWidget(number).plotView()
            if view not in self._plot_views:
                self._plot_views.append(view)
                view.connect("dataSelected(vtkStringArray*,vtkCollection*)", self._point_clicked)

    def _point_clicked(self, series_ids: vtk.vtkStringArray, points: vtk.vtkCollection) -> None:
        """Show the frame of a point of the volume curve."""
        chart, browser = self._chart(), self._browser()
        if chart is None or browser is None or self._output is None:
            return
        table = self._output.GetNodeReference(slicer_attributes.TABLE)
        for number in range(series_ids.GetNumberOfValues()):
            chosen = points.GetItemAsObject(number)
            if chosen.GetNumberOfValues() and chart.HasPlotSeriesNodeID(series_ids.GetValue(number)):
                frames = table.GetTable().GetColumnByName("index")
                browser.SetSelectedItemNumber(int(frames.GetValue(chosen.GetValue(0))))
                self.update()
                return
