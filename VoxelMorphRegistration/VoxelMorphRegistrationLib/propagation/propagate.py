"""One segmentation carried from a reference frame to all frames of a sequence, one finished frame at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk

from ..annotations.points import Points, count_outside
from ..annotations.segment import Segment
from ..annotations.segmentation import Segmentation
from ..annotations.surface import Surface
from ..errors import InputError
from ..flow.transfers import own_stream
from ..network_space.grid import network_grid
from ..registration.registrar import Registrar
from ..space.grid import Grid
from .choices import Detail
from .context import FrameReader, Later, Outcome, found_now
from .failure import SuccessiveFailures
from .frame_result import FrameResult
from .frame_selection import check_selected
from .frames import Frames, open_frames
from .motion_model_looks import look_at
from .motion_model_store import read_modes
from .overlapping import made_ahead, one_by_one
from .references import Reference, Source, assign, files_of, open_references, segments_of
from .results import ResultMaker
from .served_frames import MotionOfRun, ServedFrames
from .settings import PropagationSettings
from .strategies import STRATEGIES

if TYPE_CHECKING:
    from ..models.loading import Model


class Propagation:
    """A propagation that is set up and checked; `run` computes it, as often as wanted.

    Attributes:
        frames: the sequence. select: the frames wanted, ascending.
        references: the segmented frames, ascending.
        settings: as given, with the strategy that 'auto' stands for. registrar: with the network loaded.
        points, surface: what was drawn on the reference frame besides.
    """

    def __init__(
        self,
        frames: Frames | str | Path | Sequence[Any],
        segmentation: Source | Sequence[Source],
        reference: int | Sequence[int] = 0,
        model: Model | str | Path | None = None,
        settings: PropagationSettings | None = None,
        *,
        points: Points | None = None,
        surface: Surface | None = None,
    ) -> None:
        """See `propagate` for the arguments and for what is refused."""
        self.settings = settings or PropagationSettings()
        self.frames = open_frames(frames, files_of(segmentation))
        self.references = open_references(self.frames, segmentation, reference)
        self.settings = self.settings.chosen(len(self.frames), self.references[0].image.GetDimension())
        known = None if self.settings.motion_model is None else read_modes(self.settings.motion_model)
        self._motion = MotionOfRun(known)
        self.select = check_selected(self.settings.select, len(self.frames))
        self.points, self.surface = points, surface
        self._check_landmarks()
        self._masks = {one.index: _mask(one, self.settings) for one in self.references}
        self._regions = {one.index: self._region(one) for one in self.references}
        self.registrar = Registrar(model, self.settings.registration)
        self._check_dimension()

    def with_model(self, model: Model) -> Propagation:
        """The same propagation with another network, one adapted to its frames for instance."""
        other = copy.copy(self)
        other.registrar = Registrar(model, self.settings.registration)
        other._check_dimension()
        return other

    def kept_in(self, folder: Path, looked: Callable[[float], None] = lambda share: None) -> Propagation:
        """The same propagation, which keeps in a run's folder what strategy motion-model finds and goes on from.

        `looked` is called with the share, 0 to 1, of the frames that were looked at before any is finished.
        """
        other = copy.copy(self)
        other._motion = replace(self._motion, folder=folder, looked=looked)
        return other

    def reading(self, frames: Frames) -> Propagation:
        """The same propagation, which reads its frames in another way."""
        other = copy.copy(self)
        other.frames = frames
        return other

    def selecting(self, select: Sequence[int]) -> Propagation:
        """The same propagation of other frames."""
        other = copy.copy(self)
        other.select = check_selected(select, len(self.frames))
        return other

    def up_to_keys(self) -> Propagation:
        """The same propagation, which ends with the key frames where strategy motion-model has chosen some."""
        other = copy.copy(self)
        other._motion = replace(self._motion, keys_only=True)
        return other

    def look_at(self, indices: Collection[int]) -> None:
        """Keep in the run's folder (`kept_in`) what strategy motion-model sees of some frames before it chooses."""
        with FrameReader(self.frames) as reader:
            for served in self._served():
                context = served.context(reader)
                if context.motion is not None:
                    wanted = [index for index in served.indices if index in indices and index != served.reference.index]
                    look_at(context, context.motion, wanted)

    def trial(self, select: Sequence[int]) -> Propagation:
        """The same propagation of a few frames, each registered with its reference: to see what one costs."""
        other = copy.copy(self)
        other.settings = replace(self.settings, strategy="direct", select=select)
        other.select = check_selected(select, len(self.frames))
        return other

    @property
    def detail(self) -> Detail:
        """Where displacements have full detail, on a processor."""
        return "segmentation" if any(region is not None for region in self._regions.values()) else "everywhere"

    @property
    def model(self) -> Model:
        return self.registrar.model

    def segments(self) -> tuple[Segment, ...]:
        """Every segment of some reference, ascending by label value; a value means the same in all frames."""
        return segments_of(self.references)

    def labels(self) -> tuple[int, ...]:
        """Every label value that some reference's segments have, ascending."""
        return tuple(segment.label for segment in self.segments())

    def network_grid(self) -> Grid:
        """The grid on which the network sees the first reference frame."""
        first, spacing = self.references[0], self.settings.registration.network_spacing
        return network_grid(first.image, self.registrar.space, spacing, self._masks[first.index]).grid

    def run(
        self,
        finished: Collection[int] = (),
        recall: Callable[[int], sitk.Image | None] = lambda index: None,
    ) -> Generator[FrameResult, None, None]:
        """Frame by frame; closing the iterator stops the run and its thread.

        Args:
            finished: frames of an earlier run; they are left out.
            recall: the displacement that was kept of a finished frame (`FrameResult.keep`), or None.

        Raises InputError after three successive frames that failed with the same type of error, unless that is
        InputError or OSError: then no frame is at fault. Raises DependencyMissing where a package is missing.
        """
        failures = SuccessiveFailures()
        with FrameReader(self.frames) as reader:
            for served in self._served():
                context = served.context(reader, finished, recall, ahead=self._on_gpu)
                maker = served.result_maker(self.points, self.surface)
                finding = STRATEGIES[self.settings.strategy](context)
                make = partial(self._made, maker)
                if self._on_gpu:
                    results = made_ahead(finding, make, reader.stop)
                else:
                    results = (make(found) for found in one_by_one(finding))
                with closing(results):
                    for result in results:
                        yield result
                        failures.note(result.index, result.failure)

    def _made(self, maker: ResultMaker, found: tuple[Outcome | Later, float]) -> FrameResult:
        outcome, started = found_now(found[0]), found[1]
        with own_stream(self.registrar.device):
            return maker.make(outcome, started)

    def _served(self) -> Iterator[ServedFrames]:
        """The frames of each reference that serves some, made ready when they are asked for."""
        groups = assign(self.references, self.frames, self.select)
        for reference, indices in groups:
            where = self._masks[reference.index], self._regions[reference.index]
            yield ServedFrames(
                self.frames, reference, indices, self.registrar, self.settings, *where, self._motion, len(groups) == 1
            )

    def _region(self, reference: Reference) -> sitk.Image | None:
        """Where the reference counts: in its segmentation, where the labels of single frames are all that is wanted."""
        settings, drawn = self.settings, reference.segmentation
        if drawn is None or self.points is not None or self.surface is not None:
            return None
        return None if settings.strategy == "sequential" or settings.detail == "everywhere" else _labelled(drawn)

    @property
    def _on_gpu(self) -> bool:
        """Whether the processor is free for other work while a frame is registered; on a CPU it has enough to do."""
        return self.registrar.device.type == "cuda"

    def _check_dimension(self) -> None:
        first = self.references[0]
        dimension = first.image.GetDimension()
        if dimension != self.model.network.dimension:
            raise InputError(
                f"{self.frames.name(first.index)}: has {dimension} dimensions, the model "
                f"{self.model.card.name} takes {self.model.network.dimension}; choose another model"
            )

    def _check_landmarks(self) -> None:
        if self.points is None and self.surface is None:
            lacking = [str(one.index) for one in self.references if one.segmentation is None]
            if lacking:
                raise InputError(
                    f"segmentation of frame {', '.join(lacking)}: there is none, and no points or surface either; give "
                    "what is to be carried along"
                )
            return
        if len(self.references) > 1:
            raise InputError("points and surfaces belong to one frame; give one reference frame with them")
        grid = Grid.of(self.references[0].image)
        if self.points is not None:
            count_outside(self.points.positions, grid, "points")
        if self.surface is not None:
            count_outside(self.surface.points, grid, "surface")


