"""What a propagation hands out for each frame, made from the displacement that a strategy found."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
import torch

from ..annotations.points import Points
from ..annotations.segmentation import Segmentation
from ..annotations.surface import Surface
from ..flow.folding import greatest_gradient
from ..flow.transfers import sent_array
from ..registration.choices import LabelInterpolation
from ..space import displacement as displacements
from ..space.grid import Grid
from ..space.inverse import invert_at
from .choices import StrategyName
from .context import OF_THE_RUN, Outcome
from .failure import Failure
from .frame_result import FrameResult
from .frames import Frames
from .quality import FrameQuality
from .references import Reference

_UNSOLVED_MM = 0.1


@dataclass(frozen=True)
class Carried:
    """What is carried from a reference frame, how labels are warped, and where."""

    points: Points | None
    surface: Surface | None
    label_interpolation: LabelInterpolation
    device: torch.device


class ResultMaker:
    """Makes the results of the frames that one reference serves."""

    def __init__(
        self, frames: Frames, reference: Reference, carried: Carried, measure: FrameQuality, strategy: StrategyName
    ) -> None:
        self._frames, self._reference, self._carried, self._measure = frames, reference, carried, measure
        self._strategy = strategy
        self._grid = Grid.of(reference.image)

    def make(self, outcome: Outcome, started: float) -> FrameResult:
        """The result of an outcome; an error on the way makes it a failed one. `started` is a `time.perf_counter`."""
        if outcome.failure is None:
            try:
                result = self._made(outcome)
            except OF_THE_RUN:
                raise
            except Exception as error:
                result = self._failed(outcome, Failure.of(error, self._frames.name(outcome.index)))
        else:
            result = self._failed(outcome, outcome.failure)
        return replace(result, seconds=time.perf_counter() - started)

    def _failed(self, outcome: Outcome, failure: Failure) -> FrameResult:
        value, reference = self._frames.value(outcome.index), self._reference.index
        return FrameResult(outcome.index, value, "failed", reference, message=failure.message, failure=failure)

    def _made(self, outcome: Outcome) -> FrameResult:
        image, reference, carried = outcome.image, self._reference, self._carried
        assert image is not None
        grid = Grid.of(image)
        notes = [*outcome.notes, *(reference.notes if outcome.index == reference.index else ())]
        if not grid.same_as(self._grid):
            notes.append(f"its grid {grid.size} differs from the reference's {self._grid.size}")
        result = FrameResult(
            outcome.index,
            self._frames.value(outcome.index),
            "reference",
            reference.index,
            keep=outcome.keep,
            release=outcome.release,
        )
        displacement = outcome.displacement
        if displacement is None:
            return replace(
                result,
                segmentation=reference.segmentation,
                displacement=grid.empty_image(sitk.sitkVectorFloat32, grid.dimension),
                points=carried.points,
                surface=carried.surface,
                quality=self._measure.measure(image, None, reference.segmentation),
                folded_percent=0.0,
                message="; ".join(notes),
            )
        labels = None
        if reference.segmentation is not None:
            labels = reference.segmentation.warp(displacement, carried.label_interpolation, carried.device)
        quality = self._measure.measure(image, displacement, labels)
        points, surface, unsolved = _moved(carried, displacement)
        if unsolved:
            notes.append(f"{unsolved} points or vertices lie where the displacement has no inverse")
        return replace(
            result,
            status="done",
            strategy=outcome.strategy or self._strategy,
            segmentation=labels,
            displacement=displacement,
            points=points,
            surface=surface,
            quality=quality,
            folded_percent=_folded_percent(displacement, carried.device),
            interpolation_error_mm=_apart_mm(displacement, outcome.direct_too, labels),
            message="; ".join(notes),
        )


def _folded_percent(displacement: sitk.Image, device: torch.device) -> float:
    """`displacement.folded_percent`; a GPU tells sooner that none folds."""
    if device.type != "cpu":
        with suppress(torch.cuda.OutOfMemoryError):
            vectors = sent_array(sitk.GetArrayViewFromImage(displacement), device)
            if greatest_gradient(vectors, displacement.GetSpacing()[::-1]) < 1:
                return 0.0
    return displacements.folded_percent(displacement)


def _moved(carried: Carried, displacement: sitk.Image) -> tuple[Points | None, Surface | None, int]:
    """Points and surface follow the tissue: against the pulling displacement."""
    points, surface, unsolved = None, None, 0
    if carried.points is not None:
        positions, residual = invert_at(displacement, carried.points.positions)
        points, unsolved = carried.points.at(positions), int(np.count_nonzero(residual > _UNSOLVED_MM))
    if carried.surface is not None:
        positions, residual = invert_at(displacement, carried.surface.points)
        surface, unsolved = carried.surface.at(positions), unsolved + int(np.count_nonzero(residual > _UNSOLVED_MM))
    return points, surface, unsolved


def _apart_mm(one: sitk.Image, other: sitk.Image | None, labels: Segmentation | None) -> float:
    """Mean distance of two displacements inside the labels (everywhere without), mm; NaN without another."""
    if other is None:
        return math.nan
    apart = np.linalg.norm(sitk.GetArrayFromImage(one) - sitk.GetArrayViewFromImage(other), axis=-1)
    if labels is not None:
        apart = apart[labels.labelled()]
    return float(apart.mean()) if apart.size else math.nan
