"""What a propagation hands out for a frame. Without torch, for those who only read results."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import SimpleITK as sitk

from ..annotations.points import Points
from ..annotations.segmentation import Segmentation
from ..annotations.surface import Surface
from .failure import Failure


@dataclass(frozen=True)
class Quality:
    """Measures of one frame.

    Attributes:
        similarity_before, similarity_after: of the frame with its reference, as it lies and as warped; all over the
            frame (or the mask). `metric` says which: 'ncc' (-1..1) or 'nmi' (1..2).
        inside_before, ...: the same inside the segmentation, and in the 10 mm around it.
        inverse_consistency_mm: 95th percentile of how far points of the segmentation land from where they were when
            they are carried to the reference and back.
        labels: for each label (millilitres, centroid in RAS mm).
    NaN where there is nothing to measure.
    """

    metric: str = "ncc"
    similarity_before: float = math.nan
    similarity_after: float = math.nan
    inside_before: float = math.nan
    inside_after: float = math.nan
    around_before: float = math.nan
    around_after: float = math.nan
    inverse_consistency_mm: float = math.nan
    labels: dict[int, tuple[float, tuple[float, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class FrameResult:
    """One finished frame. Images lie on the frame's own grid.

    Attributes:
        index: 0-based, of the input. value: the frame's index value in the sequence, as text.
        status: 'reference' (a segmented frame: its segmentation as it was given), 'done' or 'failed' (see `message`).
        reference: the frame whose segmentation was used.
        segmentation: None when it failed or only points are carried.
        displacement: frame point + u = reference point, LPS mm; zero for the reference, None when it failed.
        points, surface: where they are in this frame; None when there are none.
        quality: see `Quality`.
        folded_percent: of the frame's voxels.
        interpolation_error_mm: mean distance of the interpolated from the direct displacement inside the segmentation,
            where the strategy compared them; else NaN.
        seconds: computing, without reading and writing.
        message: one line: what a person should know of the frame, or why it failed.
        failure: of a failed frame; with the traceback.
        keep, release: for resuming, see `context.Outcome`.
        strategy: what found the displacement; '' for the reference and for a failure.
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
    failure: Failure | None = None
    keep: bool = False
    release: tuple[int, ...] = ()
    strategy: str = ""
