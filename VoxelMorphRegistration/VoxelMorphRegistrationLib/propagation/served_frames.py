"""The frames that one reference serves: what finding them takes, and what makes results of what was found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from threading import Lock

import SimpleITK as sitk

from ..annotations.points import Points
from ..annotations.surface import Surface
from ..registration.registrar import Registrar
from .context import FrameContext, FrameReader, Registered
from .frames import Frames
from .motion_model_look import CoarseLook
from .motion_model_means import MotionMeans
from .motion_model_store import KnownModes, MotionStore
from .quality import FrameQuality, near
from .references import Reference
from .results import Carried, ResultMaker
from .settings import PropagationSettings


@dataclass(frozen=True)
class MotionOfRun:
    """What strategy motion-model is told by the run, besides its settings.

    Attributes:
        known: the modes of an earlier scan. folder: where what it finds is kept; None for nowhere.
        looked: called with the share of the frames that were looked at, 0 to 1.
        keys_only: the reference and the key frames alone are wanted now.
    """

    known: KnownModes | None = None
    folder: Path | None = None
    looked: Callable[[float], None] = lambda share: None
    keys_only: bool = False


@dataclass(frozen=True)
class ServedFrames:
    """The frames that one reference serves.

    Attributes:
        indices: which ones, ascending; the reference among them where it is wanted.
        mask: where images are compared with the reference; None for everywhere.
        region: where the reference counts; None for everywhere.
        alone: no other reference serves frames.
    """

    frames: Frames
    reference: Reference
    indices: Sequence[int]
    registrar: Registrar
    settings: PropagationSettings
    mask: sitk.Image | None
    region: sitk.Image | None
    motion: MotionOfRun
    alone: bool

    def context(
        self,
        reader: FrameReader,
        finished: Collection[int] = (),
        recall: Callable[[int], sitk.Image | None] = lambda index: None,
        ahead: bool = False,
    ) -> FrameContext:
        """What a strategy works with; `ahead`: frames that are read ahead are prepared too. See `FrameContext`."""
        prepare = partial(self.registrar.prepare, mask=self.mask) if ahead else None
        return FrameContext(
            self.reference,
            self.indices,
            reader,
            self._register,
            frozenset(finished),
            recall,
            self.settings.keyframe_step,
            self._motion_means(),
            prepare,
        )

    def result_maker(self, points: Points | None, surface: Surface | None) -> ResultMaker:
        """What makes results of outcomes; `points` and `surface` were drawn on the reference."""
        carried = Carried(points, surface, self.settings.registration.label_interpolation, self.registrar.device)
        return ResultMaker(self.frames, self.reference, carried, self._measure, self.settings.strategy)

    @cached_property
    def _measure(self) -> FrameQuality:
        return FrameQuality(self.reference.image, self.registrar.model.card.metric, self.mask)

    @cached_property
    def _one_at_a_time(self) -> Lock:
        return Lock()

    def _register(self, fixed: sitk.Image, moving: sitk.Image, near: bool = False) -> Registered:
        region = self.region if moving is self.reference.image else None
        with self._one_at_a_time:
            registration = self.registrar.register(fixed, moving, self.mask, near, region)
        return Registered(registration.displacement, registration.notes)

    def _motion_means(self) -> MotionMeans | None:
        """What strategy motion-model works with; None for the others."""
        if self.settings.strategy != "motion-model":
            return None
        reference, motion = self.reference, self.motion
        look = CoarseLook(self.registrar, reference.image)
        store = MotionStore(motion.folder, self.frames, reference.index, look.identity, self.alone)
        region = None if reference.segmentation is None else near(reference.segmentation)
        alike = partial(self._measure.inside, region=region)
        known = None if motion.known is None else motion.known.on(look.grid)
        device = self.registrar.device
        return MotionMeans(look, alike, store, self.settings.keyframes, motion.looked, motion.keys_only, known, device)
