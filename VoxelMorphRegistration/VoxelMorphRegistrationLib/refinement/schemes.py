"""How far and how smoothly a velocity is moved at each level, chosen by how similar the pair is at the start.

The smoothing was chosen by known displacements and labels (Testing/benchmarks/accuracy), not by the similarity: in its
own domain a trained network beats the similarity's optimum, and following the similarity there loses overlap. Two kinds
of pairs want two smoothings. Frames of one patient show the same tissue: what the start leaves is small, and short
motion would be noise. Two people differ in detail: short motion is what is missing. How similar the start makes the
images tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Scheme:
    """How a velocity is optimised, level by level. Lengths are voxels of the level's velocity grid, which is half as
    fine as the level's images.

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


DETAILED = Scheme(
    (4, 2, 1),
    (60, 60, 20),
    fluid=0.7,
    elastic=(0.4, 0.4, 0.3),
    update_size=0.3,
    even=1.0,
    finer_updates=6,
    finer_elastic=0.3,
)
SMOOTH = Scheme(
    (4, 2, 1), (60, 60, 20), fluid=1.1, elastic=(0.45, 0.45, 0.4), update_size=0.3, finer_updates=6, finer_elastic=0.4
)
OTHER_CONTRAST = Scheme((4, 2, 1), (20, 20, 8), fluid=3.0, elastic=(1.0, 1.0, 1.0))
_TWO_PEOPLE, _ONE_PATIENT = 0.82, 0.92  # `smoothed_lncc`: brains of two people .65-.82, frames .95, with noise .85


def scheme_for(similarity: float) -> Scheme:
    """The scheme for a pair of one contrast whose start reaches this `contrast.smoothed_lncc`.

    DETAILED up to what two people reach, SMOOTH from what frames of one patient reach, linear in between.
    """
    share = min(1.0, max(0.0, (similarity - _TWO_PEOPLE) / (_ONE_PATIENT - _TWO_PEOPLE)))

    def between(one: float, other: float) -> float:
        return one + share * (other - one)

    return replace(
        DETAILED,
        most_updates=tuple(round(between(*pair)) for pair in zip(DETAILED.most_updates, SMOOTH.most_updates)),
        fluid=between(DETAILED.fluid, SMOOTH.fluid),
        elastic=tuple(between(*pair) for pair in zip(DETAILED.elastic, SMOOTH.elastic)),
        even=between(DETAILED.even, SMOOTH.even),
        finer_updates=round(between(DETAILED.finer_updates, SMOOTH.finer_updates)),
        finer_elastic=between(DETAILED.finer_elastic, SMOOTH.finer_elastic),
    )
