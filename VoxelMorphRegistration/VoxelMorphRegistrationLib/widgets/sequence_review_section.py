"""The frames of a propagation, those that need a look first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from ..files import slicer_attributes
from .run_again_section import OnAgain, RunAgainSection
from .steps import Steps
from .words import frame_numbers

if TYPE_CHECKING:
    from ..mrml.review import FrameState

_AT_ONCE_SECONDS = 0.05


class SequenceReviewSection:
    """Leads a person through the frames of one output sequence; `on_reference` and `on_again` ask for further runs."""

    def __init__(self, ui: Any, on_reference: Callable[[FrameState], None], on_again: OnAgain) -> None:
        self._ui, self._on_reference = ui, on_reference
        self._again = RunAgainSection(ui, on_again)
        self._output: slicer.vtkMRMLSequenceNode | None = None
        self._known: list[FrameState] = []
        self._last_shown = -1
        self._looking: Steps | None = None
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
        if output is not self._output:
            self._look_for_edits(output)
        self._output, self._busy = output, busy
        self.update()

    def moved(self) -> None:
        """The browser was moved: of all frames, a person may have edited the one that was shown."""
        if self._output is None:
            return
        from ..mrml.review import state_again

        here = self._shown_number()
        changed = {self._last_shown, here}
        self._known = [state_again(self._output, one) if one.index in changed else one for one in self._known]
        self._last_shown = here
        self._tell()

    def frames_came(self) -> None:
        """Of a run that goes on: say how many there are, and show what is known of the frame that is shown."""
        if self._output is None or self._looking is not None:
            return
        if self._output.GetDataNodeAtValue(self._shown_value()) is not None and self._shown(self._known) is None:
            self.update()
        elif self._busy:
            self._tell_so_far()

    def _tell_so_far(self) -> None:
        assert self._output is not None
        count = self._output.GetNumberOfDataNodes()
        self._say(
            self._ui.resultLabel, _("{count} frames so far. Which need a look is known at the end.").format(count=count)
        )

    def _say(self, label: Any, text: str) -> None:
        label.text, label.visible = text, bool(text)

    def update(self) -> None:
        """Look at all frames, and say what is known of them, and of the one that is shown."""
        self._known, self._last_shown = self._states(), self._shown_number()
        self._tell()

    def _look_for_edits(self, output: slicer.vtkMRMLSequenceNode | None) -> None:
        """Of thousands of frames while the window lives; of few at once."""
        if self._looking is not None:
            self._looking.stop()
            self._looking = None
        if output is None:
            return
        from ..mrml.review import look_for_edits

        frames, end = look_for_edits(output), time.monotonic() + _AT_ONCE_SECONDS
        while time.monotonic() < end:
            if next(frames, None) is None:
                return
        self._looking = Steps(frames, lambda number: None, self._looked, lambda error: self._looked())

    def _looked(self) -> None:
        self._looking = None
        self.update()

    def _tell(self) -> None:
        ui, states = self._ui, self._known
        looked = [state for state in states if state.needs_look]
        shown = self._shown(states)
        if self._busy and states:
            self._tell_so_far()
        elif len(states) == 1 and not looked:
            self._say(ui.resultLabel, _("One frame, not flagged. Look at it in the slice views."))
        elif states and not looked:
            said = _("{count} frames, none of them flagged. Look at the volume curve.")
            self._say(ui.resultLabel, said.format(count=len(states)))
        elif states:
            said = _("{flagged} of {count} frames need a look: {numbers}")
            numbers = frame_numbers([state.index for state in looked])
            self._say(ui.resultLabel, said.format(flagged=len(looked), count=len(states), numbers=numbers))
        else:
            self._say(ui.resultLabel, "" if self._looking is None else _("Looking which frames were edited ..."))
        accepted = sum(state.accepted for state in states)
        edited = sum(state.edited for state in states)
        said = _("{accepted} accepted, {edited} edited by hand.").format(accepted=accepted, edited=edited)
        self._say(ui.numbersLabel, said if accepted or edited else "")
        self._say(ui.frameLabel, "" if shown is None else self._described(shown))
        for button in (ui.previousFlaggedButton, ui.nextFlaggedButton):
            button.enabled = bool(looked)
        ui.acceptButton.enabled = shown is not None
        ui.acceptButton.text = _("Accepted: take back") if shown is not None and shown.accepted else _("Accept")
        self._again.show(states, shown, self._frame_count(), self._busy)
        ui.plotButton.enabled = self._chart() is not None
        proxy = self._proxy()
        is_segmentation = proxy is not None and proxy.IsA("vtkMRMLSegmentationNode")
        is_markups = proxy is not None and proxy.IsA("vtkMRMLMarkupsNode")
        is_drawn = is_segmentation or (proxy is not None and proxy.IsA("vtkMRMLVolumeNode"))
        ui.editButton.text = _("Edit in Markups") if is_markups else _("Edit in Segment Editor")
        ui.editButton.enabled = shown is not None and (is_drawn or is_markups)
        # Points and models belong to one frame.
        ui.referenceButton.enabled = shown is not None and not self._busy and is_drawn
        ui.show3DButton.enabled = is_segmentation
        ui.show3DButton.setSegmentationNode(proxy if is_segmentation else None)

    def _states(self) -> list[FrameState]:
        if self._output is None or self._looking is not None:
            return []
        from ..mrml.review import frame_states

        return frame_states(self._output, by_time=True)

    def _browser(self) -> slicer.vtkMRMLSequenceBrowserNode | None:
        if self._output is None:
            return None
        from ..mrml.browsing import browser_of

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

    def _shown_value(self) -> str:
        """Of the sequence's index; '' where nothing is shown."""
        browser, number = self._browser(), self._shown_number()
        master = None if browser is None else browser.GetMasterSequenceNode()
        return "" if master is None or number < 0 else master.GetNthIndexValue(number)

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
        nothing = _("nothing speaks against it") if self._judged(state.index) else _("finished")
        return said + ("; ".join(marks) or nothing) + "."

    def _judged(self, index: int) -> bool:
        """Whether it is known if the frame needs a look: of a run that goes on, once it has ended."""
        if not self._busy or self._output is None:
            return True
        from ..mrml.tables import flags_of

        return index in flags_of(self._output.GetNodeReference(slicer_attributes.TABLE))

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
        if proxy is not None and proxy.IsA("vtkMRMLMarkupsNode"):
            slicer.app.openNodeModule(proxy)
            return
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
