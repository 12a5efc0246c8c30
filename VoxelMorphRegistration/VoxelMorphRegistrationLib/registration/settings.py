"""How a pair is registered: every choice in one object that is handed on whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import SimpleITK as sitk
import torch

from ..errors import InputError
from .choices import ALIGNMENTS, LABEL_INTERPOLATIONS, Alignment, LabelInterpolation


@dataclass(frozen=True)
class Settings:
    """How a pair is registered.

    Attributes:
        align: 'none', 'centers', 'rigid' or 'affine', before the network.
        initial_transform: ITK transform or its file, fixed point to moving point, applied before `align`.
        network_spacing: overrides the card's: mm or 'native'.
        refine: steps by which this pair's velocity is optimised after the network; 'auto' until it stops gaining.
        refine_similarity: 'lncc' or 'mind'; 'auto' looks at the pair: 'mind' where the contrasts differ.
        device: 'auto' (a GPU where there is one), 'cpu', 'cuda:0'.
        seed: of everything drawn at random.
        label_interpolation: 'nearest' or 'smooth', for those who warp labels by these settings.
    """

    align: Alignment = "rigid"
    initial_transform: sitk.Transform | str | Path | None = None
    network_spacing: float | str | None = None
    refine: int | str = 0
    refine_similarity: Literal["auto", "lncc", "mind"] = "auto"
    device: str = "auto"
    seed: int = 0
    label_interpolation: LabelInterpolation = "nearest"

    def __post_init__(self) -> None:
        if self.align not in ALIGNMENTS:
            raise InputError(f"align {self.align!r}: unknown; use one of {', '.join(ALIGNMENTS)}")
        if self.refine != "auto" and not (isinstance(self.refine, int) and self.refine >= 0):
            raise InputError(f"refine {self.refine!r}: neither a number of steps nor 'auto'")
        if self.label_interpolation not in LABEL_INTERPOLATIONS:
            raise InputError(f"label interpolation {self.label_interpolation!r}: use 'nearest' or 'smooth'")


def resolve_device(name: str) -> torch.device:
    """The torch device of a setting; raises InputError when it is not known or not there."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r}: unknown; use auto, cpu or cuda:0") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name!r}: there is no such GPU here; use 'auto' or 'cpu'")
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r}: is not supported; use auto, cpu or cuda:0")
    return device
