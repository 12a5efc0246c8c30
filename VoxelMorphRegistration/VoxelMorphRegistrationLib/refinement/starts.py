"""A start for motion that a network does not reach alone: of several displacements the one most similar.

Three ways fail differently on real pairs. A network's own rough flow is the surest where tissue moves by what it was
trained on. LNCC followed from coarse voxels finds a small organ that contracts in a still surrounding. A discrete
search of self-similar features finds an organ that slides further than any window is wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..flow import integration
from .contrast import coarse_similarity, structured_lncc
from .forces import Forces
from .levels import level_shape
from .pair import ImagePair
from .search import search
from .variation import Fit, fitted

_SMALL_MOTION = 1.5  # voxels of the network's grid: within every network's first window
# Of `coarse_similarity`, which noise does not lower, under the network's rough flow. From _ALIKE on nothing is left to
# find, from _NEAR on nothing that a discrete search, which takes seconds, finds and a network does not.
_ALIKE, _NEAR = 0.985, 0.85
_LEAST_GAIN = 0.005  # of `structured_lncc`: less is noise
_COARSE = (4, 2)  # times coarser than the images
_UPDATES = 30
_FIT = Fit(step=0.15, variation=0.3, smoothing=1.0)
_SQUARINGS = 6
_LARGEST = 0.999  # of the displacements: some voxels of noise are no motion


@dataclass(frozen=True)
class Start:
    """What a network goes on from.

    Attributes:
        velocity: (1, 3, *shape), in voxels.
        found_by: 'coarse LNCC' or 'discrete search'.
        gain: how much more similar it makes the pair than the network's rough displacement: of `structured_lncc`.
    """

    velocity: torch.Tensor
    found_by: str
    gain: float


def better_start(images: ImagePair, rough: torch.Tensor) -> Start | None:
    """A start that makes a pair of one contrast more similar than `rough` does.

    None where neither of the two found does, where the motion is short or the rough displacement leaves only noise, and
    for 2D images.

    Args:
        rough: the network's own rough displacement (1, 3, *shape), in voxels.
    """
    if len(images.shape) != 3 or _largest(rough) < _SMALL_MOTION:
        return None
    similar = coarse_similarity(images, rough)
    if similar >= _ALIKE:
        return None
    alone = structured_lncc(images, rough)
    best, chosen = alone + _LEAST_GAIN, None
    for name, find in (("coarse LNCC", coarse_lncc), ("discrete search", search)):
        if find is search and similar >= _NEAR:
            break
        velocity = find(images)
        if velocity is None:
            continue
        similarity = structured_lncc(images, integration.integrate_coarsely(velocity, _SQUARINGS, "border"))
        if similarity > best:
            best, chosen = similarity, Start(velocity, name, similarity - alone)
    return chosen


def coarse_lncc(images: ImagePair) -> torch.Tensor:
    """The velocity (1, 3, *shape), in voxels, that LNCC finds from nothing at two coarse resolutions."""
    total = torch.zeros((1, 3, *images.shape), device=images.fixed.device)
    for factor in _COARSE:
        forces = Forces(images.pulled(total), "lncc")
        factor *= forces.finest
        shape = level_shape(images.shape, factor)
        velocity = fitted(forces.at(factor), integration.resize_flow(total, shape), _UPDATES, _FIT, "border")
        change = integration.integrate(integration.resize_flow(velocity, images.shape), _SQUARINGS, "border")
        total = integration.compose_flows(total, change, "border")
    coarse = integration.logarithm(integration.resize_flow(total, level_shape(images.shape, _COARSE[-1])), "border")
    return integration.resize_flow(coarse, images.shape)


def _largest(displacement: torch.Tensor) -> float:
    """The length, in voxels, that one voxel of a thousand exceeds."""
    lengths = displacement[:, :, ::2, ::2, ::2].norm(dim=1).flatten()
    return float(lengths.kthvalue(max(1, int(_LARGEST * len(lengths)))).values)
