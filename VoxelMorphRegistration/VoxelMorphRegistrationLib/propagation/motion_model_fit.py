"""A patient's motion as a combination of few: from the coarse looks at all frames, in numbers alone.

A look is a frame's coarse velocity against the reference (`motion_model_look`), here a row of p values; that of the
reference is zero. Breathing and heartbeat move in few ways: three principal components hold over 98 % of the
diaphragm's motion (Swastika et al., Computational and Mathematical Methods in Medicine 482941, 2013).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

UNLIKE = 6.0  # robust standard deviations beyond which a frame is unlike the others
FEWEST_FRAMES = 16  # with fewer, key frames are most of them, and nothing says what is unlike the others
_FEWEST_KEYS, _MOST_KEYS = 4, 24
_RIDGE = 0.005  # of the key frames' mean squared look
_KEYS_SHARE = 8  # at most every so many-th frame
_WORTHWHILE = 0.97  # a further key frame must leave at most so much of what was unexplained
_MOST_MODES = 6
_SHARED_BY = 3.0  # frames: what fewer share is no mode. Counted as 1 / (sum of the 4th powers of their unit vector)
_SHARE = 0.998  # of the variance that modes are to explain; with more, single frames get modes of their own
_CORE, _ALIKE = 0.5, 0.75  # shares of the frames from which modes are found, at first and then
_NO_SAY = 10.0  # robust standard deviations beyond which a frame has no say in the modes
_ROUNDS, _LAST_ROUNDS = 5, 2
_LEAST_SPREAD, _LEAST_MM = 0.1, 0.02  # of the median, and in all: what is left of equal frames is equal
_FITTED = 512  # modes are found from so many frames, spread evenly
_BLOCK = 256  # frames at a time in 32 bits


@dataclass(frozen=True)
class Modes:
    """How the frames move: look = mean + coefficients @ vectors.

    Attributes:
        mean: (p,), the mean look. vectors: (m, p), orthonormal, the strongest first.
        explained: (m,), share of the looks' variance that each explains.
    """

    mean: np.ndarray
    vectors: np.ndarray
    explained: np.ndarray

    def coefficients(self, looks: np.ndarray) -> np.ndarray:
        """(n, m), mm, of looks (n, voxels, d): how far each mode moves the voxel that it moves most, against the
        reference, whose coefficients are zero.
        """
        flat = looks.reshape(len(looks), -1)
        largest = np.linalg.norm(self.vectors.reshape(len(self.vectors), -1, looks.shape[-1]), axis=-1).max(1)
        return np.concatenate([block @ self.vectors.T for block in _blocks(flat)]) * largest

    def left(self, looks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the modes leave of looks (n, voxels, d), mm: root mean square over the voxels, and the largest; (n,)."""
        overall, largest = [], []
        for block in _blocks(looks.reshape(len(looks), -1)):
            lengths = np.square(self.unexplained(block)).reshape(len(block), -1, looks.shape[-1]).sum(-1)
            overall.append(np.sqrt(lengths.mean(1)))
            largest.append(np.sqrt(lengths.max(1)))
        return np.concatenate(overall), np.concatenate(largest)

    def unexplained(self, flat: np.ndarray) -> np.ndarray:
        """(n, p), what the modes leave of looks (n, p)."""
        apart = flat.astype(np.float32) - self.mean
        return apart - (apart @ self.vectors.T) @ self.vectors


def find_modes(looks: np.ndarray, known: np.ndarray | None = None) -> tuple[Modes, np.ndarray]:
    """The modes of the frames that are alike, and how far each of all n frames is apart from these: (n,).

    Modes are found first from the frames next to the median look, then from those that they explain best, and last from
    all that do not stand out, so that frames unlike all others have no say in them. How far a frame is apart is what is
    left of its look, in all or in any one place, above the frames' median, in robust standard deviations: see `UNLIKE`.

    Args:
        looks: (n, voxels, d) in mm.
        known: (m, p), orthonormal modes of an earlier scan: they come first, and what they leave is described by modes
            of its own. The frame to which all others are compared may be another one now, so their mean is not taken.
    """
    if known is not None:
        return _beyond(known, looks)
    flat = looks.reshape(len(looks), -1)
    chosen = _evenly(len(looks), _FITTED)
    sample = flat[chosen].astype(np.float32)
    left = np.square(sample - np.median(sample, axis=0)).sum(1)
    modes = _modes_of(sample[left <= np.quantile(left, _CORE)])
    for _ in range(_ROUNDS):
        left = np.square(modes.unexplained(sample)).sum(1)
        modes = _modes_of(sample[left <= np.quantile(left, _ALIKE)])
    for _ in range(_LAST_ROUNDS):
        apart = np.max([_deviations(values) for values in modes.left(looks)], axis=0)
        modes = _modes_of(sample[apart[chosen] <= _NO_SAY])
    return modes, np.max([_deviations(values) for values in modes.left(looks)], axis=0)


