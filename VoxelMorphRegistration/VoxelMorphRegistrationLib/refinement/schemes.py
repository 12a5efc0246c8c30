"""How a pair is optimised, level by level.

The numbers were chosen by landmarks and labels of real pairs and known displacements of simulated ones together
(Testing/benchmarks), not by the similarity: in its own domain a trained network beats the similarity's optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

from .variation import Fit

FINER = 0.5  # the factor of a level whose images are of twice the resolution


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
class Level:
    """One resolution at which a velocity is optimised. Lengths are voxels of the level's velocity grid.

    Attributes:
        factor: how many times coarser than the pair's images those of the level are; `FINER` for finer ones.
        updates: the most it may take.
        fluid: sigma of the Gaussian that smooths each update.
        elastic: sigma of the Gaussian that smooths the whole change after each update; 0 smooths the updates alone.
        update_size: largest update of a voxel.
    """

    factor: float
    updates: int
    fluid: float
    elastic: float
    update_size: float


@dataclass(frozen=True)
class Scheme:
    """How a velocity is optimised, on grids half as fine as each level's images; with finer images, on the pair's grid.

    Attributes:
        levels: coarse to fine; the last sees the pair's images as they are.
        finer: what takes the place of the last level where there are images of twice the resolution; nothing where
            they are not wanted.
        even: 0 moves every voxel in proportion to its force; 1 moves weak forces nearly as far as strong ones, which
            ends in half the updates, but follows noise.
        fits: what is fitted before, one after the other.
    """

    levels: tuple[Level, ...]
    even: float = 0.0
    finer: tuple[Level, ...] = ()
    fits: tuple[FitLevel, ...] = ()

    def levels_for(self, with_finer: bool) -> tuple[Level, ...]:
        """The levels of a pair with finer images, or of one without."""
        return (*self.levels[:-1], *self.finer) if with_finer and self.finer else self.levels


# Twice as many updates pull hearts straight (.85 -> .84 of Dice) and bring livers no nearer.
# What the finest images show is worth most and costs most: of eight livers 100 updates leave 1.89 mm without finer
# ones. To smooth the whole change there as well takes livers .007 mm further off and brains .003 to .006 of Dice.
# Before them .5 is a little better than .4; hippocampi, which have none, lose .002 of Dice by it.
_FIT = Fit(step=0.2, variation=0.07, smoothing=0.8, still=0.1)
ONE_CONTRAST = Scheme(
    levels=(
        Level(4, updates=60, fluid=1.1, elastic=0.45, update_size=0.3),
        Level(2, updates=60, fluid=1.1, elastic=0.45, update_size=0.3),
        Level(1, updates=60, fluid=1.1, elastic=0.4, update_size=0.3),
    ),
    finer=(
        Level(1, updates=16, fluid=1.1, elastic=0.5, update_size=0.3),
        Level(FINER, updates=14, fluid=0.9, elastic=0.0, update_size=0.5),
    ),
    even=0.5,
    fits=(FitLevel(300_000, 11, _FIT), FitLevel(0, 11, _FIT)),
)
OTHER_CONTRAST = Scheme(
    levels=(
        Level(4, updates=20, fluid=3.0, elastic=1.0, update_size=0.5),
        Level(2, updates=20, fluid=3.0, elastic=1.0, update_size=0.5),
        Level(1, updates=8, fluid=3.0, elastic=1.0, update_size=0.5),
    )
)
