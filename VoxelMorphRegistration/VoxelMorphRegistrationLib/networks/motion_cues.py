"""Motion cues: a local least-squares displacement between two images of any contrast, and its confidence."""

from __future__ import annotations

import torch

from ..flow.filters import apply_separable, box_matrices

TINY = 1e-6
DAMPING = 0.05  # towards no motion, as a share of the mean squared gradient
PAIRS = {2: ((0, 0), (1, 1), (0, 1)), 3: ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))}


def motion_cues(fixed: torch.Tensor, moving: torch.Tensor, window: int, damping: float = DAMPING) -> torch.Tensor:
    """Displacement by Lucas and Kanade's least squares in a window around every voxel, and its confidence.

    In each window the fixed image is first mapped onto the moving image's contrast by linear regression, so that bright
    on dark matches dark on bright. Then u solves min sum (a f + b - m - grad m . u)^2 + damping (Lucas and Kanade, An
    iterative image registration technique, IJCAI 1981). It holds for motions smaller than the window.

    Args:
        fixed, moving: (B, 1, *shape).
        window: edge in voxels, odd.
        damping: towards no motion, as a share of the mean squared gradient.

    Returns:
        (B, d + 1, *shape): u in voxels, pulling, channel c along array axis c, held within half a window; then the
        confidence, the squared local correlation of the two images, 0 to 1.
    """
    dimension = fixed.dim() - 2
    matrices = box_matrices(fixed.shape[2:], window, 1, fixed.device)
    gradient = torch.cat([_derivative(moving, 2 + axis) for axis in range(dimension)], dim=1)
    moments = torch.cat([torch.ones_like(fixed), fixed, moving, fixed * fixed, moving * moving, fixed * moving], dim=1)
    moments = apply_separable(moments, matrices)
    count, *means = moments.split(1, dim=1)
    f, m, ff, mm, fm = (value / count for value in means)
    covariance, of_fixed, of_moving = fm - f * m, (ff - f * f).clamp_min(0), (mm - m * m).clamp_min(0)
    confidence = covariance**2 / (of_fixed * of_moving + TINY)
    slope = covariance / (of_fixed + TINY)
    residual = m + slope * (fixed - f) - moving
    pairs = PAIRS[dimension]
    products = torch.cat([gradient[:, a : a + 1] * gradient[:, b : b + 1] for a, b in pairs], dim=1)
    sums = apply_separable(torch.cat([products, gradient * residual], dim=1), matrices) / count
    tensor = {pair: sums[:, n] for n, pair in enumerate(pairs)}
    trace = sum(tensor[axis, axis] for axis in range(dimension)) / dimension
    floor = trace.mean(dim=tuple(range(1, trace.dim())), keepdim=True)
    for axis in range(dimension):
        tensor[axis, axis] = tensor[axis, axis] + damping * (trace + floor) + TINY
    solution = solve(tensor, [sums[:, len(pairs) + axis] for axis in range(dimension)])
    limit = window / 2
    return torch.cat([limit * torch.tanh(solution / limit), confidence], dim=1)


def solve(matrix: dict, right: list[torch.Tensor]) -> torch.Tensor:
    """The solutions of symmetric 2x2 or 3x3 systems, by cofactors: (B, d, *shape)."""
    if len(right) == 2:
        a, c, b = matrix[0, 0], matrix[1, 1], matrix[0, 1]
        determinant = a * c - b * b
        return torch.stack([c * right[0] - b * right[1], a * right[1] - b * right[0]], dim=1) / determinant[:, None]
    a, d, f = matrix[0, 0], matrix[1, 1], matrix[2, 2]
    b, c, e = matrix[0, 1], matrix[0, 2], matrix[1, 2]
    aa, bb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    dd, ee, ff = a * f - c * c, b * c - a * e, a * d - b * b
    determinant = a * aa + b * bb + c * cc
    x, y, z = right
    solution = torch.stack([aa * x + bb * y + cc * z, bb * x + dd * y + ee * z, cc * x + ee * y + ff * z], dim=1)
    return solution / determinant[:, None]


def _derivative(image: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.gradient(image, dim=axis)[0]
