"""How a pair is registered: every choice in one object that is handed on whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import SimpleITK as sitk
import torch

from ..errors import InputError
from ..network_space.space import check_spacing
from ..networks.precision import HALF, computes_half
from ..refinement.similarities import SIMILARITIES, Similarity
from .choices import ALIGNMENTS, LABEL_INTERPOLATIONS, PRECISIONS, Alignment, LabelInterpolation, Precision
from .presets import preset


@dataclass(frozen=True)
class Settings:
    """How a pair is registered. Checked when it is made, but for the device and a transform's file (`Registrar`).

        >>> from VoxelMorphRegistrationLib import Settings
        >>> Settings(align="affine", refine="auto").align
        'affine'
        >>> Settings(align="elastic")
        Traceback (most recent call last):
        VoxelMorphRegistrationLib.errors.InputError: align 'elastic': unknown; use one of none, centers, rigid, affine

    Attributes:
        align: the start before the network: 'none' (as the headers say), 'centers' (of the foregrounds laid on each
            other), 'rigid' or 'affine'.
        initial_transform: ITK transform or its file, fixed point to moving point in LPS mm, applied before `align`.
        network_spacing: voxel size the network sees, in place of its card's: mm, or 'native' for the fixed image's own.
        refine: how many updates this pair's velocity is optimised by after the network; 0 leaves the network's answer,
            'auto' goes on until it gains no more, and leaves alone what a network makes of the anatomy it was trained
            on.
        refine_similarity: what refinement maximises: 'lncc' for images of one contrast, 'mind' for images of two;
            'auto' decides by how the pair correlates.
        device: 'auto' (a GPU where there is one), 'cpu', 'cuda:0'.
        precision: of the U-Net's convolutions: 'float32', 'half' (on a GPU alone), 'auto' (half on a GPU that has units
            for it). All else is float32 always.
        seed: changes nothing, since a registration draws nothing at random; taken so that earlier scripts run.
        label_interpolation: 'nearest' or 'smooth', for those who warp labels by these settings.
        preset: the preset these come from, by name, for the report; '' for none. It sets nothing: see `of_preset`.

    Raises:
        InputError: for a value that is none of these.
    """

    align: Alignment = "rigid"
    initial_transform: sitk.Transform | str | Path | None = None
    network_spacing: float | str | None = None
    refine: int | Literal["auto"] = 0
    refine_similarity: Similarity | Literal["auto"] = "auto"
    device: str = "auto"
    precision: Precision = "auto"
    seed: int = 0
    label_interpolation: LabelInterpolation = "nearest"
    preset: str = ""

    @classmethod
    def of_preset(cls, name: str, **changes: Any) -> Settings:
        """The settings of a preset (see `presets.PRESETS`), some of them changed.

            >>> from VoxelMorphRegistrationLib import Settings
            >>> Settings.of_preset("lung", refine=0).align
            'affine'

        Raises:
            InputError: for a name that is none, and as `Settings` does.
        """
        return cls(**{**preset(name).settings, "preset": name, **changes})

    def __post_init__(self) -> None:
        if self.align not in ALIGNMENTS:
            raise InputError(f"align {self.align!r}: unknown; use one of {', '.join(ALIGNMENTS)}")
        if self.initial_transform is not None and not isinstance(self.initial_transform, (sitk.Transform, str, Path)):
            raise InputError(
                f"initial transform of type {type(self.initial_transform).__name__}: give a SimpleITK transform, or "
                "the file of one"
            )
        if self.network_spacing is not None:
            check_spacing(self.network_spacing, "network spacing")
        if self.refine != "auto" and not (isinstance(self.refine, int) and self.refine >= 0):
            raise InputError(f"refine {self.refine!r}: neither a number of updates from 0 on nor 'auto'")
        if self.refine_similarity not in ("auto", *SIMILARITIES):
            raise InputError(
                f"refine similarity {self.refine_similarity!r}: unknown; use one of auto, {', '.join(SIMILARITIES)}"
            )
        if self.precision not in PRECISIONS:
            raise InputError(f"precision {self.precision!r}: unknown; use one of {', '.join(PRECISIONS)}")
        if self.preset:
            preset(self.preset)
        if self.label_interpolation not in LABEL_INTERPOLATIONS:
            raise InputError(f"label interpolation {self.label_interpolation!r}: use 'nearest' or 'smooth'")


def resolve_device(name: str) -> torch.device:
    """The torch device of a setting.

    Raises:
        InputError: when it is not known, not there, or of another kind than CPU and CUDA.
    """
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


def resolve_precision(name: Precision, device: torch.device) -> torch.dtype:
    """What the U-Net's convolutions are computed in on a device.

    Raises:
        InputError: half precision is asked of a CPU, which would take longer for it.
    """
    if name == "half" and device.type != "cuda":
        raise InputError(f"precision 'half': {device} computes in float32; use 'auto', or a GPU")
    half = name == "half" or (name == "auto" and computes_half(device))
    return HALF if half else torch.float32


def precision_name(convolutions: torch.dtype) -> str:
    """What a report calls it: 'half' or 'float32'."""
    return "half" if convolutions == HALF else "float32"
