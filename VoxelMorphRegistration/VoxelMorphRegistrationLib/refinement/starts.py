"""A start for motion that a network does not reach alone: of several displacements the one most similar.

Three ways fail differently on real pairs. A network's own rough flow is the surest where tissue moves by what it was
trained on. LNCC followed from coarse voxels finds a small organ that contracts in a still surrounding. A discrete
search of self-similar features, with LNCC followed from what it finds, finds an organ that slides further than any
window is wide. Two that LNCC made are judged by the features, and what is best against the network by LNCC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..flow import integration
from .contrast import CoarseComparison
from .forces import Forces
from .levels import integration_shape, level_shape
from .pair import ImagePair
from .search import search
from .variation import Fit, fitted

_SMALL_MOTION = 1.5  # voxels of the network's grid: within every network's first window
# Of `CoarseComparison.denoised_lncc` under the network's rough flow, which noise does not lower. From _ALIKE on nothing
# is left to find. A discrete search takes seconds: from _NEAR on it finds nothing that a network does not, from _FAR on
# nothing where coarse LNCC found nothing either. Below _FAR what it finds was the better in all pairs, and coarse LNCC
# is not asked. But below _UNLIKE, as two people's lungs are, features match by chance: a search has to gain _CLEARLY
# more than coarse LNCC there. It gains 1 to 1.2 times as much where it is no better, 1.6 to 4.7 times where it finds a
# liver that slid or a hippocampus that LNCC missed.
_ALIKE, _NEAR, _FAR, _UNLIKE = 0.985, 0.975, 0.85, 0.65
_CLEARLY = 1.4
_LEAST_GAIN = 0.0025  # of `CoarseComparison.lncc`: noise gains .0009 at most, hearts that beat .004 to .025
_VOXELS = 650_000  # of the images, or thereabouts, isotropic
_COARSE = (4, 2)  # times coarser than those
_UPDATES = 30
_FIT = Fit(step=0.15, variation=0.3, smoothing=1.0, integrates=False)
_LARGEST = 0.999  # of the displacements: some voxels of noise are no motion


@dataclass(frozen=True)
class Start:
    """What a network goes on from.

    Attributes:
        velocity: (1, 3, *any), in voxels of its own grid, which shares its corner voxel centres with the images'.
        found_by: 'coarse LNCC' or 'discrete search'.
        gain: how much more similar it makes the pair than the network's rough displacement, by
            `CoarseComparison.lncc`.
    """

    velocity: torch.Tensor
    found_by: str
    gain: float


def better_start(images: ImagePair, rough: torch.Tensor, comparison: CoarseComparison) -> Start | None:
    """A start that makes a pair of one contrast more similar than `rough` does; of two the one whose features agree.

    None where neither does, where the motion is short or the rough displacement leaves only noise, and for 2D images.

    Args:
        rough: the network's own rough displacement (1, 3, *shape), in voxels.
        comparison: of the images.
    """
    if len(images.shape) != 3:
        return None
    similar = comparison.denoised_lncc(rough)
    # A network that misses the motion finds little of it: how far it goes says something where the pair is alike.
    if similar >= _ALIKE or (similar >= _NEAR and _largest(rough) < _SMALL_MOTION):
        return None
    alone = comparison.lncc(rough)
    seen = images.seen
    better: list[_Found] = []

    def compare(inside: torch.Tensor | None, name: str, least: float = _LEAST_GAIN) -> None:
        if inside is None:
            return
        displacement = images.field_of_view.extended(inside)
        gain = comparison.lncc(displacement) - alone
        if gain > least:
            better.append(_Found(displacement, name, gain))

    far = _UNLIKE <= similar < _FAR
    if far:
        compare(_searched(seen), "discrete search")
    if not better:
        compare(coarse_lncc(seen), "coarse LNCC")
        if not far and similar < (_NEAR if better else _FAR):
            least = _CLEARLY * better[0].gain if better and similar < _UNLIKE else _LEAST_GAIN
            compare(_searched(seen), "discrete search", least)
    if not better:
        return None
    best = better[0] if len(better) == 1 else min(better, key=lambda one: comparison.distance(one.displacement))
    return Start(_velocity(best.displacement), best.name, best.gain)


class _Found(NamedTuple):
    displacement: torch.Tensor
    name: str
    gain: float


def coarse_lncc(images: ImagePair) -> torch.Tensor:
    """The displacement (1, 3, *shape), in voxels, that LNCC finds from nothing at two coarse resolutions."""
    shape, images = images.shape, images.shrunk(images.isotropic_shape(_VOXELS))
    total = torch.zeros((1, 3, *images.shape), device=images.fixed.device)
    for factor in _COARSE:
        forces = Forces(images.pulled(total), "lncc")
        before = integration.resize_flow(total, level_shape(images.shape, factor))
        change = fitted(forces.at(factor), before, _UPDATES, _FIT, "border")
        total = integration.compose_flows(total, integration.resize_flow(change, images.shape), "border", quick=True)
    return integration.resize_flow(total, shape)


def _searched(images: ImagePair) -> torch.Tensor | None:
    """What the discrete search finds, followed by LNCC; None where there is nothing to search along."""
    found = search(images)
    return None if found is None else followed(images, found)


def followed(images: ImagePair, before: torch.Tensor) -> torch.Tensor:
    """A displacement and what LNCC finds after it at two coarse resolutions, both (1, 3, *shape), in voxels.

    Only what comes after it is held to vary little: it jumps itself where organs slide.
    """
    return integration.compose_flows(before, coarse_lncc(images.pulled(before)), "border", quick=True)


def _velocity(displacement: torch.Tensor) -> torch.Tensor:
    """Of a displacement (1, 3, *shape), as fine as the finer of the coarse resolutions: on the grid on which it is
    integrated, in voxels of that.
    """
    shape = tuple(displacement.shape[2:])
    coarse = integration.resize_flow(displacement, level_shape(shape, _COARSE[-1]))
    return integration.resize_flow(integration.logarithm(coarse, "border"), integration_shape(shape))


def _largest(displacement: torch.Tensor) -> float:
    """The length, in voxels, that one voxel of a thousand exceeds."""
    lengths = displacement[:, :, ::2, ::2, ::2].norm(dim=1).flatten()
    return float(lengths.kthvalue(max(1, int(_LARGEST * len(lengths)))).values)
