"""The panel: what is chosen, what runs, and what came out of it."""

from __future__ import annotations

import logging
from typing import Any

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
from .labels_section import LabelsSection
from .network_section import NetworkSection
from .node_contents import NodeContents
from .pair_job import PairJob
from .pair_result_section import PairResultSection
from .parameters import Mode, Parameters
from .preset_section import PresetSection
from .references_section import ReferencesSection
from .run_folder_section import RunFolderSection
from .sequence_review_section import SequenceReviewSection
from .sequence_runs import SequenceRuns
from .shown_frame import ShownFrame
from .worker_process import WorkerProcess


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
        self._sequences = SequenceRuns(
            self._runs, lambda: self._worker, lambda: self._parameters, lambda: self._review.frames_came()
        )
        self._review = SequenceReviewSection(ui, self._sequences.add_reference, self._sequences.again)
        self._export = ExportSection(ui, self._runs.progress)
        self._folder = RunFolderSection(ui, self.update)
        self._disk = DiskInputSection(ui, self._choose_sequence, self._runs.progress)
        self._network = NetworkSection(ui, lambda: self._worker, self._runs.ready, self._runs.progress)
        self._shown = ShownFrame(self._review.moved, self._runs.say)
        self._references = ReferencesSection(ui, lambda: self._shown.number)
        self._labels = LabelsSection(ui)
        # A run that goes on tells of its frames itself.
        self._contents = NodeContents(lambda: None if self.running else self.update())
        # What was said of a run of the other mode is no word on this one.
        ui.modeSelector.connect("currentIndexChanged(int)", lambda index: self._runs.say(""))
        ui.applyButton.connect("clicked(bool)", lambda clicked: self._apply_or_cancel())
        ui.tryButton.connect("clicked(bool)", lambda clicked: self._sequences.one_frame(self._shown.number))
        ui.useShownFrameButton.connect("clicked(bool)", lambda clicked: self._use_shown_frame())
        for section in (ui.inputsSection, ui.outputsSection, ui.resultSection, ui.advancedSection):
            # An opened section shows also what was hidden while it was closed.
            section.connect("contentsCollapsed(bool)", lambda collapsed: self.update())
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
        self._folder.stop()
        self._shown.follow(None)
        self._review.show(None)
        self._result.clear()
        self.set_parameters(None)
        self._runs.say("")

    def stop(self) -> None:
        """The window closes: end the worker."""
        self._runs.forget()
        self._export.stop()
        self._folder.stop()
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
            *(ui.strategyLabel, ui.saveTransformsCheckBox, ui.saveTransformsLabel, ui.referencesBox),
            *(ui.referencesLabel, ui.segmentsList, ui.segmentsLabel, ui.labelsSelector, ui.labelsLabel),
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
            kept = _("Ends the run; finished frames stay, and Apply goes on from there")
            ui.applyButton.toolTip = _("Ends the run; nothing is changed") if is_pair else kept
        self._preset.show(parameters)
        self._network.show(parameters)
        ui.estimateLabel.text = "" if is_pair or not idle else self._sequences.estimate()
        ui.estimateLabel.visible = bool(ui.estimateLabel.text)
        if is_pair:
            self._offer_sequence()
            self._result.refresh()
            self._shown.follow(None)
            self._contents.follow()
            return
        has_segmentation = parameters.segmentation is not None
        ui.maskMarginSpinBox.enabled = parameters.region is None and has_segmentation
        ui.labelsSelector.enabled = has_segmentation
        self._references.show(parameters, idle and has_segmentation)
        self._labels.show(parameters.segmentation, parameters, idle)
        self._folder.show(parameters, self.running)
        self._shown.follow(parameters.sequence)
        self._contents.follow(parameters.sequence, parameters.segmentation, parameters.outputSequence)
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
        if parameters.sequence.GetNumberOfDataNodes() < 2:
            return _("The sequence has no second frame that something could be carried to: choose another")
        if parameters.segmentation is None and parameters.points is None and parameters.surface is None:
            return _("Choose what was drawn on one frame: a segmentation, points or a model")
        return ""

    # Running

    def _apply_or_cancel(self) -> None:
        if self.running:
            self._runs.cancel()
        elif self._parameters is not None and self._parameters.mode is Mode.PAIR:
            self._runs.begin(self._pair_job)
        else:
            self._sequences.all_frames()

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

    def _use_shown_frame(self) -> None:
        if self._parameters is not None:
            self._parameters.referenceFrame = self._shown.number


def preload_soon(panel: Panel) -> None:
    """Import in the next turn of the event loop, so that the panel is drawn first."""
    qt.QTimer.singleShot(0, panel.preload)
