"""The panel: what is chosen, what runs, and what came out of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from ..errors import DependencyMissing, InputError
from . import chosen_nodes
from .installer import ensure_installed
from .job import JobEnd
from .pair_job import PairJob
from .pair_result_section import PairResultSection
from .parameters import Mode, Parameters
from .run_folder_section import NOT_SET, RunFolderSection, proposed_folder
from .sequence_job import SequenceJob
from .sequence_review_section import SequenceReviewSection
from .words import duration
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from ..mrml.review import FrameState


class Panel:
    """Connects the widgets of the .ui file with the parameters, the worker and the sections that show results."""

    def __init__(self, ui: Any, worker: WorkerProcess | None = None) -> None:
        self._ui = ui
        self._worker = worker or WorkerProcess()
        self._parameters: Any = None  # Parameters, with what Slicer's wrapper gives them besides
        self._connection: Any = None
        self._observation: Any = None
        self._job: PairJob | SequenceJob | None = None
        self._cancelling = False
        self._browser_observation: tuple[slicer.vtkMRMLNode, int] | None = None
        self._result = PairResultSection(ui)
        self._review = SequenceReviewSection(ui, self._add_reference, self._run_again)
        self._folder = RunFolderSection(ui, self.update)
        ui.applyButton.connect("clicked(bool)", lambda clicked: self._apply_or_cancel())
        ui.tryButton.connect("clicked(bool)", lambda clicked: self._try())
        ui.useShownFrameButton.connect("clicked(bool)", lambda clicked: self._use_shown_frame())
        ui.progressBar.visible = False

    @property
    def parameters(self) -> Parameters | None:
        return self._parameters

    @property
    def running(self) -> bool:
        return self._job is not None

    def set_parameters(self, parameters: Parameters | None) -> None:
        """Show and keep the choices in this parameter node's wrapper; None while there is no scene."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._connection)
            self._parameters.RemoveObserver(self._observation)
        self._parameters = parameters
        if parameters is not None:
            self._connection = self._parameters.connectGui(self._ui)
            self._observation = self._parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *event: self.update())
            if parameters.fixedVolume is None and parameters.movingVolume is None:
                chosen_nodes.propose_volumes(parameters)
        self.update()

    def preload(self) -> None:
        """Import, while the panel opens, what Apply would otherwise wait for; torch is the worker's alone."""
        try:
            from ..mrml import live_run, registration  # noqa: F401
        except ImportError as error:
            logging.info("VoxelMorph: %s", error)  # Apply asks whether to install it.

    def scene_closes(self) -> None:
        """Nothing of what runs may come into the next scene."""
        if self._job is not None:
            self._job.forget()
        self._job, self._cancelling = None, False
        self._observe_browser(None)
        self._review.show(None)
        self._result.clear()
        self.set_parameters(None)
        self._say("")

    def stop(self) -> None:
        """The window closes: end the worker."""
        if self._job is not None:
            self._job.forget()
            self._job = None
        self._observe_browser(None)
        self._worker.stop()
        self.set_parameters(None)

    def update(self) -> None:
        """Show what the choices call for, and what can be done with them."""
        parameters, ui = self._parameters, self._ui
        is_pair = parameters is None or parameters.mode is Mode.PAIR
        for widget in (ui.pairInputs, ui.pairOutputs, ui.pairResult, ui.fullTransformCheckBox, ui.fullTransformLabel):
            widget.visible = is_pair
        for widget in (
            *(ui.sequenceInputs, ui.sequenceOutputs, ui.sequenceResult, ui.tryButton, ui.strategySelector),
            *(ui.strategyLabel, ui.saveTransformsCheckBox, ui.saveTransformsLabel, ui.pointsSelector, ui.pointsLabel),
            *(ui.surfaceSelector, ui.surfaceLabel),
        ):
            widget.visible = not is_pair
        lacking = self._lacking()
        ui.tryButton.enabled = not lacking and self._job is None
        ui.modeSelector.enabled = ui.inputsSection.enabled = ui.outputsSection.enabled = self._job is None
        if self._job is None:
            ui.applyButton.text = _("Apply")
            ui.applyButton.enabled = not lacking
            ui.applyButton.toolTip = lacking or (_("Register") if is_pair else _("Propagate; finished frames are kept"))
        else:
            ui.applyButton.text = _("Cancelling ...") if self._cancelling else _("Cancel")
            ui.applyButton.enabled = not self._cancelling
            ui.applyButton.toolTip = _("Ends the run; finished frames stay, and Apply goes on from there")
        if not is_pair:
            self._folder.show(parameters, self._job is not None)
            output = parameters.outputSequence if parameters is not None else None
            self._observe_browser(output)
            self._review.show(output, self._job is not None)

    def _lacking(self) -> str:
        """What must be chosen before Apply, '' when nothing."""
        parameters = self._parameters
        if parameters is None:
            return _("There is no scene")
        if parameters.mode is Mode.PAIR:
            fixed, moving = parameters.fixedVolume, parameters.movingVolume
            return (
                ""
                if fixed is not None and moving is not None and fixed is not moving
                else _("Choose two different volumes")
            )
        if parameters.sequence is None:
            return _("Choose a sequence of volumes")
        if parameters.segmentation is None and parameters.points is None and parameters.surface is None:
            return _("Choose the segmentation that was drawn on one frame")
        return ""

    # Running

    def _apply_or_cancel(self) -> None:
        if self._job is not None:
            self._cancelling = True
            self.update()
            self._job.cancel()
        elif self._parameters is not None and self._parameters.mode is Mode.PAIR:
            self._begin(self._pair_job)
        else:
            self._begin(lambda: self._sequence_job(None))

    def _try(self) -> None:
        frame = self._shown_frame()
        self._begin(lambda: self._sequence_job([frame]))

    def _begin(self, make: Any) -> None:
        """Start a job, or say why it cannot be started."""
        try:
            if not ensure_installed(self._say):
                return
            self._progress(None, _("Starting ..."))
            self._job = make()
        except (InputError, DependencyMissing) as error:
            self._fail(str(error), "")
        self.update()

    def _pair_job(self) -> PairJob:
        parameters = self._parameters
        assert parameters is not None
        self._result.clear()
        nodes = chosen_nodes.pair(parameters)
        options = parameters.registration_options()
        options += ["--transform-spacing", "full" if parameters.fullTransform else "auto"]
        return PairJob(self._worker, nodes, options, self._progress, lambda end: self._pair_ended(nodes, end))

    def _pair_ended(self, nodes: Any, end: JobEnd) -> None:
        from ..mrml.transforms import hang_under

        self._ended(end)
        if end.status != "done" or self._parameters is None:
            return
        transform, notes = end.facts["transform"], []
        self._parameters.outputTransform = transform
        if nodes.warped_volume is None:
            try:
                hang_under(nodes.moving, transform)
            except InputError as error:
                notes.append(_("The transform was made and not applied: {reason}").format(reason=error))
        shown = nodes.warped_volume or nodes.moving
        self._result.show(transform, nodes.fixed, shown, end.facts["report"], notes)
        chosen_nodes.put_beside(nodes.moving, [node for node in (transform, nodes.warped_volume) if node is not None])

    def _sequence_job(self, frames: Sequence[int] | None, overwrite: bool = False) -> SequenceJob:
        parameters = self._parameters
        assert parameters is not None
        prepared = chosen_nodes.sequence(parameters)
        if parameters.runFolder == NOT_SET:
            parameters.runFolder = proposed_folder(prepared.drawn.node.GetName())
        options = parameters.registration_options() + parameters.propagation_options()
        options += ["--overwrite"] if overwrite else []
        return SequenceJob(
            self._worker,
            prepared,
            parameters.runFolder,
            options,
            frames,
            self._progress_of_sequence,
            lambda end: self._sequence_ended(frames, len(prepared.frames), end),
        )

    def _sequence_ended(self, frames: Sequence[int] | None, count: int, end: JobEnd) -> None:
        parameters = self._parameters
        if parameters is not None and end.facts.get("output") is not None:
            parameters.outputSequence = end.facts["output"]
            chosen_nodes.put_beside(parameters.sequence, [end.facts["output"]])
        if end.status == "failed" and "holds a run with other settings" in end.message:
            self._ended(JobEnd("cancelled"))
            self._offer_overwrite(frames, end.message)
            return
        self._ended(end)
        if end.status == "done" and frames is not None and len(frames) == 1 and end.facts["frames"]:
            seconds = end.facts["seconds"]
            self._say(
                _("This frame took {one}; all {count} take about {all}.").format(
                    one=duration(seconds), count=count, all=duration(seconds * count)
                )
            )

    def _offer_overwrite(self, frames: Sequence[int] | None, message: str) -> None:
        question = _(
            "The run folder holds frames that were made with other settings. Make them anew? Frames that you edited or "
            "accepted stay as they are in the scene."
        )
        if slicer.util.confirmYesNoDisplay(question, _("VoxelMorph Registration"), detailedText=message):
            self._begin(lambda: self._sequence_job(frames, overwrite=True))

    def _add_reference(self, shown: FrameState) -> None:
        """Make a frame a reference too, and redo those nearer to it than to another, but for a person's own."""
        from ..mrml.review import frame_states

        parameters = self._parameters
        if parameters is None or self._review.output is None:
            return
        others = [frame for frame in parameters.references() if frame != shown.index]
        parameters.furtherReferences = [frame for frame in (*others, shown.index) if frame != parameters.referenceFrame]
        kept = {state.index for state in frame_states(self._review.output) if state.accepted or state.edited}
        count = parameters.sequence.GetNumberOfDataNodes()
        nearer = chosen_nodes.nearer_frames(shown.index, others, kept, count)
        if nearer:
            self._begin(lambda: self._sequence_job(nearer, overwrite=True))

    def _run_again(self, frames: list[int]) -> None:
        self._begin(lambda: self._sequence_job(frames, overwrite=True))

    def _ended(self, end: JobEnd) -> None:
        self._job, self._cancelling = None, False
        self._ui.progressBar.visible = False
        if end.status == "failed":
            self._fail(end.message, end.details)
        elif end.status == "cancelled":
            self._say(_("Cancelled. Finished frames stay; Apply goes on from there."))
        else:
            self._say(_("Done."))
        self.update()

    def _fail(self, message: str, details: str) -> None:
        self._ui.progressBar.visible = False
        self._say(message)
        slicer.util.errorDisplay(message, _("VoxelMorph Registration"), detailedText=details)

    def _progress_of_sequence(self, share: float | None, text: str) -> None:
        self._progress(share, text)
        parameters, output = self._parameters, self._job.output if isinstance(self._job, SequenceJob) else None
        if parameters is not None and output is not None and parameters.outputSequence is not output:
            # At once, and not when the run ends: a scene that is saved meanwhile knows its output.
            parameters.outputSequence = output

    def _progress(self, share: float | None, text: str) -> None:
        bar = self._ui.progressBar
        bar.visible = True
        bar.maximum = 0 if share is None else 1000
        bar.value = 0 if share is None else round(1000 * share)
        if not self._cancelling:
            self._say(text)

    def _say(self, text: str) -> None:
        self._ui.statusLabel.text = text

    # Frames and the run folder

    def _browser(self) -> slicer.vtkMRMLSequenceBrowserNode | None:
        if self._parameters is None or self._parameters.sequence is None:
            return None
        from ..mrml.sequences import browser_of

        return browser_of(self._parameters.sequence)

    def _shown_frame(self) -> int:
        browser = self._browser()
        return 0 if browser is None else max(0, browser.GetSelectedItemNumber())

    def _use_shown_frame(self) -> None:
        if self._parameters is not None:
            self._parameters.referenceFrame = self._shown_frame()

    def _observe_browser(self, output: slicer.vtkMRMLSequenceNode | None) -> None:
        """Follow the frame that the browser shows while its output is reviewed."""
        browser = None if output is None else self._browser()
        if self._browser_observation is not None:
            node, tag = self._browser_observation
            if node is browser:
                return
            node.RemoveObserver(tag)
            self._browser_observation = None
        if browser is not None:
            tag = browser.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *event: self._review.update())
            self._browser_observation = (browser, tag)


def preload_soon(panel: Panel) -> None:
    """Import in the next turn of the event loop, so that the panel is drawn first."""
    qt.QTimer.singleShot(0, panel.preload)
