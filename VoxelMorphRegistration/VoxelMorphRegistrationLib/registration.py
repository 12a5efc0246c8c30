"""One pair: images in, one displacement that already contains the alignment out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import SimpleITK as sitk
import torch

from . import displacement as displacements
from . import warping
from .alignment import ALIGNMENTS, align, read_transform
from .errors import InputError
from .grid import Grid
from .image_space import forward_displacement, inverse_displacement, linear_parts
from .images import check_labels, write_image
from .label_warping import SmoothWarper
from .network_space import (
    NetworkInputs,
    check_overlap,
    cleaned,
    mask_on_network_grid,
    network_grid,
    on_network_grid,
)
from .networks import Flow
from .quality import PairSimilarity

if TYPE_CHECKING:
    from .models import Model

_SQUARINGS = 7
STAGES = ("read", "align", "network", "integrate", "refine", "warp", "write")


@dataclass(frozen=True)
class Settings:
    """How a pair is registered.

    Attributes:
        align: 'none', 'centers', 'rigid' or 'affine', before the network.
        initial_transform: ITK transform or its file, fixed point to moving point, applied before `align`.
        network_spacing: overrides the card's: mm or 'native'.
        refine: steps by which this pair's velocity is optimised after the network; 'auto' until it stops gaining.
        refine_similarity: 'lncc' or 'mind'; 'auto' takes 'mind' for models of any contrast.
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


class Stopwatch:
    """Seconds spent in each stage, and in all."""

    def __init__(self) -> None:
        self.seconds = {"total": 0.0, **dict.fromkeys(STAGES, 0.0)}

    @contextmanager
    def stage(self, name: str, device: torch.device | None = None) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            # Kernels run on after a CUDA call returns.
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            self.seconds[name] += time.perf_counter() - started


