"""Motion cues of both orders of a pair, slab by slab: the numbers of `motion_cues` in two thirds of the time.

Both orders share the sums over windows of the two images and of their products. Slices of the first spatial axis go
through once: sums over windows along it run behind what goes in by half a window, so that nothing is computed twice and
all but the outcome stays in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from ..flow.filters import apply_separable, gaussian_matrices
from .compiled import Prediction
from .motion_cues import DAMPING, PAIRS, TINY, solve

_VALUES = 1_600_000  # of the arrays of a slab


def both_orders(
    unet: Prediction, fixed: torch.Tensor, moving: torch.Tensor, windows: tuple[int, ...], smoothing: float
) -> torch.Tensor:
    """Half the difference of what a pyramid's network predicts for both orders of a pair: (1, 3, *shape), in voxels.

    Args:
        unet: takes (moving, fixed, cues of each window).
        fixed, moving: (1, 1, *shape).
        smoothing: sigma in voxels for the first window's displacement, to which the prediction is added.
    """
    shape = tuple(fixed.shape[2:])
    channels = 2 + 4 * len(windows)
    inputs = [torch.empty((1, channels, *shape), memory_format=torch.channels_last_3d) for _ in range(2)]
    for images, order in zip(inputs, ((moving, fixed), (fixed, moving))):
        images[:, 0], images[:, 1] = order[0][:, 0], order[1][:, 0]
    start = torch.empty(1, 3, *shape)
    for number, window in enumerate(windows):
        at = 2 + 4 * number
        for rows, *displacements, confidence in PairCues(fixed, moving, window).slabs():
            for images, displacement in zip(inputs, displacements):
                images[0, at : at + 3, rows], images[0, at + 3, rows] = displacement, confidence
            if number == 0:
                torch.mul(displacements[0] - displacements[1], confidence, out=start[0, :, rows])
    update = apply_separable(start, gaussian_matrices(shape, smoothing))
    update += unet(inputs.pop(0))
    update -= unet(inputs.pop(0))
    return update.mul_(0.5)


class PairCues:
    """Cues of (fixed, moving) and of (moving, fixed), as `motion_cues` makes them, in slabs.

    Args:
        fixed, moving: (1, 1, *shape), three spatial axes, float32 in a CPU's memory.
        window: edge in voxels, odd.
    """

    def __init__(self, fixed: torch.Tensor, moving: torch.Tensor, window: int) -> None:
        self._images = fixed[0, 0], moving[0, 0]
        self._shape = tuple(fixed.shape[2:])
        self._window = window
        plane = math.prod(self._shape[1:])
        self._height = max(1, min(self._shape[0], _VALUES // (14 * plane)))

    def slabs(self) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Slices of the first axis, the displacements of both orders (3, slices, J, I), and their confidence, which
        they share, (slices, J, I).
        """
        rows = self._shape[0]
        counts = [_counts(n, self._window) for n in self._shape]
        in_plane = counts[1][:, None] * counts[2][None]
        floors = [self._floor(image, counts) for image in self._images]
        moments, sums = _Running(self._window), _Running(self._window)
        waiting: list[torch.Tensor] = []  # of slices whose products are summed: their confidence
        known = done = 0
        for start in range(0, rows, self._height):
            end = min(start + self._height, rows)
            means = moments.put(_in_plane(self._moments(start, end), self._window), end == rows)
            upto = known + means.shape[1]
            if upto == known:
                continue
            means = means / (counts[0][known:upto, None, None] * in_plane)
            products, confidence = self._products(known, upto, means)
            waiting.append(confidence)
            known = upto
            found = sums.put(_in_plane(products, self._window), end == rows)
            upto = done + found.shape[1]
            if upto == done:
                continue
            found = found / (counts[0][done:upto, None, None] * in_plane)
            confidence = torch.cat(waiting)
            waiting = [confidence[upto - done :]]
            one, other = (self._solved(found[9 * n : 9 * n + 9], floors[1 - n]) for n in (0, 1))
            yield slice(done, upto), one, other, confidence[: upto - done]
            done = upto

    def _moments(self, start: int, end: int) -> torch.Tensor:
        f, m = (image[start:end] for image in self._images)
        return torch.stack([f, m, f * f, m * m, f * m])

    def _products(self, start: int, end: int, means: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each order the six products of gradients and the three with the residual, (18, slices, J, I)."""
        f, m, ff, mm, fm = means
        fixed, moving = (image[start:end] for image in self._images)
        covariance = torch.addcmul(fm, f, m, value=-1)
        of_fixed, of_moving = (torch.addcmul(s, v, v, value=-1).clamp_min_(0) for s, v in ((ff, f), (mm, m)))
        confidence = covariance**2 / torch.addcmul(_tiny(covariance), of_fixed, of_moving)
        products = torch.empty(18, *covariance.shape)
        orders = ((fixed, moving, f, m, of_fixed), (moving, fixed, m, f, of_moving))
        for number, (one, other, mean, other_mean, variance) in enumerate(orders):
            residual = torch.addcmul(other_mean - other, covariance / (variance + TINY), one - mean)
            gradient = self._gradient(self._images[1 - number], start, end)
            for n, (a, b) in enumerate(PAIRS[3]):
                torch.mul(gradient[a], gradient[b], out=products[9 * number + n])
            torch.mul(gradient, residual, out=products[9 * number + 6 : 9 * number + 9])
        return products, confidence

    def _gradient(self, image: torch.Tensor, start: int, end: int) -> torch.Tensor:
        """As `torch.gradient` has it, of some slices."""
        rows = self._shape[0]
        first, last = max(0, start - 1), min(rows, end + 1)
        near = image[first:last]
        along = torch.gradient(near, dim=0)[0] if len(near) > 1 else torch.zeros_like(near)
        inner = near[start - first : end - first]
        return torch.stack(
            [along[start - first : end - first], torch.gradient(inner, dim=1)[0], torch.gradient(inner, dim=2)[0]]
        )

    def _floor(self, image: torch.Tensor, counts: list[torch.Tensor]) -> float:
        """The mean over the volume of the mean squared gradient in each window.

        A squared gradient counts in it by the sum of 1 / count over the windows that it lies in, a product of one
        factor an axis.
        """
        weights = [_sums_along(1 / count, 0, self._window) for count in counts]
        in_plane = weights[1][:, None] * weights[2][None]
        total = 0.0
        for start in range(0, self._shape[0], self._height):
            end = min(start + self._height, self._shape[0])
            squares = self._gradient(image, start, end).square_().sum(0)
            total += float((squares * in_plane * weights[0][start:end, None, None]).double().sum())
        return total / 3 / math.prod(self._shape)

    def _solved(self, sums: torch.Tensor, floor: float) -> torch.Tensor:
        tensor = {pair: sums[n][None] for n, pair in enumerate(PAIRS[3])}
        trace = (sums[0] + sums[1] + sums[2])[None] / 3
        damping = (trace + floor) * DAMPING + TINY
        for axis in range(3):
            tensor[axis, axis] = tensor[axis, axis] + damping
        limit = self._window / 2
        solution = solve(tensor, [sums[6 + axis][None] for axis in range(3)])[0]
        return solution.div_(limit).tanh_().mul_(limit)


class _Running:
    """Sums over a window along the first spatial axis of slices (C, n, J, I) that come one slab after the other."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._kept: torch.Tensor | None = None

    def put(self, values: torch.Tensor, last: bool) -> torch.Tensor:
        """The sums that are complete now, (C, any number, J, I), in order."""
        half = self._window // 2
        if self._kept is None:
            self._kept = values.new_zeros(values.shape[0], half, *values.shape[2:])
        parts = [self._kept, values]
        if last:
            parts.append(values.new_zeros(values.shape[0], half, *values.shape[2:]))
        values = torch.cat(parts, dim=1)
        self._kept = values[:, max(0, values.shape[1] - self._window + 1) :].clone()
        if values.shape[1] < self._window:
            return values[:, :0]
        return _windows(values, 1, self._window)


def _in_plane(values: torch.Tensor, window: int) -> torch.Tensor:
    """Sums over windows of the last two axes; outside is 0."""
    half = window // 2
    values = F.pad(values, (half, half, half, half))
    return _windows(_windows(values, 2, window), 3, window)


def _sums_along(values: torch.Tensor, axis: int, window: int) -> torch.Tensor:
    half = window // 2
    return _windows(F.pad(values, (half, half)), axis, window)


def _windows(values: torch.Tensor, axis: int, window: int) -> torch.Tensor:
    """Sums of `window` successive values of an axis, fewer by window - 1: of pairs, of pairs of these, and so on."""
    count = values.shape[axis] - window + 1
    total, taken, width = None, 0, 1
    while True:
        if window & width:
            part = values.narrow(axis, taken, count)
            total = part.clone() if total is None else total.add_(part)
            taken += width
        if 2 * width > window:
            break
        values = values.narrow(axis, 0, values.shape[axis] - width) + values.narrow(
            axis, width, values.shape[axis] - width
        )
        width *= 2
    assert total is not None
    return total


def _counts(n: int, window: int) -> torch.Tensor:
    """How many voxels of an axis each window holds."""
    return _sums_along(torch.ones(n), 0, window)


def _tiny(like: torch.Tensor) -> torch.Tensor:
    return torch.full((), TINY).expand_as(like)