def propagate(
    frames: Frames | str | Path | Sequence[Any],
    segmentation: Source | Sequence[Source],
    reference: int | Sequence[int] = 0,
    model: Model | str | Path | None = None,
    settings: PropagationSettings | None = None,
    *,
    points: Points | None = None,
    surface: Surface | None = None,
    **options: Any,
) -> Iterator[FrameResult]:
    """Carry the segmentation of one frame (or of several) to all frames; yields one finished frame at a time.

    One frame is held in memory at a time, with a GPU five. Stop iterating, or close the iterator, to cancel. Input that
    nothing can be done with is refused here, at once; a frame that cannot be read or registered comes as a result of
    status 'failed'.

    A ball that moves to the left by 2 mm from frame to frame, drawn on the first frame alone:

    >>> import SimpleITK as sitk
    >>> from VoxelMorphRegistrationLib import propagate
    >>> def ball(x):
    ...     return sitk.GaussianSource(sitk.sitkFloat32, (32, 32, 32), (6.0, 6.0, 6.0), (x, 16.0, 16.0), 100.0)
    >>> frames = [ball(12.0), ball(14.0), ball(16.0)]
    >>> drawn = sitk.Cast(frames[0] > 50, sitk.sitkUInt8)
    >>> for result in propagate(frames, drawn):
    ...     millilitres, centroid = result.quality.labels[1]
    ...     print(result.index, result.status, f"{centroid[0]:.0f} mm to the right")
    0 reference -12 mm to the right
    1 done -14 mm to the right
    2 done -16 mm to the right

    Args:
        frames: whatever `open_frames` takes: a 4D file, a folder, a list of files or of `sitk.Image`.
        segmentation: a `Segmentation`, a label image or their file; several with as many `reference` frames: each frame
            uses the nearest, at equal distance the more similar. Their segments are the same by id, then by name. None
            when only points or a surface are carried.
        reference: number of the segmented frame; negative counts from the end.
        model: a name, a weights file or a loaded model; default the bundled network.
        settings: how, see `PropagationSettings`.
        points, surface: drawn on the reference frame; they follow the tissue.
        options: instead of `settings`, single options: those of `PropagationSettings` (strategy, keyframe_step,
            keyframes, motion_model, detail, select, mask, mask_margin) and of `Settings` for each pair (align='none'
            unless given, refine, ...).

    Raises InputError for a model, reference, segmentation or setting that is not usable, TypeError for an option that
    there is not.
    """
    if settings is not None and options:
        raise TypeError(f"settings: give them whole, or single options ({', '.join(options)}), not both")
    if settings is None:
        settings = PropagationSettings.of(**options)
    return Propagation(frames, segmentation, reference, model, settings, points=points, surface=surface).run()


def _mask(reference: Reference, settings: PropagationSettings) -> sitk.Image | None:
    """Where images are compared with this reference: everywhere (None), the mask, or around the segmentation."""
    if settings.mask_margin is None:
        return settings.mask
    if reference.segmentation is None:
        raise InputError("mask margin: there is no segmentation to measure it from; give a mask instead")
    drawn = _labelled(reference.segmentation)
    distance = sitk.SignedMaurerDistanceMap(drawn, squaredDistance=False, useImageSpacing=True)
    return distance <= settings.mask_margin


def _labelled(segmentation: Segmentation) -> sitk.Image:
    """1 in every segment."""
    return segmentation.grid.image(segmentation.labelled().astype("uint8"))
