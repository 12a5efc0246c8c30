"""A pair made ready for a network: cleaned, aligned, normalised and sampled on the network's grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import SimpleITK as sitk
import torch

from ..flow.transfers import sent
from ..network_space.grid import network_grid
from ..network_space.inputs import NetworkInputs, NormalisedImage, mask_on_network_grid, on_network_grid
from ..network_space.intensity import IntensityRule
from ..refinement.finer import FinerImages
from ..refinement.pair import ImagePair
from ..space.affine import array_order, linear_parts
from ..space.checks import cleaned
from ..space.grid import Grid

if TYPE_CHECKING:
    from ..models.card import Card

_MORE_VOXELS = 4  # times as many as the finer grid has; more only take memory


@dataclass(frozen=True)
class PreparedPair:
    """A pair as the network sees it.

    Attributes:
        fixed_grid: of the fixed image, as it was given.
        moving: the moving image, cleaned, on its own grid.
        alignment: fixed point to moving point, LPS mm; None for the identity.
        inputs: what the network sees.
        intensity: what made its values.
    """

    fixed_grid: Grid
    moving: sitk.Image
    alignment: sitk.Transform | None
    inputs: NetworkInputs
    intensity: IntensityRule

    @cached_property
    def images(self) -> ImagePair:
        """What the network sees, as two images that are compared."""
        seen = self.inputs
        return ImagePair(seen.fixed, seen.moving, seen.mask, tuple(reversed(seen.grid.spacing)))

    def unaligned(self) -> torch.Tensor:
        """The moving image as it was given, without the alignment, on the network's grid, (1, 1, *grid.shape)."""
        if self.alignment is None:
            return self.inputs.moving
        seen = on_network_grid(self.moving, self.inputs.grid, None, self.intensity, "moving image")
        return sent(seen, self.inputs.moving.device)


@dataclass(frozen=True)
class FinerPair:
    """A pair's images, normalised, that show more than on the network's grid: for the end of refinement.

    Attributes:
        network, grid: the network's grid, and the finer one on which the fixed image is sampled.
        alignment: fixed point to moving point, LPS mm; None for the identity.
    """

    fixed: NormalisedImage
    moving: NormalisedImage
    network: Grid
    grid: Grid
    alignment: sitk.Transform | None
    device: torch.device

    def images(self) -> FinerImages:
        """The fixed image on the finer grid, and the moving one on its own.

        The moving one is on the finer grid too where an alignment that is not linear lies between, and where its own
        has many more voxels: then it is blurred no further than it has to be.
        """
        fixed = self.fixed.on(self.grid, None, self.device)
        linear = None if self.alignment is None else linear_parts(self.alignment)
        many = math.prod(self.moving.grid.size) > _MORE_VOXELS * math.prod(self.grid.size)
        if many or (self.alignment is not None and linear is None):
            moving = self.moving.on(self.grid, self.alignment, self.device)
            to_moving = self.network.index_to_index(self.grid)
        else:
            moving = self.moving.smoothed_for(self.grid, self.alignment, self.device)
            to_moving = self.network.index_to_index(self.moving.grid, linear)
        return FinerImages(fixed, moving, array_order(to_moving))


@dataclass(frozen=True, eq=False)
class FixedImage:
    """A fixed image made ready for a network, which takes no other image and can be done ahead.

    Attributes:
        image: the one given, with voxels that are not finite replaced.
        normalised: with the network's intensities, on its own grid. sampled: on the network's `grid`, (1, 1, *shape).
        mask: where the images are compared, on that grid too; None for everywhere.
        notes, grid_notes: what was done to it, and to the grid, that a person should know.
    """

    image: sitk.Image
    normalised: NormalisedImage
    grid: Grid
    sampled: torch.Tensor
    mask: torch.Tensor | None
    notes: tuple[str, ...]
    grid_notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        image: sitk.Image,
        mask: sitk.Image | None,
        card: Card,
        spacing: float | str | None,
        device: torch.device,
    ) -> FixedImage:
        """Raises InputError for an image that nothing can be done with, and a mask that is zero everywhere."""
        image, notes = cleaned(image, "fixed image")
        grid, grid_notes = network_grid(image, card.space, spacing, mask)
        normalised = NormalisedImage.of(image, card.intensity, "fixed image")
        sampled = normalised.on(grid, None, device)
        on_grid = None if mask is None else sent(mask_on_network_grid(mask, grid), device)
        return cls(image, normalised, grid, sampled, on_grid, tuple(notes), tuple(grid_notes))


class MovingImage:
    """A moving image, cleaned once, and as it was last sampled for the network: frames of one sequence share it.

    Attributes:
        given: the very image it was made from, which must not be changed in place.
        image: the same with voxels that are not finite replaced.
        notes: what was done to it that a person should know.
    """

    def __init__(self, image: sitk.Image, intensity: IntensityRule, device: torch.device) -> None:
        """Raises InputError for an image that is not scalar, or whose geometry or values nothing can be done with."""
        self.given = image
        self.image, self.notes = cleaned(image, "moving image")
        self._intensity, self._device = intensity, device
        self._normalised: NormalisedImage | None = None
        self._sampled: tuple[Grid, sitk.Transform | None, torch.Tensor] | None = None

    def normalised(self) -> NormalisedImage:
        """The image with the network's intensities, on its own grid; kept until `release`."""
        if self._normalised is None:
            self._normalised = NormalisedImage.of(self.image, self._intensity, "moving image")
        return self._normalised

    def on(self, grid: Grid, alignment: sitk.Transform | None) -> torch.Tensor:
        """The image through the alignment on the network's grid, float32 (1, 1, *grid.shape); kept until another grid
        or alignment is asked for.
        """
        if self._sampled is not None:
            known_grid, known_alignment, tensor = self._sampled
            if known_alignment is alignment and known_grid.same_as(grid, 1e-6):
                return tensor
        tensor = self.normalised().on(grid, alignment, self._device)
        self._sampled = (grid, alignment, tensor)
        return tensor

    def release(self) -> None:
        """Forget the normalised image, as large as the image itself: only finer grids want it again."""
        self._normalised = None
