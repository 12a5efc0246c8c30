"""The panel: what is chosen, what runs, and what came out of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from ..errors import InputError
from . import chosen_nodes
from .disk_input_section import DiskInputSection
from .export_section import ExportSection
from .installer import private_packages
from .job import JobEnd
from .job_runner import JobRunner
from .network_section import NetworkSection
from .pair_job import PairJob
from .pair_result_section import PairResultSection
from .parameters import Mode, Parameters
from .preset_section import PresetSection
from .run_folder_section import NOT_SET, RunFolderSection, proposed_folder
from .sequence_job import SequenceJob
from .sequence_review_section import SequenceReviewSection
from .shown_frame import ShownFrame
from .words import duration
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from ..mrml.review import FrameState


class Panel:
    """Connects the widgets of the .ui file with the parameters, the worker and the sections that show results."""

    def __init__(self, ui: Any, worker: WorkerProcess | None = None) -> None:
        self._ui = ui
        self._worker = worker or WorkerProcess(packages=private_packages)
        self._parameters: Any = None  # Parameters, with what Slicer's wrapper gives them besides
        self._connection: Any = None
        self._observation: Any = None
        self._runs = JobRunner(ui, lambda: self._worker, self.update)
        self._preset = PresetSection(ui)
        self._result = PairResultSection(ui)
        self._review = SequenceReviewSection(ui, self._add_reference, self._run_again)
        self._export = ExportSection(ui, self._runs.progress)
        self._folder = RunFolderSection(ui, self.update)
        self._disk = DiskInputSection(ui, self._choose_sequence)
        self._network = NetworkSection(ui, lambda: self._worker, self._runs.ready, self._runs.progress)
        self._shown = ShownFrame(self._frame_changed, self._runs.say)
        ui.applyButton.connect("clicked(bool)", lambda clicked: self._apply_or_cancel())
        ui.tryButton.connect("clicked(bool)", lambda clicked: self._try())
        ui.useShownFrameButton.connect("clicked(bool)", lambda clicked: self._use_shown_frame())
        ui.useSequenceButton.connect("clicked(bool)", lambda clicked: self._use_sequence())

    @property
    def parameters(self) -> Parameters | None:
        return self._parameters

    @property
    def running(self) -> bool:
        return self._runs.running

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
        self._runs.forget()
        self._export.stop()
        self._shown.follow(None)
        self._review.show(None)
        self._result.clear()
        self.set_parameters(None)
        self._runs.say("")

    def stop(self) -> None:
        """The window closes: end the worker."""
        self._runs.forget()
        self._export.stop()
        self._shown.follow(None)
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
        lacking, idle = self._lacking(), not self.running
        ui.tryButton.enabled = not lacking and idle
        for section in (ui.modeSelector, ui.inputsSection, ui.presetRow, ui.outputsSection):
            section.enabled = idle
        if idle:
            ui.applyButton.text = _("Apply")
            ui.applyButton.enabled = not lacking
            ui.applyButton.toolTip = lacking or (_("Register") if is_pair else _("Propagate; finished frames are kept"))
        else:
            ui.applyButton.text = _("Cancelling ...") if self._runs.cancelling else _("Cancel")
            ui.applyButton.enabled = not self._runs.cancelling
            ui.applyButton.toolTip = _("Ends the run; finished frames stay, and Apply goes on from there")
        self._preset.show(parameters)
        self._network.show(parameters)
        if is_pair:
            self._offer_sequence()
            self._shown.follow(None)
            return
        ui.maskMarginSpinBox.enabled = parameters.region is None
        self._folder.show(parameters, self.running)
        self._shown.follow(parameters.sequence)
        self._review.show(parameters.outputSequence, self.running)
        self._export.show(parameters.outputSequence)

    def _lacking(self) -> str:
        """What must be chosen before Apply, '' when nothing."""
        parameters = self._parameters
        if parameters is None:
            return _("There is no scene")
        if parameters.mode is Mode.PAIR:
            fixed, moving = parameters.fixedVolume, parameters.movingVolume
            there = fixed is not None and moving is not None and fixed is not moving
            return "" if there else _("Choose two different volumes")
        if parameters.sequence is None:
            return _("Choose a sequence of volumes")
        if parameters.segmentation is None and parameters.points is None and parameters.surface is None:
            return _("Choose the segmentation that was drawn on one frame")
        return ""

    # Running

    def _apply_or_cancel(self) -> None:
        if self.running:
            self._runs.cancel()
        elif self._parameters is not None and self._parameters.mode is Mode.PAIR:
            self._runs.begin(self._pair_job)
        else:
            self._runs.begin(lambda: self._sequence_job(None))

    def _try(self) -> None:
        frame = self._shown.number
        self._runs.begin(lambda: self._sequence_job([frame]))

    def _pair_job(self) -> PairJob:
        parameters = self._parameters
        assert parameters is not None
        self._result.clear()
        nodes = chosen_nodes.pair(parameters)
        options = parameters.registration_options()
        options += ["--transform-spacing", "full" if parameters.fullTransform else "auto"]
        return PairJob(self._worker, nodes, options, self._runs.progress, lambda end: self._pair_ended(nodes, end))

    def _pair_ended(self, nodes: Any, end: JobEnd) -> None:
        from ..mrml.transforms import hang_under

        self._runs.ended(end)
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
            self._runs.ended(JobEnd("cancelled"))
            self._offer_overwrite(frames, end.message)
            return
        self._runs.ended(end)
        if end.status == "done" and frames is not None and len(frames) == 1 and end.facts["frames"]:
            seconds = end.facts["seconds"]
            self._runs.say(
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
            self._runs.begin(lambda: self._sequence_job(frames, overwrite=True))

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
            self._runs.begin(lambda: self._sequence_job(nearer, overwrite=True))

    def _run_again(self, frames: list[int]) -> None:
        self._runs.begin(lambda: self._sequence_job(frames, overwrite=True))

    def _progress_of_sequence(self, share: float | None, text: str) -> None:
        self._runs.progress(share, text)
        parameters, job = self._parameters, self._runs.job
        output = job.output if isinstance(job, SequenceJob) else None
        if parameters is not None and output is not None and parameters.outputSequence is not output:
            # At once, and not when the run ends: a scene that is saved meanwhile knows its output.
            parameters.outputSequence = output

    # Sequences and their frames

    def _offer_sequence(self) -> None:
        """Offer the whole sequence where one of its frames was chosen for a pair."""
        parameters, button = self._parameters, self._ui.useSequenceButton
        sequence = None if parameters is None else chosen_nodes.sequence_of_pair(parameters)
        button.visible = sequence is not None
        if sequence is not None:
            text = _("This is a frame of {sequence}: carry a segmentation through it")
            button.text = text.format(sequence=sequence.GetName())

    def _use_sequence(self) -> None:
        sequence = chosen_nodes.sequence_of_pair(self._parameters)
        if sequence is not None:
            self._parameters.mode = Mode.SEQUENCE
            self._choose_sequence(sequence)

    def _choose_sequence(self, sequence: slicer.vtkMRMLSequenceNode) -> None:
        if self._parameters is not None:
            self._parameters.sequence = sequence

    def _frame_changed(self) -> None:
        self._review.update()

    def _use_shown_frame(self) -> None:
        if self._parameters is not None:
            self._parameters.referenceFrame = self._shown.number


def preload_soon(panel: Panel) -> None:
    """Import in the next turn of the event loop, so that the panel is drawn first."""
    qt.QTimer.singleShot(0, panel.preload)