def _beyond(known: np.ndarray, looks: np.ndarray) -> tuple[Modes, np.ndarray]:
    flat = looks.reshape(len(looks), -1)
    along = np.concatenate([block @ known.T for block in _blocks(flat)])
    left = np.concatenate([(block - (block @ known.T) @ known).astype(looks.dtype) for block in _blocks(flat)])
    further, apart = find_modes(left.reshape(looks.shape))
    alike = apart <= _NO_SAY
    mean = further.mean + along[alike].mean(0) @ known
    vectors = np.concatenate([known, further.vectors])
    total = sum(float(np.square(block - mean).sum()) for block in _blocks(flat[alike]))
    spread = np.concatenate([(block - mean) @ vectors.T for block in _blocks(flat[alike])])
    return Modes(mean, vectors, np.square(spread).sum(0) / max(total, np.finfo(float).tiny)), apart


def most_keys(candidates: int, count: int | None = None) -> int:
    """How many key frames there are at most among so many candidates, where `count` are asked for or None."""
    return min(candidates, count or max(_FEWEST_KEYS, min(_MOST_KEYS, candidates // _KEYS_SHARE)))


def choose_keys(looks: np.ndarray, candidates: np.ndarray, count: int | None = None, enough: float = 0.0) -> list[int]:
    """Rows of the key frames among the candidates: farthest-point first.

    The first key frame is the one farthest from the reference, each further one that farthest from the nearest of the
    reference and the key frames so far. Without a `count` they end when their combinations leave `enough` or less (mm,
    root mean square) of half of the other candidates' looks, when a further one explains next to nothing more, and at
    the latest at an eighth of the candidates.
    """
    flat = looks.reshape(len(looks), -1)[candidates]
    squares = np.concatenate([np.square(block).sum(1) for block in _blocks(flat)])
    nearest = squares.copy()
    products = np.empty((len(flat), 0))
    keys: list[int] = []
    left: list[float] = []
    most = most_keys(len(flat), count)
    while len(keys) < most:
        key = int(np.argmax(nearest))
        if nearest[key] <= 0:
            break
        product = np.concatenate([block @ flat[key].astype(np.float32) for block in _blocks(flat)])
        keys.append(key)
        products = np.column_stack([products, product])
        nearest = np.minimum(nearest, np.maximum(squares - 2 * product + squares[key], 0))
        nearest[keys] = 0
        left.append(_unexplained(products, squares, keys))
        if count is None and len(keys) >= _FEWEST_KEYS:
            explained = math.sqrt(left[-1] / looks.shape[1]) <= enough
            if explained or left[-1] > _WORTHWHILE**2 * left[-3]:
                break
    return [int(candidates[key]) for key in keys]


def combination(keys: np.ndarray, look: np.ndarray) -> np.ndarray:
    """The weights (k,) with which key frames' looks (k, p) give a look (p,): ridge regression."""
    keys = keys.reshape(len(keys), -1).astype(np.float64)
    return _weights(keys @ keys.T, keys @ look.reshape(-1).astype(np.float64))


def _weights(gram: np.ndarray, products: np.ndarray) -> np.ndarray:
    """(k, ...) for products (k, ...)."""
    ridge = _RIDGE * np.trace(gram) / len(gram)
    return np.linalg.solve(gram + ridge * np.eye(len(gram)), products)


def _unexplained(products: np.ndarray, squares: np.ndarray, keys: Sequence[int]) -> float:
    """Mean squared look that combinations of the key frames leave of the other frames."""
    gram = products[keys]
    weights = _weights(0.5 * (gram + gram.T), products.T)
    left = squares - 2 * np.sum(weights * products.T, 0) + np.sum(weights * (gram @ weights), 0)
    others = np.setdiff1d(np.arange(len(squares)), keys)
    return max(0.0, float(np.median(left[others]))) if len(others) else 0.0


def _modes_of(looks: np.ndarray) -> Modes:
    mean = looks.mean(0)
    apart = looks - mean
    values, vectors = np.linalg.eigh((apart @ apart.T).astype(np.float64))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    explained = values / max(values.sum(), np.finfo(float).tiny)
    count = min(1 + int(np.searchsorted(np.cumsum(explained), _SHARE)), len(looks) // 3)
    shared = np.flatnonzero(1 / np.sum(vectors[:, :count] ** 4, axis=0) >= _SHARED_BY)
    kept = shared[:_MOST_MODES] if len(shared) else np.zeros(1, int)
    basis = vectors[:, kept].T.astype(np.float32) @ apart
    basis /= np.maximum(np.linalg.norm(basis, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    # A mode's sign is free: that of the greater motion away from the reference.
    along = looks @ basis.T
    sign = np.where(along[np.abs(along).argmax(0), np.arange(len(kept))] < 0, -1.0, 1.0)
    return Modes(mean, basis * sign[:, None].astype(np.float32), explained[kept])


def _deviations(values: np.ndarray) -> np.ndarray:
    """From the median, in robust standard deviations."""
    middle = float(np.median(values))
    spread = max(1.4826 * float(np.median(np.abs(values - middle))), _LEAST_SPREAD * middle, _LEAST_MM)
    return (values - middle) / spread


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _BLOCK):
        yield rows[start : start + _BLOCK].astype(np.float32)


def _evenly(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
