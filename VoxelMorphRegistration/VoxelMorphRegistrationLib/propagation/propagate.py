"""One segmentation carried from a reference frame to all frames of a sequence, one finished frame at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import SimpleITK as sitk

from ..annotations.points import Points, count_outside
from ..annotations.segmentation import Segmentation
from ..annotations.surface import Surface
from ..errors import InputError
from ..network_space.grid import network_grid
from ..registration.registrar import Registrar
from ..registration.settings import Settings
from ..space import displacement as displacements
from ..space.grid import Grid
from ..space.inverse import invert_at
from .frames import Frames, open_frames
from .quality import FrameQuality, Quality
from .references import Reference, Source, assign, open_references
from .strategies import STRATEGIES, Bench, Outcome

if TYPE_CHECKING:
    from ..models.loading import Model

Strategy = Literal["direct", "sequential", "keyframes"]
_UNSOLVED_MM = 0.1


@dataclass(frozen=True)
class FrameResult:
    """One finished frame. Images lie on the frame's own grid.

    Attributes:
        index: 0-based, of the input. value: the frame's index value in the sequence, as text.
        status: 'reference' (a segmented frame: its segmentation as it was given), 'done' or 'failed' (see `message`).
        segmentation: None when it failed or only points are carried.
        displacement: frame point + u = reference point, LPS mm; zero for the reference, None when it failed.
        points, surface: where they are in this frame; None when there are none.
        quality: see `frame_quality.Quality`.
        folded_percent: of the frame's voxels.
        interpolation_error_mm: mean distance of the interpolated from the direct displacement inside the segmentation,
            where the strategy compared them; else NaN.
        reference: the frame whose segmentation was used.
        seconds: computing, without reading and writing.
        keep, release: for resuming, see `strategies.Outcome`.
    """

    index: int
    value: str
    status: Literal["reference", "done", "failed"]
    reference: int
    segmentation: Segmentation | None = None
    displacement: sitk.Image | None = None
    points: Points | None = None
    surface: Surface | None = None
    quality: Quality = field(default_factory=Quality)
    folded_percent: float = math.nan
    interpolation_error_mm: float = math.nan
    seconds: float = 0.0
    message: str = ""
    keep: bool = False
    release: tuple[int, ...] = ()


class Propagation:
    """A propagation that is set up and checked; `run` computes it. See `propagate` for the arguments."""

    def __init__(
        self,
        frames: Frames | str | Path | Sequence[Any],
        segmentation: Source | Sequence[Source],
        reference: int | Sequence[int] = 0,
        model: Model | str | Path | None = None,
        *,
        strategy: Strategy = "direct",
        keyframe_step: int = 8,
        select: Sequence[int] | None = None,
        mask: sitk.Image | None = None,
        mask_margin: float | None = None,
        points: Points | None = None,
        surface: Surface | None = None,
        **settings: Any,
    ) -> None:
        if strategy not in STRATEGIES:
            raise InputError(f"strategy {strategy!r}: unknown; use one of {', '.join(STRATEGIES)}")
        if keyframe_step < 1:
            raise InputError(f"keyframe step {keyframe_step}: must be 1 or more")
        self.frames = open_frames(frames)
        self.references = open_references(self.frames, segmentation, reference)
        self.select = sorted(set(range(len(self.frames)) if select is None else select))
        if not self.select or not 0 <= self.select[0] <= self.select[-1] < len(self.frames):
            raise InputError(
                f"frames {self.select[:1]} to {self.select[-1:]}: the sequence has 0 to {len(self.frames) - 1}"
            )
        self.strategy, self.keyframe_step = strategy, keyframe_step
        if mask is not None and mask_margin is not None:
            raise InputError("mask and mask margin: both say where images are compared; give one of them")
        self.points, self.surface = points, surface
        self._check_landmarks()
        self._masks = {reference.index: _mask(reference, mask, mask_margin) for reference in self.references}
        self.settings = Settings(**{"align": "none", **settings})
        self.registrar = Registrar(model, self.settings)
        dimension = self.references[0].image.GetDimension()
        if dimension != self.model.network.dimension:
            raise InputError(
                f"{self.frames.name(self.references[0].index)}: has {dimension} dimensions, the model "
                f"{self.model.card.name} takes {self.model.network.dimension}; choose another model"
            )
        self._quality: dict[int, FrameQuality] = {}

    @property
    def model(self) -> Model:
        return self.registrar.model

    @model.setter
    def model(self, model: Model) -> None:
        self.registrar = Registrar(model, self.settings)

    def labels(self) -> tuple[int, ...]:
        """Every label value that some reference's segments have, ascending."""
        return tuple(
            sorted(
                {
                    label
                    for reference in self.references
                    if reference.segmentation is not None
                    for label in reference.segmentation.with_distinct_labels().labels()
                }
            )
        )

    def network_grid(self) -> Grid:
        """The grid on which the network sees the first reference frame."""
        first = self.references[0]
        return network_grid(
            first.image, self.registrar.space, self.settings.network_spacing, self._masks[first.index]
        ).grid

    def run(
        self,
        finished: Collection[int] = (),
        recall: Callable[[int], sitk.Image | None] = lambda index: None,
    ) -> Iterator[FrameResult]:
        """Frame by frame; closing the iterator stops.

        `finished` frames are left out, `recall` gives what was kept of them.
        """
        groups = assign(self.references, self.frames, self.select)
        bench = Bench(self.frames, finished, recall)
        try:
            for reference, indices in groups:
                bench.register = partial(self._register, self._masks[reference.index])
                outcomes = STRATEGIES[self.strategy](bench, reference, indices, self.keyframe_step)
                while True:
                    started = time.perf_counter()
                    outcome = next(outcomes, None)
                    if outcome is None:
                        break
                    yield self._result(outcome, started)
        finally:
            bench.close()

    def _register(self, mask: sitk.Image | None, fixed: sitk.Image, moving: sitk.Image) -> tuple[sitk.Image, list[str]]:
        registration = self.registrar.register(fixed, moving, mask)
        return registration.displacement, registration.notes

    def _result(self, outcome: Outcome, started: float) -> FrameResult:
        index, reference = outcome.index, outcome.reference
        common = {
            "index": index,
            "value": self.frames.value(index),
            "reference": reference.index,
            "keep": outcome.keep,
            "release": outcome.release,
        }
        if outcome.error:
            return FrameResult(status="failed", message=outcome.error, seconds=time.perf_counter() - started, **common)
        grid = Grid.of(outcome.image)
        notes = [*outcome.notes, *(reference.notes if index == reference.index else ())]
        if not grid.same_as(Grid.of(reference.image)):
            notes.append(f"its grid {grid.size} differs from the reference's {reference.image.GetSize()}")
        field_ = outcome.displacement
        measure = self._measures(reference)
        if field_ is None:
            labels = reference.segmentation
            quality = measure.measure(outcome.image, None, labels)
            return FrameResult(
                status="reference",
                segmentation=labels,
                displacement=grid.empty_image(sitk.sitkVectorFloat32, grid.dimension),
                points=self.points,
                surface=self.surface,
                quality=quality,
                folded_percent=0.0,
                message="; ".join(notes),
                seconds=time.perf_counter() - started,
                **common,
            )
        labels = None
        if reference.segmentation is not None:
            labels = reference.segmentation.warp(field_, self.settings.label_interpolation)
        quality = measure.measure(outcome.image, field_, labels)
        points, surface, unsolved = self._moved(field_)
        if unsolved:
            notes.append(f"{unsolved} points or vertices lie where the displacement has no inverse")
        return FrameResult(
            status="done",
            segmentation=labels,
            displacement=field_,
            points=points,
            surface=surface,
            quality=quality,
            folded_percent=displacements.folded_percent(field_),
            interpolation_error_mm=_difference(field_, outcome.direct_too, labels),
            message="; ".join(notes),
            seconds=time.perf_counter() - started,
            **common,
        )

    def _measures(self, reference: Reference) -> FrameQuality:
        if reference.index not in self._quality:
            metric = self.model.card.metric
            self._quality = {reference.index: FrameQuality(reference.image, metric, self._masks[reference.index])}
        return self._quality[reference.index]

    def _moved(self, displacement: sitk.Image) -> tuple[Points | None, Surface | None, int]:
        """Points and surface follow the tissue: against the pulling displacement."""
        points, surface, unsolved = None, None, 0
        if self.points is not None:
            positions, residual = invert_at(displacement, self.points.positions)
            points, unsolved = self.points.at(positions), int(np.count_nonzero(residual > _UNSOLVED_MM))
        if self.surface is not None:
            positions, residual = invert_at(displacement, self.surface.points)
            surface, unsolved = self.surface.at(positions), unsolved + int(np.count_nonzero(residual > _UNSOLVED_MM))
        return points, surface, unsolved

    def _check_landmarks(self) -> None:
        if self.points is None and self.surface is None:
            if any(reference.segmentation is None for reference in self.references):
                raise InputError(
                    "segmentation: there is none, and no points or surface either; give what is to be carried along"
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
    **options: Any,
) -> Iterator[FrameResult]:
    """Carry the segmentation of one frame (or of several) to all frames; yields one finished frame at a time.

    One frame is held in memory at a time. Stop iterating, or close the iterator, to cancel. Input that nothing can be
    done with is refused here, at once; a frame that cannot be read or registered comes as a result of status 'failed'.

    Args:
        frames: whatever `frames.open_frames` takes: a 4D file, a folder, a list of files or of `sitk.Image`.
        segmentation: a `Segmentation`, a label image or their file; several with as many `reference` frames: each frame
            uses the nearest, at equal distance the more similar. None when only points or a surface are carried.
        reference: number of the segmented frame; negative counts from the end.
        model: a name, a weights file or a loaded model; default the bundled network.
        strategy: 'direct', 'sequential' or 'keyframes', see `strategies`.
        keyframe_step: for 'keyframes', every so many-th selected frame.
        select: numbers of the frames wanted; default all.
        mask: image (any grid); similarity counts only where it is not zero.
        mask_margin: in place of a mask, similarity counts only within so many mm of the reference's segmentation, so
            that what lies further off does not pull. As wide as the motion, or wider.
        points, surface: drawn on the reference frame, see `landmarks`.
        settings: those of `registration.Settings`; `align` is 'none' unless given.

    Raises InputError for a model, reference, segmentation or setting that is not usable.
    """
    return Propagation(frames, segmentation, reference, model, **options).run()


