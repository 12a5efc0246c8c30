"""How a pair is optimised, level by level.

The numbers were chosen by landmarks and labels of real pairs and known displacements of simulated ones together
(Testing/benchmarks), not by the similarity: in its own domain a trained network beats the similarity's optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

from .variation import Fit


@dataclass(frozen=True)
class FitLevel:
    """A fit with little total variation at one resolution.

    Attributes:
        voxels: about how many isotropic voxels its images have; 0 for the images as they are.
        updates: how many.
        fit: see `variation.Fit`.
    """

    voxels: int
    updates: int
    fit: Fit


@dataclass(frozen=True)
class Scheme:
    """How a velocity is optimised. Lengths are voxels of the level's velocity grid, which is half as fine as the
    level's images.

    Attributes:
        factors: how many times coarser than the images each level is, coarse to fine; the last is 1.
        most_updates: the most updates of each level.
        fluid: sigma of the Gaussian that smooths each update.
        elastic: sigma of the Gaussian that smooths the whole change after each update, level by level.
        update_size: largest update of a voxel.
        even: 0 moves every voxel in proportion to its force; 1 moves weak forces nearly as far as strong ones, which
            ends in half the updates, but follows noise.
        finer_updates: how many of the last level's updates are taken with images of twice the resolution, where there
            are any; finer_elastic and finer_update_size are theirs.
        fits: what is fitted before, one after the other.
    """

    factors: tuple[int, ...]
    most_updates: tuple[int, ...]
    fluid: float
    elastic: tuple[float, ...]
    update_size: float = 0.5
    even: float = 0.0
    finer_updates: int = 0
    finer_elastic: float = 0.0
    finer_update_size: float = 0.5
    fits: tuple[FitLevel, ...] = ()


# Twice as many updates pull hearts straight (.85 -> .84 of Dice) and bring livers no nearer.
# What finer images show is worth most and costs most: of eight livers 100 updates leave 1.89 mm with none of them, 1.74
# with 3, 1.71 with 6; 'auto' leaves 1.67 with 12.
_FIT = Fit(step=0.2, variation=0.07, smoothing=0.8, still=0.1)
ONE_CONTRAST = Scheme(
    (4, 2, 1),
    (60, 60, 36),
    fluid=1.1,
    elastic=(0.45, 0.45, 0.4),
    update_size=0.3,
    even=0.5,
    finer_updates=12,
    finer_elastic=0.4,
    fits=(FitLevel(300_000, 11, _FIT), FitLevel(0, 11, _FIT)),
)
OTHER_CONTRAST = Scheme((4, 2, 1), (20, 20, 8), fluid=3.0, elastic=(1.0, 1.0, 1.0))
