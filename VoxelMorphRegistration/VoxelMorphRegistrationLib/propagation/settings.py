"""How a segmentation is carried through a sequence: every choice in one object that is handed on whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from ..errors import InputError
from ..registration.settings import Settings
from .choices import DETAILS, STRATEGY_NAMES, Detail, StrategyName

_MANY = 64  # frames: looks, key frames and checks then take less than registering each


@dataclass(frozen=True)
class PropagationSettings:
    """How a segmentation is carried through a sequence.

        >>> from VoxelMorphRegistrationLib import PropagationSettings, Settings
        >>> PropagationSettings("keyframes", keyframe_step=5, registration=Settings(align="rigid")).mask_margin
        >>> PropagationSettings.of(strategy="keyframes", keyframe_step=5, align="rigid").registration.align
        'rigid'

    Attributes:
        strategy: 'direct', 'sequential', 'keyframes' or 'motion-model', see `strategies`; 'auto' is the last for a
            sequence of 64 or more volumes and the first for others, see `chosen`.
        keyframe_step: for 'keyframes', every so many-th selected frame is registered.
        select: numbers of the frames wanted, from 0; None for all.
        mask: image (any grid); similarity counts only where it is not zero.
        mask_margin: in place of a mask, similarity counts only within so many mm of the reference's segmentation, so
            that what lies further off does not pull. As wide as the motion, or wider.
        registration: how each pair is registered. Without it: `Settings`' own values, but align='none', since the
            frames of a sequence share one space.
        keyframes: for 'motion-model', how many frames are registered; None for as many as the motion asks for.
        motion_model: for 'motion-model', the `motion-model.npz` of an earlier scan of the same patient: frames are
            described by its modes.
        detail: where a frame that is registered with the reference has all the detail there is: around the
            'segmentation', where labels are as good or better and sooner there, or 'everywhere', for displacements that
            are wanted elsewhere too. It is everywhere for 'sequential', with points or a surface, and on a GPU.

    Raises InputError for an unknown strategy or detail, a step or a number of key frames below 1, a margin that is no
    distance, a mask and a margin.
    """

    strategy: StrategyName = "direct"
    keyframe_step: int = 8
    select: Sequence[int] | None = None
    mask: sitk.Image | None = field(default=None, compare=False)
    mask_margin: float | None = None
    registration: Settings = field(default_factory=lambda: Settings(align="none"))
    keyframes: int | None = None
    motion_model: str | Path | None = None
    detail: Detail = "segmentation"

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGY_NAMES:
            raise InputError(f"strategy {self.strategy!r}: unknown; use one of {', '.join(STRATEGY_NAMES)}")
        if self.detail not in DETAILS:
            raise InputError(f"detail {self.detail!r}: unknown; use one of {', '.join(DETAILS)}")
        if self.keyframe_step < 1:
            raise InputError(f"keyframe step {self.keyframe_step}: must be 1 or more")
        if self.keyframes is not None and self.keyframes < 1:
            raise InputError(f"keyframes {self.keyframes}: must be 1 or more")
        if self.mask is not None and self.mask_margin is not None:
            raise InputError("mask and mask margin: both say where images are compared; give one of them")
        if self.mask_margin is not None and not (math.isfinite(self.mask_margin) and self.mask_margin >= 0):
            raise InputError(f"mask margin {self.mask_margin!r}: give millimetres, such as 20")

    def chosen(self, frames: int, dimension: int) -> PropagationSettings:
        """With the strategy that 'auto' stands for in a sequence of so many frames of so many dimensions.

        It goes by the whole sequence and not by the frames selected: parts of a run, and a run that goes on, agree.
        """
        if self.strategy != "auto":
            return self
        return replace(self, strategy="motion-model" if frames >= _MANY and dimension == 3 else "direct")

    @classmethod
    def of(cls, **options: Any) -> PropagationSettings:
        """From single options: this class' own, and those of `registration.Settings`.

        Raises TypeError for an option that neither has, InputError as the two classes do.
        """
        own = {one.name for one in fields(cls)}
        mine = {name: value for name, value in options.items() if name in own}
        pair = {name: value for name, value in options.items() if name not in own}
        if pair and "registration" in mine:
            raise TypeError(f"registration: give the settings whole, or single options ({', '.join(pair)}), not both")
        return cls(**{"registration": Settings(**{"align": "none", **pair}), **mine})