def _mask(reference: Reference, mask: sitk.Image | None, margin: float | None) -> sitk.Image | None:
    """Where images are compared with this reference: everywhere (None), the mask, or around the segmentation."""
    if margin is None:
        return mask
    if not (math.isfinite(margin) and margin >= 0):
        raise InputError(f"mask margin {margin!r}: give millimetres, such as 20")
    if reference.segmentation is None:
        raise InputError("mask margin: there is no segmentation to measure it from; give a mask instead")
    inside = [sitk.Cast(layer != 0, sitk.sitkUInt8) for layer in reference.segmentation.layers]
    union = reduce(sitk.Or, inside)
    return sitk.SignedMaurerDistanceMap(union, squaredDistance=False, useImageSpacing=True) <= margin


def _difference(one: sitk.Image, other: sitk.Image | None, labels: Segmentation | None) -> float:
    """Mean distance in mm inside the labels (everywhere without)."""
    if other is None:
        return math.nan
    apart = np.linalg.norm(sitk.GetArrayFromImage(one) - sitk.GetArrayViewFromImage(other), axis=-1)
    if labels is not None:
        inside = np.any([sitk.GetArrayViewFromImage(layer) != 0 for layer in labels.layers], axis=0)
        apart = apart[inside]
    return float(apart.mean()) if apart.size else math.nan
