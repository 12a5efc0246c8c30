"""Separable linear filters as one small matrix an axis: box sums, Gaussian smoothing, linear resampling.

A banded matrix product is what a CPU and a GPU do best: at 96 x 112 x 96 voxels a 9-voxel box sum at every second voxel
takes 2 ms here, against 20-90 ms for shifted additions, pooling or convolutions. The adjoint is the product with the
transposed matrices, so gradients cost the same and need no code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from .transfers import constant

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_NOTHING = 1e-9  # of the largest weight: float32 has seven digits


def apply_separable(values: torch.Tensor, matrices: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Apply matrix a, of shape (out_a, in_a), along spatial axis a of `values` (B, C, in_0, ..., in_d-1).

    None in place of a matrix leaves its axis as it is.
    """
    dimension = values.dim() - 2
    if len(matrices) != dimension:
        raise ValueError(f"{len(matrices)} matrices for values of {dimension} spatial axes {tuple(values.shape)}")
    changed = [(axis, matrix) for axis, matrix in enumerate(matrices) if matrix is not None]
    for axis, matrix in sorted(changed, key=lambda one: one[1].shape[0] / one[1].shape[1]):
        before = values.shape
        rows = values.reshape(*before[: 2 + axis], before[2 + axis], -1)
        if axis == dimension - 1:
            values = torch.matmul(values, matrix.t())
        else:
            values = torch.matmul(matrix, rows).reshape(*before[: 2 + axis], matrix.shape[0], *before[3 + axis :])
    return values


def box_matrices(
    shape: Sequence[int], width: int, stride: int = 1, device: torch.device | str = "cpu"
) -> list[torch.Tensor]:
    """Matrices that sum over windows of `width` (odd) voxels an axis, centred on every `stride`-th; outside is 0."""
    return [constant(device, _box, n, width, stride) for n in shape]


def box_smoothed(values: torch.Tensor, times: int = 1) -> torch.Tensor:
    """Means over 3 voxels an axis of (B, C, *shape), cut ones at the borders, taken so many times."""
    return apply_separable(values, [constant(values.device, _means, n, times).to(values) for n in values.shape[2:]])


def gaussian_matrices(shape: Sequence[int], sigma: float, device: torch.device | str = "cpu") -> list[torch.Tensor]:
    """Matrices that smooth with a Gaussian of `sigma` voxels, weights renormalised at borders; 0 changes nothing."""
    return [constant(device, _gaussian, n, float(sigma)) for n in shape]


def resize_matrices(
    shape: Sequence[int], new_shape: Sequence[int], device: torch.device | str = "cpu"
) -> list[torch.Tensor]:
    """Matrices of linear resampling between grids that share first and last voxel centres (align_corners=True)."""
    return [constant(device, _resize, n, m) for n, m in zip(shape, new_shape)]


def resized(values: torch.Tensor, shape: Sequence[int], corners: bool = True) -> torch.Tensor:
    """Values (B, C, *any) resampled linearly on another grid, (B, C, *shape); beyond the outermost centres the nearest.

    On a processor by matrices, in a fifth to two fifths of what PyTorch's interpolation takes value by value.

    Args:
        corners: whether the grids share their first and last voxel centres (align_corners=True) or their faces.
    """
    old, shape = tuple(values.shape[2:]), tuple(shape)
    if old == shape:
        return values
    if values.device.type != "cpu" or values.dtype != torch.float32:
        return F.interpolate(values, size=shape, mode=_LINEAR[len(shape)], align_corners=corners)
    make = _resize if corners else _resize_cells
    matrices = [None if n == m else constant(values.device, make, n, m) for n, m in zip(old, shape)]
    with torch.autocast("cpu", enabled=False):
        return apply_separable(values, matrices)


def interpolation_matrix(n: int, positions: torch.Tensor) -> torch.Tensor:
    """Matrix (len(positions), n) of linear interpolation between n values at positions from 0 to n - 1; float64."""
    return (1 - (positions[:, None].double() - torch.arange(n, dtype=torch.float64)[None]).abs()).clamp(min=0)


def _box(n: int, width: int, stride: int) -> torch.Tensor:
    centres = torch.arange((n - 1) % stride // 2, n, stride)[:, None]
    return ((centres - torch.arange(n)[None]).abs() <= width // 2).float()


def _means(n: int, times: int) -> torch.Tensor:
    box = _box(n, 3, 1).double()
    return torch.linalg.matrix_power(box / box.sum(1, keepdim=True), times).float()


def _gaussian(n: int, sigma: float) -> torch.Tensor:
    if sigma <= 0:
        return torch.eye(n)
    distance = torch.arange(n, dtype=torch.float64)[:, None] - torch.arange(n, dtype=torch.float64)[None]
    weights = torch.exp(-0.5 * (distance / sigma) ** 2)
    # What float32 has only as a denormal number changes no sum, and is multiplied thirty times slower than a zero.
    weights[weights < _NOTHING] = 0.0
    return (weights / weights.sum(1, keepdim=True)).float()


def _resize(n: int, m: int) -> torch.Tensor:
    position = torch.linspace(0, n - 1, m, dtype=torch.float64) if m > 1 else torch.tensor([(n - 1) / 2.0]).double()
    return interpolation_matrix(n, position).float()


def _resize_cells(n: int, m: int) -> torch.Tensor:
    position = (torch.arange(m, dtype=torch.float64) + 0.5) * n / m - 0.5
    return interpolation_matrix(n, position.clamp(0, n - 1)).float()