class Registration:
    """The result of one pair. What costs time and may not be wanted is computed when it is asked for.

    Attributes:
        displacement: on exactly the fixed grid, LPS mm, float32, pulls, contains the alignment.
        alignment: fixed point to moving point, None for the identity.
        network_grid: the grid the network saw; its array order is the tensor's.
        similarity: {'metric', 'before' (after the alignment, before the network), 'after'}, on the network's grid.
        seconds: of each stage, and the total.
        notes: what was done to the input that a person should know.
    """

    def __init__(
        self,
        moving: sitk.Image,
        inputs: NetworkInputs,
        flows: list[Flow],
        flow: torch.Tensor,
        displacement: sitk.Image,
        alignment: sitk.Transform | None,
        similarity: dict[str, Any],
        stopwatch: Stopwatch,
        description: dict[str, Any],
    ) -> None:
        """`flow` (1, d, *network shape) is the whole network displacement, `flows` the single passes it is made of."""
        self._moving = moving
        self._inputs = inputs
        self._flows = flows
        self._flow = flow
        self._stopwatch = stopwatch
        self._description = description
        self.displacement = displacement
        self.alignment = alignment
        self.network_grid = inputs.grid
        self.similarity = similarity
        self.notes = inputs.notes

    @property
    def seconds(self) -> dict[str, float]:
        return self._stopwatch.seconds

    def transform(self) -> sitk.DisplacementFieldTransform:
        """An ITK transform, fixed point to moving point, that owns a float64 copy of the displacement."""
        return displacements.to_transform(self.displacement)

    @cached_property
    def warped(self) -> sitk.Image:
        """The moving image on the fixed grid, linear, in its own pixel type; its smallest value where it has none."""
        with self._stopwatch.stage("warp"), self._stopwatch.stage("total"):
            outside = float(sitk.GetArrayViewFromImage(self._moving).min())
            return displacements.warp(self._moving, self.displacement, "linear", outside)

    def warp_labels(self, labels: sitk.Image, interpolation: str = "nearest") -> sitk.Image:
        """A label map of the moving image (on any grid that overlaps it) on the fixed grid, in its own pixel type.

        Raises InputError for labels that are not whole numbers or lie elsewhere than the moving image.
        """
        if interpolation not in ("nearest", "smooth"):
            raise InputError(f"label interpolation {interpolation!r}: use 'nearest' or 'smooth'")
        check_labels(labels)
        check_labels_overlap(labels, self._moving)
        with self._stopwatch.stage("warp"), self._stopwatch.stage("total"):
            if interpolation == "smooth":
                return SmoothWarper(labels).warp(self.displacement)
            return displacements.warp(labels, self.displacement, "nearest")

    @property
    def inverse_displacement(self) -> sitk.Image:
        """On the moving grid: moving point + u = fixed point. exp(-v) where the network gives a velocity."""
        return self._inverse[0]

    @property
    def inverse_residual(self) -> float | None:
        """mm that the fixed-point inverse left at worst; None when the inverse comes from the velocity."""
        return self._inverse[1]

    @cached_property
    def _inverse(self) -> tuple[sitk.Image, float | None]:
        with self._stopwatch.stage("integrate"), self._stopwatch.stage("total"):
            grid = Grid.of(self._moving)
            flow = self._inverse_flow()
            inverse = None if flow is None else inverse_displacement(flow, self.network_grid, grid, self.alignment)
            return displacements.invert(self.displacement, grid) if inverse is None else (inverse, None)

    def _inverse_flow(self) -> torch.Tensor | None:
        """The inverse of the passes T1(T2(...)) is ...(T2^-1(T1^-1)): (1, d, *shape), None where one has no velocity."""
        total = None
        for flow in self._flows:
            inverse = flow.inverse(tuple(self.network_grid.shape))
            if inverse is None:
                return None
            total = inverse if total is None else warping.compose_flows(inverse, total, flow.padding)
        return total

    @cached_property
    def folded_percent(self) -> float:
        """Percent of the fixed grid's voxels where the displacement folds."""
        with self._stopwatch.stage("total"):
            return displacements.folded_percent(self.displacement)

    def report(self) -> dict[str, Any]:
        """What `--report` writes: JSON-ready."""
        return {
            **self._description,
            "alignment_matrix": _matrix(self.alignment, self.network_grid.dimension),
            "network_grid": {"size": list(self.network_grid.size), "spacing": list(self.network_grid.spacing)},
            "similarity": dict(self.similarity),
            "folded_percent": self.folded_percent,
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
        }

    def dump_network_inputs(self, folder: str | Path) -> None:
        """Write exactly what the network saw, and gave, as images on its grid.

        fixed.nrrd, moving.nrrd (normalised, aligned), warped.nrrd (the network's own warped moving image),
        displacement.nrrd (the network's alone, LPS mm) and alignment.tfm where there is one.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        grid = self.network_grid
        fixed, moving = self._inputs.fixed, self._inputs.moving
        warped = warping.warp(moving, self._flow, self._flows[-1].padding)
        for name, tensor in (("fixed", fixed), ("moving", moving), ("warped", warped)):
            write_image(grid.image(tensor[0, 0].cpu().numpy()), folder / f"{name}.nrrd")
        flow = displacements.from_voxel_flow(self._flow[0].cpu().numpy(), grid)
        write_image(flow, folder / "displacement.nrrd")
        if self.alignment is not None:
            sitk.WriteTransform(self.alignment, str(folder / "alignment.tfm"))


@dataclass
class _Prepared:
    """A moving image as it was last prepared."""

    image: sitk.Image
    cleaned: sitk.Image
    notes: list[str]
    alignment: sitk.Transform | None = None
    grid: Grid | None = None
    tensor: torch.Tensor | None = None


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
            flows, flow = self._run(inputs, watch)
        metric = "nmi" if self.model.card.contrast == "any" else "ncc"
        alike = PairSimilarity(inputs.fixed, metric, inputs.mask)
        after = alike(inputs.moving, flow, flows[-1].padding)
        similarity = {"metric": metric, "before": alike(inputs.moving), "after": after}
        with watch.stage("integrate"):
            field = forward_displacement(flow, inputs.grid, Grid.of(fixed), alignment)
        return Registration(
            moving_state.cleaned, inputs, flows, flow, field, alignment, similarity, watch, self._description()
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
        known = state.grid is not None and state.alignment is alignment and state.grid.same_as(grid, 1e-6)
        if not known:
            tensor = on_network_grid(state.cleaned, grid, alignment, self.space, "moving image")
            state.alignment, state.grid, state.tensor = alignment, grid, tensor.to(self.device)
        return NetworkInputs(
            fixed=on_network_grid(fixed, grid, None, self.space, "fixed image").to(self.device),
            moving=state.tensor,
            grid=grid,
            mask=None if mask is None else mask_on_network_grid(mask, grid).to(self.device),
            notes=notes,
        )

    def _run(self, inputs: NetworkInputs, watch: Stopwatch) -> tuple[list[Flow], torch.Tensor]:
        """The passes' flows, each predicted on the image as warped so far, and their whole displacement.

        T = T1(T2(...)): the last pass acts on the fixed image first.
        """
        flows: list[Flow] = []
        total, moving = None, inputs.moving
        shape = tuple(inputs.grid.shape)
        for number in range(self.model.passes):
            if number > 0:
                with watch.stage("integrate", self.device):
                    moving = warping.warp(inputs.moving, total, flows[-1].padding)
            with watch.stage("network", self.device):
                flow = self.model.network.flow(inputs.fixed, moving)
            with watch.stage("integrate", self.device):
                step = flow.displacement(shape)
                total = step if total is None else warping.compose_flows(total, step, flow.padding)
                flows.append(flow)
        if self.settings.refine:
            with watch.stage("refine", self.device):
                flows, total = self._refined(inputs, flows, total)
        return flows, total

    def _refined(
        self, inputs: NetworkInputs, flows: list[Flow], total: torch.Tensor
    ) -> tuple[list[Flow], torch.Tensor]:
        """The last pass's velocity optimised; after a network that gives no velocity, one more pass from nothing."""
        from .refinement import refine

        last = flows[-1]
        shape = tuple(inputs.grid.shape)
        extends = last.kind == "velocity"
        earlier = flows[:-1] if extends else flows
        before = self._composed(earlier, shape) if extends else total
        moving = inputs.moving if before is None else warping.warp(inputs.moving, before, last.padding)
        kind = self.settings.refine_similarity
        if kind == "auto":
            kind = "mind" if self.model.card.contrast == "any" else "lncc"
        squarings = last.steps if extends else _SQUARINGS
        result = refine(
            inputs.fixed,
            moving,
            warping.resize_flow(last.field, shape, scale=float(last.factor)) if extends else None,
            steps=self.settings.refine,
            similarity=kind,
            mask=inputs.mask,
            padding=last.padding,
            integration_steps=squarings,
            seed=self.settings.seed,
        )
        if not result.accepted:
            return flows, total
        flow = Flow(result.velocity, "velocity", 1, last.padding, squarings)
        step = result.displacement
        return [*earlier, flow], step if before is None else warping.compose_flows(before, step, last.padding)

    @staticmethod
    def _composed(flows: list[Flow], shape: tuple[int, ...]) -> torch.Tensor | None:
        total = None
        for flow in flows:
            step = flow.displacement(shape)
            total = step if total is None else warping.compose_flows(total, step, flow.padding)
        return total

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


def check_labels_overlap(labels: sitk.Image, image: sitk.Image, name: str = "labels") -> None:
    """Raises InputError when a label map lies on no part of the image it belongs to."""
    try:
        check_overlap(Grid.of(image), Grid.of(labels), None)
    except InputError as error:
        raise InputError(f"{name}: the label map does not lie on its image; give the labels of the moving image") from error


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


def _matrix(alignment: sitk.Transform | None, dimension: int) -> list[list[float]] | None:
    """Homogeneous matrix, LPS mm, fixed point to moving point; None for an alignment that is not linear."""
    matrix = np.eye(dimension + 1)
    if alignment is not None:
        parts = linear_parts(alignment)
        if parts is None:
            return None
        matrix[:-1, :-1], matrix[:-1, -1] = parts
    return matrix.tolist()
