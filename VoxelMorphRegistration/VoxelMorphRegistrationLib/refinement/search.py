"""A start that survives motion of many voxels: a discrete search on coarse features, then a smooth field fitted.

Gradients and networks see as far as their windows. Where tissue moves further than that, as a liver does by 20-30 mm in
a deep breath, they match its neighbour. The search compares every cell of a coarse grid with every one within reach.
What it finds is rough; a displacement is fitted to it that makes MIND-SSC features agree, smooth but for jumps between
organs and body wall (total variation, as in Vishnevskiy et al., Isotropic total variation regularization of
displacements in parametric image registration, TMI 2017). It may fold: who goes on from it takes a velocity near it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..flow import sampling
from ..flow.filters import box_smoothed, resized
from ..flow.similarity import mind_ssc
from .adam import Adam
from .levels import shrink
from .matching import matched_displacement
from .pair import ImagePair
from .variation import variation_gradient

_CELL = 4  # voxels an edge, of the first stage's images
_REACH = 4  # cells
_FITTED_CELL = 2  # voxels an edge of the cells on which the displacement lives
_VARIATION = 0.12  # weight of the total variation; of .07, .12, .2 and .3 the best on livers and hearts together
_SMOOTHINGS = 3
_LEAST_VOXELS = 16  # an axis: thinner images have nothing to search along


class _Stage(NamedTuple):
    """One resolution at which the displacement is fitted.

    Attributes:
        voxels: of the images it sees, or thereabouts: 300,000 are a liver of 240 x 250 x 108 mm at 2.8 mm.
        updates: of the displacement.
        first, last: what a cell moves in an update, in cells.
    """

    voxels: int
    updates: int
    first: float
    last: float


# By all real pairs together: the coarser resolution alone leaves livers .2 mm further off, three quarters as many
# updates .02 mm and hearts .01 of Dice worse.
_STAGES = (_Stage(300_000, 25, 1.0, 1.0), _Stage(600_000, 15, 0.7, 0.2))


def search(images: ImagePair) -> torch.Tensor | None:
    """The displacement (1, 3, *shape), in voxels of the images' grid, that a global search finds.

    None for 2D images and for images too thin for it.
    """
    if len(images.shape) != 3 or min(images.isotropic_shape(_STAGES[0].voxels)) < _LEAST_VOXELS:
        return None
    found: torch.Tensor | None = None
    for stage in _STAGES:
        seen = images.isotropic_shape(stage.voxels)
        with torch.no_grad():
            features = [mind_ssc(shrink(image, seen)) for image in (images.fixed, images.moving)]
            found = _matched(features, seen) if found is None else found
            finer = tuple(n // _FITTED_CELL for n in seen)
            fixed, moving = (_averaged(part, finer) for part in features)
        found = _fitted(fixed, moving, _on_cells(found, finer), stage)
    assert found is not None, "there is a stage at least"
    return _on_cells(found, images.shape)


def _matched(features: list[torch.Tensor], seen: tuple[int, ...]) -> torch.Tensor:
    """The displacement (1, 3, *cells), in cells, of every cell to the one that matches best."""
    cells = tuple(n // _CELL for n in seen)
    fixed, moving = (_averaged(part, cells) for part in features)
    return matched_displacement(fixed, moving, tuple(min(_REACH, n - 1) for n in cells))


def _averaged(features: torch.Tensor, cells: tuple[int, ...]) -> torch.Tensor:
    """Features (1, C, *shape) averaged over a grid of cells that fills the same box: (1, C, *cells)."""
    depth, height, width = cells
    return F.adaptive_avg_pool3d(features, (depth, height, width))


def _on_cells(field: torch.Tensor, cells: tuple[int, ...]) -> torch.Tensor:
    """A field in cells of its grid on another grid of cells that fills the same box, in cells of that one.

    Here the faces of the grids coincide, not their corner centres: features are averaged over whole cells.
    """
    ratio = [new / old for new, old in zip(cells, field.shape[2:])]
    return resized(field, cells, corners=False) * torch.tensor(ratio, device=field.device).view(1, 3, 1, 1, 1)


def _fitted(fixed: torch.Tensor, moving: torch.Tensor, start: torch.Tensor, stage: _Stage) -> torch.Tensor:
    """The displacement near `start` that makes the features agree and varies little: (1, 3, *cells), in cells.

    Adam on the sum of the features' mean squared difference and of the displacement's total variation.
    """
    parameters = start.clone()
    adam = Adam(parameters)
    for number in range(stage.updates):
        displacement = box_smoothed(parameters, _SMOOTHINGS)
        descent = _feature_gradient(fixed, moving, displacement)
        descent += _VARIATION * variation_gradient(displacement) / fixed[0, 0].numel()
        size = stage.first + (stage.last - stage.first) * number / max(stage.updates - 1, 1)
        adam.step(box_smoothed(descent, _SMOOTHINGS), size)
    return box_smoothed(parameters, _SMOOTHINGS)


def _feature_gradient(fixed: torch.Tensor, moving: torch.Tensor, displacement: torch.Tensor) -> torch.Tensor:
    """The derivative of the features' mean squared difference by the displacement that pulls the moving ones."""
    with torch.enable_grad():
        moved = displacement.detach().requires_grad_(True)
        # Exactly: at the centre of a cell a gradient has two sides, and which one it is would be left to rounding.
        difference = sampling.warp(moving, moved, "border") - fixed
        (gradient,) = torch.autograd.grad(difference.square().sum(1).mean(), [moved])
    return gradient
