"""One pair: images in, one displacement that already contains the alignment out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk
import torch

from ..errors import InputError
from ..network_space.grid import finer_grid, network_grid
from ..network_space.inputs import NetworkInputs, NormalisedImage, cleaned, mask_on_network_grid
from ..network_space.outputs import forward_displacement
from ..network_space.overlap import check_overlap
from ..space.grid import Grid
from .alignment import align, read_transform
from .passes import NetworkRun
from .result import Registration
from .settings import Settings, resolve_device
from .stopwatch import Stopwatch

if TYPE_CHECKING:
    from ..models.loading import Model


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
        self.space = self.model.card.space
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
        return Registration(
            moving_state.cleaned,
            inputs,
            flows,
            flow,
            field,
            alignment,
            self.model.card.metric,
            watch,
            self._description(),
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
        grid, grid_notes = network_grid(fixed, self.space, self.settings.network_spacing, mask)
        notes.extend(grid_notes)
        finer = finer_grid(grid, Grid.of(fixed), Grid.of(state.cleaned)) if self.settings.refine else None
        seen = NormalisedImage.of(fixed, self.model.card.intensity, "fixed image")
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
            finer=None
            if finer is None
            else lambda: (seen.on(finer, None).to(self.device), self._seen(state).on(finer, alignment).to(self.device)),
        )

    def _seen(self, state: _Prepared) -> NormalisedImage:
        """The moving image normalised, which is kept only while finer grids than the network's may want it too."""
        if state.seen is None:
            state.seen = NormalisedImage.of(state.cleaned, self.model.card.intensity, "moving image")
        return state.seen

    def _description(self) -> dict[str, Any]:
        from ..version import __version__

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
    from ..models.loading import DEFAULT_MODEL, load_model

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
