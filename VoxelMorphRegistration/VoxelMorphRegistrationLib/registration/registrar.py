"""One pair: images in, one displacement that already contains the alignment out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk
import torch

from ..errors import InputError
from ..files.itk_transforms import read_transform
from ..flow.transfers import sent
from ..network_space.grid import finer_grid
from ..network_space.inputs import NetworkInputs, region_on_network_grid
from ..network_space.outputs import forward_displacement
from ..network_space.overlap import Coverage, check_overlap
from ..networks.precision import convolving_in
from ..space.grid import Grid
from .ahead import Ahead
from .alignment import align, scaling_note
from .passes import Passes, PassesResult
from .prepared import FinerPair, FixedImage, MovingImage, PreparedPair
from .result import Provenance, Registration
from .settings import Settings, precision_name, resolve_device, resolve_precision
from .stopwatch import Stopwatch

if TYPE_CHECKING:
    from ..models.loading import Model


class Registrar:
    """Registers pair after pair with one model: the network is loaded once, a moving image that stays is prepared once.

    Images handed in must not be changed in place between two calls.

        >>> import SimpleITK as sitk
        >>> from VoxelMorphRegistrationLib import Registrar, Settings
        >>> first, second, third = (
        ...     sitk.GaussianSource(sitk.sitkFloat32, [32, 32, 32], [6.0] * 3, [x, 16.0, 16.0]) for x in (14, 15, 16)
        ... )
        >>> registrar = Registrar("any-anatomy-fast", Settings(align="none"))
        >>> [registrar.register(frame, first).displacement.GetSize() for frame in (second, third)]
        [(32, 32, 32), (32, 32, 32)]

    Attributes:
        settings: those it was made with.
        model: the loaded model.
        device: where it computes. convolutions: what the U-Net is computed in there.
        space: what the model's card says of the images its network takes.
    """

    def __init__(self, model: Model | str | Path | None = None, settings: Settings | None = None) -> None:
        """`model`: a name, a weights file or a loaded model; the bundled one unless given.

        Raises:
            InputError: for a model, device or initial transform that is not there.
        """
        self.settings = settings or Settings()
        self.device = resolve_device(self.settings.device)
        self.convolutions = resolve_precision(self.settings.precision, self.device)
        self.model = _loaded(model, self.device)
        self.space = self.model.card.space
        self._initial, self._initial_notes = _initial_transform(
            self.settings.initial_transform, self.model.network.dimension
        )
        self._moving: MovingImage | None = None
        self._fixed = Ahead(self._ready)

    def register(
        self,
        fixed: sitk.Image,
        moving: sitk.Image,
        mask: sitk.Image | None = None,
        near: bool = False,
        region: sitk.Image | None = None,
    ) -> Registration:
        """The registration of a pair of scalar images of the model's dimension.

        Args:
            fixed, moving: on any grids that share some space.
            mask: image on the fixed image; similarity (alignment, refinement, report) counts only where it is not zero.
            near: the images lie on each other but for little, as those of a pair that was registered before do: no
                start is looked for.
            region: image on the moving image, not zero where the result counts: networks that go from coarse to fine go
                on at full resolution around that alone, and it alone is refined, sooner and better there; elsewhere the
                displacement is smoother and less exact. A GPU, which that would not speed up, takes no notice. None for
                everywhere.

        Raises:
            InputError: for images that nothing can be done with (dimension, geometry, constant, no overlap in space), a
                mask that is zero everywhere, and too little memory.
        """
        watch = Stopwatch()
        with watch.stage("total"):
            pair, finer = self._prepared(fixed, moving, mask, watch)
            if region is not None and self.device.type == "cpu":
                pair.inputs.counting = region_on_network_grid(region, pair.inputs.grid, pair.alignment)
            return self._registered(pair, finer, near, watch)

    def prepare(self, fixed: sitk.Image, mask: sitk.Image | None = None) -> None:
        """What `register` does with the fixed image and its mask alone, ahead of it and in any thread.

        Raises:
            InputError: as `register` does.
        """
        self._check_dimension(fixed, "fixed image")
        self._fixed.prepare(fixed, mask)

    @property
    def initial_transform(self) -> sitk.Transform | None:
        """Fixed point to moving point, LPS mm, before the alignment; None where the settings name none."""
        return self._initial

    def _registered(self, pair: PreparedPair, finer: FinerPair | None, near: bool, watch: Stopwatch) -> Registration:
        found, convolutions = self._found(pair, finer, near, watch)
        with watch.stage("integrate"):
            displacement = forward_displacement(found.displacement, pair.inputs.grid, pair.fixed_grid, pair.alignment)
        card = self.model.card
        made_by = self.settings.align, card.metric, self.settings.preset, precision_name(convolutions)
        provenance = Provenance(card.name, self.model.sha256, str(self.device), *made_by)
        return Registration(pair, found, displacement, provenance, watch)

    def _found(
        self, pair: PreparedPair, finer: FinerPair | None, near: bool, watch: Stopwatch
    ) -> tuple[PassesResult, torch.dtype]:
        """What the passes find, and in what they convolved: in float32 where half precision overflows."""
        passes = Passes(self.model, self.settings, watch, self.device)
        for convolutions in dict.fromkeys([self.convolutions, torch.float32]):
            with _memory_errors(self.device), convolving_in(convolutions):
                found = passes.run(pair, finer, near)
            if convolutions == torch.float32 or bool(found.displacement.isfinite().all()):
                break
            pair.inputs.notes.append("half precision cannot hold this network's values: computed again in float32")
        return found, convolutions

    def _prepared(
        self, fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image | None, watch: Stopwatch
    ) -> tuple[PreparedPair, FinerPair | None]:
        """The pair for the network, and for the end of refinement where the images show more than on its grid."""
        self._check_dimension(fixed, "fixed image")
        self._check_dimension(moving, "moving image")
        ready, kept = self._fixed.of(fixed, mask), self._kept(moving)
        grid = ready.grid
        with watch.stage("align"):
            alignment = align(ready.image, kept.image, self.settings.align, self._initial, mask)
        fixed_grid, moving_grid = Grid.of(ready.image), Grid.of(kept.image)
        check_overlap(fixed_grid, moving_grid, alignment)
        inputs = NetworkInputs(
            fixed=ready.sampled,
            moving=kept.on(grid, alignment),
            grid=grid,
            mask=ready.mask,
            notes=[*self._initial_notes, *ready.notes, *kept.notes, *ready.grid_notes],
        )
        scaling = scaling_note(alignment)
        if scaling is not None:
            inputs.notes.append(scaling)
        coverage = Coverage.of(grid, fixed_grid, moving_grid, alignment)
        if coverage is not None:
            _compare_only(inputs, coverage)
        pair = PreparedPair(fixed_grid, kept.image, alignment, inputs, self.model.card.intensity)
        finer = finer_grid(grid, fixed_grid, moving_grid) if self.settings.refine else None
        if finer is None:
            kept.release()
            return pair, None
        return pair, FinerPair(ready.normalised, kept.normalised(), grid, finer, alignment, self.device)

    def _ready(self, fixed: sitk.Image, mask: sitk.Image | None) -> FixedImage:
        return FixedImage.of(fixed, mask, self.model.card, self.settings.network_spacing, self.device)

    def _kept(self, moving: sitk.Image) -> MovingImage:
        """The moving image, as it is from the last pair where that had the very same one."""
        if self._moving is None or self._moving.given is not moving:
            self._moving = MovingImage(moving, self.model.card.intensity, self.device)
        return self._moving

    def _check_dimension(self, image: sitk.Image, name: str) -> None:
        if image.GetDimension() != self.model.network.dimension:
            raise InputError(
                f"{name}: has {image.GetDimension()} dimensions {image.GetSize()}, the model {self.model.card.name} "
                f"takes {self.model.network.dimension}; choose another model or give one image of a series"
            )


def register(
    fixed: sitk.Image,
    moving: sitk.Image,
    model: Model | str | Path | None = None,
    mask: sitk.Image | None = None,
    dump_network_inputs: str | Path | None = None,
    **settings: Any,
) -> Registration:
    """Register one pair: the displacement that pulls the moving image onto the fixed one's grid.

        >>> import SimpleITK as sitk
        >>> from VoxelMorphRegistrationLib import register
        >>> fixed = sitk.GaussianSource(sitk.sitkFloat32, [32, 32, 32], [6.0] * 3, [16.0, 16.0, 16.0])
        >>> moving = sitk.GaussianSource(sitk.sitkFloat32, [32, 32, 32], [6.0] * 3, [18.0, 16.0, 16.0])
        >>> result = register(fixed, moving, "any-anatomy-fast", align="none")
        >>> result.displacement.GetSize() == fixed.GetSize()
        True
        >>> result.similarity["after"] > result.similarity["before"]
        True
        >>> x, y, z = result.transform().TransformPoint((16.0, 16.0, 16.0))  # fixed point -> moving point, LPS mm
        >>> round(x), round(y), round(z)
        (18, 16, 16)

    Args:
        fixed, moving: scalar images of the model's dimension, on any grids that share some space.
        model: a name, a weights file or a loaded model; the bundled one unless given.
        mask: image on the fixed image; similarity counts only where it is not zero.
        dump_network_inputs: folder for exactly what the network saw, see `Registration.dump_network_inputs`.
        settings: the fields of `Settings`, by name.

    Raises:
        InputError: as `Settings`, `Registrar` and `Registrar.register` do.
    """
    registration = Registrar(model, Settings(**settings)).register(fixed, moving, mask)
    if dump_network_inputs is not None:
        registration.dump_network_inputs(dump_network_inputs)
    return registration


def _compare_only(inputs: NetworkInputs, coverage: Coverage) -> None:
    """Let the pair be compared only where both images are, and end motion outside.

    The fixed image is cut where the moving one is: an edge that one image has alone pulls the tissue beside it.
    """
    covered = sent(coverage.covered, inputs.fixed.device)
    inputs.fixed = torch.where(covered > 0, inputs.fixed, inputs.fixed.min())
    inputs.mask = covered if inputs.mask is None else inputs.mask * covered
    inputs.fading = sent(coverage.fading(), inputs.fixed.device)
    if coverage.note is not None:
        inputs.notes.append(coverage.note)


def _loaded(model: Model | str | Path | None, device: torch.device) -> Model:
    from ..models.loading import DEFAULT_MODEL, load_model

    if model is None or isinstance(model, (str, Path)):
        return load_model(model or DEFAULT_MODEL, device)
    model.network.to(device)
    return model


def _initial_transform(
    given: sitk.Transform | str | Path | None, dimension: int
) -> tuple[sitk.Transform | None, tuple[str, ...]]:
    """The start, read where it is a file, and what is to be said about it."""
    if given is None:
        return None, ()
    if isinstance(given, sitk.Transform):
        name, transform = "initial transform", given
        notes: tuple[str, ...] = ()
    else:
        name = str(given)
        try:
            transform, notes = read_transform(given)
        except InputError as error:
            raise InputError(f"initial transform: {error}") from error
    if transform.GetDimension() != dimension:
        raise InputError(
            f"{name}: a transform of {transform.GetDimension()}D points, and the model takes images of {dimension}D; "
            "give the start of this pair"
        )
    return transform, notes


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
