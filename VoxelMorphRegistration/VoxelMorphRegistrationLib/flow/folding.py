"""Where a displacement folds, and a velocity smoothed there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from . import integration
from .filters import apply_separable, box_matrices, gaussian_matrices
from .sampling import Padding

_ATTEMPTS = 3
_AROUND = 9  # voxels: edge of what is smoothed around one that folds
_SMOOTHING = 1.5  # voxels


def folded_voxels(displacement: torch.Tensor) -> int:
    """Voxels of a displacement (1, d, *shape), in voxels, at which the Jacobian determinant of x + u(x) is <= 0
    (central differences, one-sided at the border).
    """
    return int(_folded(displacement).sum())


def around_folds(displacement: torch.Tensor) -> torch.Tensor:
    """1 within 4 voxels of where a displacement (1, d, *shape), in voxels, folds, 0 farther away, soft in between:
    (1, 1, *shape).
    """
    shape, device = tuple(displacement.shape[2:]), displacement.device
    folded = _folded(displacement)[None, None].float()
    around = apply_separable(folded, box_matrices(shape, _AROUND, 1, device)) > 0
    return apply_separable(around.float(), gaussian_matrices(shape, 1.0, device))


def greatest_gradient(vectors: torch.Tensor, spacing: Sequence[float]) -> float:
    """A number that no Frobenius norm of a displacement's gradient exceeds: of each axis the greatest change between
    neighbours counts.

    Args:
        vectors: (*shape, d). spacing: of their grid along each array axis, in the same unit.
    """
    changes = [vectors.diff(dim=axis).square().sum(-1).flatten() / step**2 for axis, step in enumerate(spacing)]
    largest = [change.max() for change in changes if change.numel()]
    return float(torch.stack(largest).sum().sqrt()) if largest else 0.0


@dataclass(frozen=True)
class SmoothedFolds:
    """A velocity whose folds were smoothed.

    Attributes:
        velocity: (1, d, *shape), in voxels.
        displacement: exp(velocity), (1, d, *shape), in voxels, by quick sampling (`sampling.sample_normalised`).
        folded: voxels of the displacement that fold all the same.
    """

    velocity: torch.Tensor
    displacement: torch.Tensor
    folded: int


def smooth_folds(velocity: torch.Tensor, most: int, squarings: int, padding: Padding) -> SmoothedFolds:
    """A velocity, smoothed around the voxels that fold while there are more than `most` of them, up to 3 times.

    Args:
        velocity: (1, d, *shape), in voxels.
        squarings, padding: of the integration.
    """
    smoothing = gaussian_matrices(tuple(velocity.shape[2:]), _SMOOTHING, velocity.device)
    for _ in range(_ATTEMPTS):
        found = _integrated(velocity, squarings, padding)
        if found.folded <= most:
            return found
        share = around_folds(found.displacement)
        velocity = torch.lerp(velocity, apply_separable(velocity, smoothing), share)
    return _integrated(velocity, squarings, padding)


def _integrated(velocity: torch.Tensor, squarings: int, padding: Padding) -> SmoothedFolds:
    displacement = integration.integrate(velocity, squarings, padding, quick=True)
    return SmoothedFolds(velocity, displacement, folded_voxels(displacement))


def _folded(displacement: torch.Tensor) -> torch.Tensor:
    """Where a displacement (1, d, *shape) folds: bool (*shape)."""
    dimension = displacement.shape[1]
    if min(displacement.shape[2:]) < 2:
        return torch.zeros(displacement.shape[2:], dtype=torch.bool, device=displacement.device)
    rows = [torch.gradient(displacement[0, c]) for c in range(dimension)]
    matrix = [[rows[c][a] + (1.0 if a == c else 0.0) for a in range(dimension)] for c in range(dimension)]
    return _determinant(matrix) <= 0


def _determinant(matrix: list[list[torch.Tensor]]) -> torch.Tensor:
    if len(matrix) == 2:
        return matrix[0][0] * matrix[1][1] - matrix[0][1] * matrix[1][0]
    total = torch.zeros_like(matrix[0][0])
    for column in range(3):
        one, two = (column + 1) % 3, (column + 2) % 3
        total += matrix[0][column] * (matrix[1][one] * matrix[2][two] - matrix[1][two] * matrix[2][one])
    return total
