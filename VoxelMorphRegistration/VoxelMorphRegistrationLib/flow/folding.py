"""Where a displacement folds, and a velocity mended there."""

from __future__ import annotations

import torch

from . import integration
from .filters import apply_separable, box_matrices, gaussian_matrices
from .sampling import Padding

_ATTEMPTS = 3
_AROUND = 9  # voxels: edge of what is smoothed around one that folds
_SMOOTHING = 1.5  # voxels


def folded_voxels(displacement: torch.Tensor) -> int:
    """Voxels of a displacement (1, d, *shape) at which the Jacobian determinant is <= 0 (central differences)."""
    return int(_folded(displacement).sum())


def unfolded(
    velocity: torch.Tensor, change: torch.Tensor, most: int, steps: int, padding: Padding
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The velocity changed, its displacement and how many voxels of that fold.

    Where more than `most` do, the change is smoothed around them, and again, a few times at most.
    """
    shape, device = tuple(change.shape[2:]), change.device
    for attempt in range(_ATTEMPTS + 1):
        candidate = velocity + change
        after = integration.integrate(candidate, steps, padding)
        folded = _folded(after)
        count = int(folded.sum())
        if count <= most or attempt == _ATTEMPTS:
            break
        around = apply_separable(folded[None, None].float(), box_matrices(shape, _AROUND, 1, device)) > 0
        share = apply_separable(around.float(), gaussian_matrices(shape, 1.0, device))
        change = torch.lerp(change, apply_separable(change, gaussian_matrices(shape, _SMOOTHING, device)), share)
    return candidate, after, count


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
