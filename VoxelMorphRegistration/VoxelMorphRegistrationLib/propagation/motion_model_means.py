"""What strategy motion-model works with besides the frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import SimpleITK as sitk
import torch

from ..registration.ahead import Prepare
from ..space.grid import Grid
from .motion_model_store import MotionStore


class Look(Protocol):
    """A coarse look at frames, see `motion_model_look.CoarseLook`."""

    @property
    def grid(self) -> Grid: ...

    @property
    def together(self) -> int: ...

    @property
    def prepare(self) -> Prepare | None: ...

    def seen(self, frame: sitk.Image) -> Any: ...

    def at_all(self, seen: Sequence[Any]) -> list[np.ndarray]: ...


@dataclass(frozen=True)
class MotionMeans:
    """What the strategy works with besides the frames.

    Attributes:
        look: at frames against the reference.
        alike: of (frame, displacement on the frame's grid): similarity of the frame with the reference in and around
            the segmentation, before and after; larger for more similar.
        store: what is kept between runs.
        keyframes: how many key frames; None: as many as explain the looks.
        keys_only: the reference and the key frames alone are wanted now.
        known: (m, p), the modes of an earlier scan on the looks' grid.
        device: where displacements are added up.
        told: called with the share of the frames that were looked at, 0 to 1.
    """

    look: Look
    alike: Callable[[sitk.Image, sitk.Image], tuple[float, float]]
    store: MotionStore
    keyframes: int | None = None
    told: Callable[[float], None] = lambda share: None
    keys_only: bool = False
    known: np.ndarray | None = None
    device: torch.device = torch.device("cpu")
