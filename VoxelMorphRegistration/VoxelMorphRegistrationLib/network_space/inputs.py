"""From the two images to the tensors a network sees; `outputs.py` has the way back.

The fixed image is brought onto the network's grid (`grid.network_grid`) by cropping and padding, the moving image is
resampled onto it in physical space, through the alignment.

Before an image is sampled more coarsely than its voxels it is smoothed with a Gaussian whose width matches the two
point spreads: sigma = sqrt(coarse**2 - fine**2) / (2 sqrt(2 ln 2)) along each axis (Cardoso et al., Scale factor point
spread function matching, MICCAI 2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
import torch

from ..errors import InputError
from ..flow.transfers import sent
from ..space.affine import linear_parts
from ..space.grid import Grid
from .axis_map import AxisMap, regrid, smooth
from .grid import spacing_along
from .intensity import IntensityRule

_FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))


@dataclass
class NetworkInputs:
    """What goes into the network: tensors (1, 1, *grid.shape), float32, normalised, and the grid they lie on.

    Attributes:
        mask: where the images are compared; None for everywhere.
        counting: not zero where the moving image counts, as it lies here; None for everywhere.
        fading: the share of a motion that stays, where the moving image covers a part of the fixed one; None where it
            covers all.
    """

    fixed: torch.Tensor
    moving: torch.Tensor
    grid: Grid
    mask: torch.Tensor | None = None
    counting: torch.Tensor | None = None
    fading: torch.Tensor | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class NormalisedImage:
    """An image with the values a network was trained on, to be sampled on one grid or several."""

    values: np.ndarray
    grid: Grid

    @classmethod
    def of(cls, image: sitk.Image, intensity: IntensityRule, name: str = "image") -> NormalisedImage:
        """Raises InputError, naming the image, where `intensity.normalise` does."""
        return cls(intensity.normalise(sitk.GetArrayViewFromImage(image), name), Grid.of(image))

    def smoothed_for(
        self, grid: Grid, alignment: sitk.Transform | None, device: torch.device | str = "cpu"
    ) -> torch.Tensor:
        """The values on their own grid, smoothed as they are before another samples them: (1, 1, *self.grid.shape)."""
        values = torch.from_numpy(self.values)[None]
        return sent(smooth(values, _antialias_sigma(self.grid, grid, alignment)), device)[None]

    def on(self, grid: Grid, alignment: sitk.Transform | None, device: torch.device | str = "cpu") -> torch.Tensor:
        """The values at alignment(x) for the voxels x of a grid: (1, 1, *grid.shape), on a device.

        Outside its field of view the image has the smallest value it has inside.
        """
        background = float(self.values.min())
        sigma = _antialias_sigma(self.grid, grid, alignment)
        tensor = torch.from_numpy(self.values)[None]
        axis_map = AxisMap.between(grid, self.grid) if alignment is None else None
        if axis_map is not None:
            try:
                return regrid(sent(tensor, device), axis_map, grid.shape, background, sigma)[None]
            except torch.cuda.OutOfMemoryError:  # The whole image may need more room than what the network sees of it.
                return sent(regrid(tensor, axis_map, grid.shape, background, sigma)[None], device)
        values = self.smoothed_for(grid, alignment)[0, 0].numpy()
        transform = alignment if alignment is not None else sitk.Transform(grid.dimension, sitk.sitkIdentity)
        resampled = sitk.Resample(
            self.grid.image(values),
            grid.empty_image(sitk.sitkUInt8),
            transform,
            sitk.sitkLinear,
            background,
            sitk.sitkFloat32,
        )
        return sent(torch.from_numpy(sitk.GetArrayFromImage(resampled))[None, None], device)


def on_network_grid(
    image: sitk.Image, grid: Grid, alignment: sitk.Transform | None, intensity: IntensityRule, name: str = "image"
) -> torch.Tensor:
    """The image, normalised and sampled on the network's grid, (1, 1, *grid.shape): see `NormalisedImage`."""
    return NormalisedImage.of(image, intensity, name).on(grid, alignment)


def mask_on_network_grid(mask: sitk.Image, grid: Grid) -> torch.Tensor:
    """1 where the mask is not zero, float32 (1, 1, *grid.shape); raises InputError when that is nowhere."""
    on_grid = region_on_network_grid(mask, grid, None)
    if not bool(on_grid.any()):
        raise InputError("mask: it is zero everywhere on the fixed image; draw it on the fixed image")
    return on_grid


def region_on_network_grid(region: sitk.Image, grid: Grid, alignment: sitk.Transform | None) -> torch.Tensor:
    """1 where the image at alignment(x) is not zero, for the voxels x of a grid: float32 (1, 1, *grid.shape)."""
    transform = alignment if alignment is not None else sitk.Transform(grid.dimension, sitk.sitkIdentity)
    on_grid = sitk.Resample(
        region != 0, grid.empty_image(sitk.sitkUInt8), transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8
    )
    return torch.from_numpy(sitk.GetArrayFromImage(on_grid).astype(np.float32))[None, None]


def _antialias_sigma(source: Grid, grid: Grid, alignment: sitk.Transform | None) -> tuple[float, ...]:
    """Gaussian sigma, in source voxels along each source axis (array order), before sampling on `grid`; 0 is none."""
    along = grid.directions
    affine = None if alignment is None else linear_parts(alignment)
    if affine is not None:
        along = affine[0] @ along
        along = along / np.linalg.norm(along, axis=0)
    ratio = spacing_along(source.directions, along, grid.spacing) / np.asarray(source.spacing)
    widths = [math.sqrt(max(r * r - 1.0, 0.0)) / _FWHM if r > 1.01 else 0.0 for r in ratio]
    sigma = [round(width, 6) if n > 1 else 0.0 for width, n in zip(widths, source.size)]
    return tuple(reversed(sigma))
