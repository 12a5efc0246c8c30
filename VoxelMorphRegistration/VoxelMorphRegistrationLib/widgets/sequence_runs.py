"""The runs of the sequence mode: every frame, one to try, some again, and what they will take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from . import chosen_nodes, timed_frames
from .job import JobEnd
from .job_runner import JobRunner
from .parameters import AS_CHOSEN, Changes
from .run_folder_section import NOT_SET, proposed_folder
from .sequence_job import SequenceJob
from .words import duration, frame_numbers
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from ..mrml.review import FrameState


@dataclass(frozen=True)
class _Asked:
    """One run. `frames`: only these, and made anew with `overwrite`."""

    frames: Sequence[int] | None = None
    overwrite: bool = False
    changes: Changes = AS_CHOSEN


class SequenceRuns:
    """Starts them through the panel's runner; `parameters` and `worker` are asked for when a run begins, and `came` is
    called whenever frames may have come.
    """

    def __init__(
        self,
        runner: JobRunner,
        worker: Callable[[], WorkerProcess],
        parameters: Callable[[], Any],
        came: Callable[[], None],
    ) -> None:
        self._runner, self._worker, self._parameters, self._came = runner, worker, parameters, came

    def all_frames(self) -> None:
        """Every frame that is not finished."""
        self._begin(_Asked())

    def one_frame(self, number: int) -> None:
        """To see what comes out, and what all of them will take; a frame that was drawn on tells neither."""
        if number in self._parameters().references():
            self._runner.say(
                _("Frame {number} was drawn on. Show another frame, and try on that.").format(number=number)
            )
            return
        self._begin(_Asked([number]))

    def again(self, wanted: Sequence[int], changes: Changes) -> None:
        """These once more, but for frames that were drawn on, accepted or edited, which is said."""
        output = self._parameters().outputSequence
        if output is None:
            return
        kept = _kept_frames(output)
        left = [number for number in wanted if number in kept]
        frames = [number for number in wanted if number not in left]
        if frames:
            self._begin(_Asked(frames, overwrite=True, changes=changes))
        if left:
            said = _("Left as they are, because they were drawn on, accepted or edited: {numbers}.")
            self._runner.say(said.format(numbers=frame_numbers(left)))

    def add_reference(self, shown: FrameState) -> None:
        """Make a frame a reference too, and redo those nearer to it than to another, but for a person's own."""
        parameters = self._parameters()
        if parameters is None or parameters.outputSequence is None:
            return
        others = [frame for frame in parameters.references() if frame != shown.index]
        further = parameters.further_references()
        if shown.index != parameters.referenceFrame:
            further[shown.index] = None
        parameters.set_further_references(further)
        count = parameters.sequence.GetNumberOfDataNodes()
        kept = _kept_frames(parameters.outputSequence)
        nearer = chosen_nodes.nearer_frames(shown.index, others, kept, count)
        if nearer:
            self._begin(_Asked(nearer, overwrite=True))

    def estimate(self) -> str:
        """What Apply will take, by the last run's time for a frame or that of an earlier one on this computer; '' where
        none was timed, or nothing is left.
        """
        parameters = self._parameters()
        if parameters is None or parameters.sequence is None:
            return ""
        seconds, said = self._seconds_a_frame()
        if seconds <= 0:
            return ""
        count, output = parameters.sequence.GetNumberOfDataNodes(), parameters.outputSequence
        left = count - (0 if output is None else output.GetNumberOfDataNodes())
        if left <= 0:
            return ""
        return said.format(left=left, count=count, all=duration(seconds * left), one=duration(seconds))

    def _seconds_a_frame(self) -> tuple[float, str]:
        """What a frame takes, and the sentence that says how this is known."""
        parameters = self._parameters()
        if parameters.secondsAFrame > 0 and self._settings() == parameters.timedWith:
            return parameters.secondsAFrame, _(
                "{left} of {count} frames are left, about {all}: {one} a frame in the last run."
            )
        expected = timed_frames.expected_seconds(
            " ".join(self._options()), chosen_nodes.voxels_of_a_frame(parameters.sequence)
        )
        if expected > 0:
            return expected, _(
                "{left} of {count} frames are left, about {all}: {one} a frame, by an earlier run and their size."
            )
        return parameters.secondsAFrame, _(
            "{left} of {count} frames are left, about {all} if a frame takes {one} as with the last settings."
        )

    def _settings(self, changes: Changes = AS_CHOSEN) -> str:
        """What decides how long a frame takes."""
        return " ".join([self._parameters().sequence.GetID(), *self._options(changes)])

    def _options(self, changes: Changes = AS_CHOSEN) -> list[str]:
        parameters = self._parameters()
        return [*parameters.registration_options(changes), *parameters.propagation_options(changes)]

    def _begin(self, asked: _Asked) -> None:
        self._runner.begin(lambda: self._job(asked))

    def _job(self, asked: _Asked) -> SequenceJob:
        parameters = self._parameters()
        prepared = chosen_nodes.sequence(parameters)
        if parameters.runFolder == NOT_SET:
            parameters.runFolder = proposed_folder(prepared.drawn.node.GetName())
        options = self._options(asked.changes)
        options += ["--overwrite"] if asked.overwrite else []
        timed_with, count = self._settings(asked.changes), len(prepared.frames)
        return SequenceJob(
            self._worker(),
            prepared,
            parameters.runFolder,
            options,
            asked.frames,
            self._progress,
            lambda end: self._ended(asked, timed_with, count, end),
        )

    def _ended(self, asked: _Asked, timed_with: str, count: int, end: JobEnd) -> None:
        parameters = self._parameters()
        if parameters is not None and end.facts.get("output") is not None:
            parameters.outputSequence = end.facts["output"]
        seconds = end.facts.get("seconds", 0.0)
        if parameters is not None and seconds > 0:
            parameters.secondsAFrame, parameters.timedWith = seconds, timed_with
            voxels = chosen_nodes.voxels_of_a_frame(parameters.sequence)
            timed_frames.remember(timed_with.partition(" ")[2], voxels, seconds)
        if end.status == "failed" and "holds a run with other settings" in end.message:
            self._runner.ended(JobEnd("cancelled"))
            self._offer_overwrite(asked, end.message)
            return
        self._runner.ended(end)
        if end.status == "cancelled":
            self._runner.say(_("Cancelled. Finished frames stay; Apply goes on from there."))
        if end.status == "done" and asked.frames is not None and len(asked.frames) == 1 and seconds > 0:
            self._runner.say(
                _("This frame took {one}; all {count} take about {all}.").format(
                    one=duration(seconds), count=count, all=duration(seconds * count)
                )
            )

    def _offer_overwrite(self, asked: _Asked, message: str) -> None:
        question = _(
            "The run folder holds frames that were made with other settings. Make them anew? Frames that you edited or "
            "accepted stay as they are in the scene."
        )
        if slicer.util.confirmYesNoDisplay(question, _("VoxelMorph Registration"), detailedText=message):
            self._begin(replace(asked, overwrite=True))

    def _progress(self, share: float | None, text: str) -> None:
        self._runner.progress(share, text)
        parameters, job = self._parameters(), self._runner.job
        output = job.output if isinstance(job, SequenceJob) else None
        if parameters is not None and output is not None and parameters.outputSequence is not output:
            # At once, and not when the run ends: a scene that is saved meanwhile knows its output.
            parameters.outputSequence = output
        self._came()


def _kept_frames(output: slicer.vtkMRMLSequenceNode) -> set[int]:
    """The frames that no run replaces unasked."""
    from ..mrml.review import frame_states

    states = frame_states(output, by_time=True)
    return {state.index for state in states if state.accepted or state.edited or state.status == "reference"}
