"""One pair: images in, one displacement that already contains the alignment out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import SimpleITK as sitk
import torch

from .alignment import ALIGNMENTS, align, read_transform
from .errors import InputError
from .grid import Grid
from .image_space import forward_displacement
from .network_space import (
    NetworkInputs,
    NormalisedImage,
    check_overlap,
    cleaned,
    finer_grid,
    mask_on_network_grid,
    network_grid,
)
from .network_run import NetworkRun
from .quality import Metric
from .registration_result import Registration, Stopwatch

if TYPE_CHECKING:
    from .models import Model


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

    align: Literal["none", "centers", "rigid", "affine"] = "rigid"
    initial_transform: sitk.Transform | str | Path | None = None
    network_spacing: float | str | None = None
    refine: int | str = 0
    refine_similarity: Literal["auto", "lncc", "mind"] = "auto"
    device: str = "auto"
    seed: int = 0
    label_interpolation: Literal["nearest", "smooth"] = "nearest"

    def __post_init__(self) -> None:
        if self.align not in ALIGNMENTS:
            raise InputError(f"align {self.align!r}: unknown; use one of {', '.join(ALIGNMENTS)}")
        if self.refine != "auto" and not (isinstance(self.refine, int) and self.refine >= 0):
            raise InputError(f"refine {self.refine!r}: neither a number of steps nor 'auto'")
        if self.label_interpolation not in ("nearest", "smooth"):
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


@dataclass
class _Prepared:
    """A moving image as it was last prepared."""

    image: sitk.Image
    cleaned: sitk.Image
    notes: list[str]
    alignment: sitk.Transform | None = None
    grid: Grid | None = None
    tensor: torch.Tensor | None = None
    seen: NormalisedImage | None = None


class Registrar:
    """Registers pair after pair with one model: the network is loaded once, a moving image that stays is prepared once.

    Images handed in must not be changed in place between two calls.
    """

    def __init__(self, model: Model | str | Path | None = None, settings: Settings | None = None) -> None:
        """Raises InputError for a model, device or initial transform that is not there."""
        self.settings = settings or Settings()
        self.device = resolve_device(self.settings.device)
        self.model = _loaded(model, self.device)
        self.space = self.model.space
        initial = self.settings.initial_transform
        self._initial = read_transform(str(initial)) if isinstance(initial, (str, Path)) else initial
        self._moving: _Prepared | None = None

    def register(self, fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image | None = None) -> Registration:
        """The registration of a pair of scalar images of the model's dimension.

        Args:
            mask: image on the fixed image; similarity (alignment, refinement, report) counts only where it is not zero.

        Raises InputError for images that nothing can be done with: dimension, geometry, constant, no overlap in space.
        """
        watch = Stopwatch()
        with watch.stage("total"):
            return self._register(fixed, moving, mask, watch)

    def _register(
        self, fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image | None, watch: Stopwatch
    ) -> Registration:
        settings = self.settings
        self._check_dimension(fixed, "fixed image")
        self._check_dimension(moving, "moving image")
        notes: list[str] = []
        fixed = cleaned(fixed, "fixed image", notes)
        moving_state = self._cleaned_moving(moving)
        notes += moving_state.notes
        with watch.stage("align"):
            alignment = align(fixed, moving_state.cleaned, settings.align, self._initial, mask, settings.seed)
        inputs = self._inputs(fixed, moving_state, alignment, mask, notes)
        torch.manual_seed(settings.seed)
        with _memory_errors(self.device):
            flows, flow = NetworkRun(self.model, self.settings, watch, self.device)(inputs)
        with watch.stage("integrate"):
            field = forward_displacement(flow, inputs.grid, Grid.of(fixed), alignment)
        metric: Metric = "nmi" if self.model.card.contrast == "any" else "ncc"
        return Registration(
            moving_state.cleaned, inputs, flows, flow, field, alignment, metric, watch, self._description()
        )

    def _check_dimension(self, image: sitk.Image, name: str) -> None:
        if image.GetDimension() != self.model.network.dimension:
            raise InputError(
                f"{name}: has {image.GetDimension()} dimensions {image.GetSize()}, the model {self.model.card.name} "
                f"takes {self.model.network.dimension}; choose another model or give one image of a series"
            )

    def _cleaned_moving(self, moving: sitk.Image) -> _Prepared:
        if self._moving is None or self._moving.image is not moving:
            notes: list[str] = []
            self._moving = _Prepared(moving, cleaned(moving, "moving image", notes), notes)
        return self._moving

    def _inputs(
        self,
        fixed: sitk.Image,
        state: _Prepared,
        alignment: sitk.Transform | None,
        mask: sitk.Image | None,
        notes: list[str],
    ) -> NetworkInputs:
        check_overlap(Grid.of(fixed), Grid.of(state.cleaned), alignment)
        grid = network_grid(fixed, self.space, self.settings.network_spacing, mask, notes)
        finer = finer_grid(grid, Grid.of(fixed), Grid.of(state.cleaned)) if self.settings.refine else None
        seen = NormalisedImage.of(fixed, self.space, "fixed image")
        known = state.grid is not None and state.alignment is alignment and state.grid.same_as(grid, 1e-6)
        if not known:
            state.alignment, state.grid = alignment, grid
            state.tensor = self._seen(state).on(grid, alignment).to(self.device)
        if finer is None:
            state.seen = None
        return NetworkInputs(
            fixed=seen.on(grid, None).to(self.device),
            moving=state.tensor,
            grid=grid,
            mask=None if mask is None else mask_on_network_grid(mask, grid).to(self.device),
            notes=notes,
            finer=None if finer is None else lambda: (
                seen.on(finer, None).to(self.device), self._seen(state).on(finer, alignment).to(self.device)
            ),
        )

    def _seen(self, state: _Prepared) -> NormalisedImage:
        """The moving image normalised, which is kept only while finer grids than the network's may want it too."""
        if state.seen is None:
            state.seen = NormalisedImage.of(state.cleaned, self.space, "moving image")
        return state.seen

    def _description(self) -> dict[str, Any]:
        from . import __version__

        return {
            "version": __version__,
            "model": {"name": self.model.card.name, "sha256": self.model.sha256},
            "device": str(self.device),
            "alignment": self.settings.align,
        }


def register(
    fixed: sitk.Image,
    moving: sitk.Image,
    model: Model | str | Path | None = None,
    mask: sitk.Image | None = None,
    dump_network_inputs: str | Path | None = None,
    **settings: Any,
) -> Registration:
    """Register one pair; `settings` are those of `Settings`. See `Registrar.register`."""
    registration = Registrar(model, Settings(**settings)).register(fixed, moving, mask)
    if dump_network_inputs is not None:
        registration.dump_network_inputs(dump_network_inputs)
    return registration


def _loaded(model: Model | str | Path | None, device: torch.device) -> Model:
    from .models import DEFAULT_MODEL, load_model

    if model is None or isinstance(model, (str, Path)):
        return load_model(model or DEFAULT_MODEL, device)
    model.network.to(device)
    return model


@contextmanager
def _memory_errors(device: torch.device) -> Iterator[None]:
    try:
        yield
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        raise InputError(f"not enough memory on {device} for this grid; give a coarser network spacing") from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise InputError(f"not enough memory on {device} for this grid; give a coarser network spacing") from error
        raise
