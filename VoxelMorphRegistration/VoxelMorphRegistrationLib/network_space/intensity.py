"""Intensity rules: what turns an image's values into the values a network was trained on.

In a model's card a rule is an object; here it is one of the classes below, which check themselves:

    {"rule": "none"}                                                 `AsIs`        the values as they are
    {"rule": "minmax"}                                               `MinMax`      smallest to 0, largest to 1
    {"rule": "percentile", "low": 1, "high": 99}                     `Percentile`  these percentiles to 0 and 1, clipped
    {"rule": "percentile", "low": 1, "high": 99, "equalise": 0.5}    `Percentile`  half way to an equalised histogram
    {"rule": "divide", "by": 255, "unless_max_below": 2}             `Divide`      by a constant, unless already done
    {"rule": "window", "low": -160, "high": 240}                     `Window`      these values to 0 and 1, clipped

Each is computed from the values of the image alone, wherever its voxels lie and in whatever order they are stored.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from ..errors import InputError

_BACKGROUND = 0.06  # of the range: up to here an image is empty, noise included, and its frequency says nothing
_BACKGROUND_AFTER = 0.1  # of the range: what is left to the background by a full equalisation
_BINS = 1024
_TABLE = 1 << 16  # whole numbers that are normalised each once
_BLOCK = 1 << 16  # voxels at a time, to stay in the processor's cache
_WHOLE = 1 << 24  # float32 has every whole number up to here


@dataclass(frozen=True)
class IntensityRule(ABC):
    """How an image's values become a network's input.

    >>> IntensityRule.from_dict({"rule": "window", "low": -160, "high": 240}).normalise(np.asarray([-1000, 40, 240]))
    array([0. , 0.5, 1. ], dtype=float32)

    Raises:
        InputError: from the constructor, for values that no image could be normalised with.
    """

    name: ClassVar[str]

    @staticmethod
    def from_dict(content: str | dict[str, Any]) -> IntensityRule:
        """The rule of a card's `intensity` object, or of a rule's bare name.

        Raises:
            InputError: naming the key, its value and what is allowed.
        """
        content = {"rule": content} if isinstance(content, str) else content
        name = content.get("rule")
        kind = next((kind for kind in _KINDS if kind.name == name), None)
        if kind is None:
            raise InputError(f"intensity.rule {name!r}; use one of {', '.join(kind.name for kind in _KINDS)}")
        values = {key: value for key, value in content.items() if key != "rule"}
        known = {field.name: field for field in fields(kind)}
        for key, field in known.items():
            value = values.get(key)
            given = key in values and not (value is None and key in kind._may_be_null)
            if (given or field.default is MISSING) and not _is_number(value):
                raise InputError(f"intensity.{key} {value!r}; the rule {name!r} needs a number")
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise InputError(f"intensity.{unknown[0]} is not a value of the rule {name!r}")
        return kind(**values)

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The object for a card, its keys in the order in which cards have always been written."""

    def normalise(self, values: np.ndarray, name: str = "image") -> np.ndarray:
        """The values (any shape, finite) as the network wants them, float32, a new array.

        Raises:
            InputError: beginning with `name`, when the image is constant, or when a window holds none of its values.
        """
        low, high = float(values.min()), float(values.max())
        if not high > low:
            raise InputError(f"{name}: the image is constant (every voxel is {low:g}); give an image with content")
        return self._normalised(values.astype(np.float32), low, high, name)

    _may_be_null: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def _normalised(self, values: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
        """`values` (float32, may be overwritten), whose extremes are `low` < `high`, normalised."""


@dataclass(frozen=True)
class AsIs(IntensityRule):
    """The values as they are."""

    name = "none"

    def to_dict(self) -> dict[str, Any]:
        return {"rule": self.name}

    def _normalised(self, values: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
        return values


@dataclass(frozen=True)
class MinMax(IntensityRule):
    """The smallest value becomes 0, the largest 1."""

    name = "minmax"

    def to_dict(self) -> dict[str, Any]:
        return {"rule": self.name}

    def _normalised(self, values: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
        return _clipped(values, low, high)


@dataclass(frozen=True)
class Percentile(IntensityRule):
    """The percentiles `low` and `high` (0 to 100) become 0 and 1, what lies beyond them is clipped.

    An image that is nearly all background has both percentiles there; its whole range is taken instead.

    Attributes:
        equalise: share, 0 to 1, of the way from these values to an equalised histogram of the foreground; None is 0.
            Soft tissue fills a twentieth of the range of a CT, whose ends are air and bone, and most of the body.
    """

    low: float = 1
    high: float = 99
    equalise: float | None = None

    name = "percentile"

    def __post_init__(self) -> None:
        _check_order(self.low, self.high)
        if not (0 <= self.low and self.high <= 100):
            raise InputError(f"intensity.low {self.low} and intensity.high {self.high}; percentiles lie from 0 to 100")
        if self.equalise is not None and not 0 <= self.equalise <= 1:
            raise InputError(f"intensity.equalise {self.equalise} is not a share from 0 to 1")

    def to_dict(self) -> dict[str, Any]:
        content = {"low": self.low, "high": self.high, "rule": self.name}
        return content if self.equalise is None else {**content, "equalise": self.equalise}

    def normalise(self, values: np.ndarray, name: str = "image") -> np.ndarray:
        """As every rule's. Of whole numbers in a small range each is normalised once, in a fifth of the time."""
        if values.dtype.kind not in "iu" or values.dtype.itemsize > 4:
            return super().normalise(values, name)
        low, high = int(values.min()), int(values.max())
        if not 0 < high - low < min(_TABLE, values.size / 8) or max(-low, high) > _WHOLE:
            return super().normalise(values, name)
        ends = range(_BLOCK, values.size, _BLOCK)
        blocks = np.split(values.ravel(), ends)
        counts = np.zeros(high - low + 1, np.intp)
        for block in blocks:
            counts += np.bincount(np.subtract(block, low, dtype=np.intp), minlength=len(counts))
        inner = [_percentile_of(counts, share) + low for share in (self.low, self.high)]
        table = self._between(np.arange(low, high + 1, dtype=np.float32), inner, (low, high), counts)
        found = np.empty(values.shape, np.float32)
        for block, normalised in zip(blocks, np.split(found.ravel(), ends)):
            np.take(table, np.subtract(block, low, dtype=np.intp), out=normalised, mode="clip")
        return found

    def _normalised(self, values: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
        inner = [float(value) for value in np.percentile(values, (self.low, self.high))]
        return self._between(values, inner, (low, high), None)

    def _between(
        self, values: np.ndarray, inner: Sequence[float], extremes: tuple[float, float], counts: np.ndarray | None
    ) -> np.ndarray:
        """The values, of which there are so many each (one each without `counts`), between their percentiles."""
        values = _clipped(values, *(inner if inner[1] > inner[0] else extremes))
        return _equalised(values, self.equalise, counts) if self.equalise else values


@dataclass(frozen=True)
class Divide(IntensityRule):
    """The values divided by `by`, unless the image's largest value is below `unless_max_below` (None: always)."""

    by: float
    unless_max_below: float | None = None

    name = "divide"
    _may_be_null = ("unless_max_below",)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.by) and self.by > 0):
            raise InputError(f"intensity.by is {self.by}; the rule 'divide' needs a number above 0")

    def to_dict(self) -> dict[str, Any]:
        return {"unless_max_below": self.unless_max_below, "rule": self.name, "by": self.by}

    def _normalised(self, values: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
        if self.unless_max_below is None or high >= self.unless_max_below:
            values /= np.float32(self.by)
        return values


@dataclass(frozen=True)
class Window(IntensityRule):
    """The values `low` and `high` (in the image's units, such as Hounsfield's) become 0 and 1, others are clipped."""

    low: float
    high: float

    name = "window"

    def __post_init__(self) -> None:
        _check_order(self.low, self.high)

    def to_dict(self) -> dict[str, Any]:
        return {"rule": self.name, "low": self.low, "high": self.high}

    def _normalised(self, values: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
        if high <= self.low or low >= self.high:
            raise InputError(
                f"{name}: no value lies in the window {self.low} to {self.high} that the model expects "
                f"(the image spans {low:g} to {high:g}); choose a model for this modality"
            )
        return _clipped(values, float(self.low), float(self.high))


_KINDS: tuple[type[IntensityRule], ...] = (AsIs, MinMax, Percentile, Divide, Window)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_order(low: float, high: float) -> None:
    if not low < high:
        raise InputError(f"intensity.low {low} is not below intensity.high {high}")


def _clipped(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """`low` to 0, `high` to 1 and the rest clipped; overwrites `values`."""
    values -= np.float32(low)
    values *= np.float32(1.0 / (high - low))
    return np.clip(values, 0.0, 1.0, out=values)


def _percentile_of(counts: np.ndarray, share: float) -> float:
    """`numpy.percentile` of whole numbers of which there are so many each: 0, 1, ..."""
    until = np.cumsum(counts)
    place, part = divmod((int(until[-1]) - 1) * share / 100, 1)
    before, after = np.searchsorted(until, [int(place), min(int(place) + 1, int(until[-1]) - 1)], side="right")
    return float(np.float32(before) + part * np.float32(after - before))


def _equalised(values: np.ndarray, share: float, numbers: np.ndarray | None = None) -> np.ndarray:
    """Values from 0 to 1, moved by `share` of the way to where all of the foreground's ranks are equally frequent.

    `numbers` is how many there are of each value; None for one.
    """
    tissue = values > _BACKGROUND
    position = values * np.float32(_BINS)
    bins = np.minimum(position.astype(np.int32), _BINS - 1)
    counts = np.bincount(bins[tissue], None if numbers is None else numbers[tissue], minlength=_BINS)
    shares = counts / max(int(counts.sum()), 1)
    below = np.cumsum(shares) - shares
    position -= bins
    rank = position * shares.astype(np.float32)[bins] + below.astype(np.float32)[bins]
    background_after = np.float32(_BACKGROUND_AFTER)
    spread = np.where(
        tissue, background_after + (1 - background_after) * rank, values * np.float32(_BACKGROUND_AFTER / _BACKGROUND)
    )
    return np.float32(1 - share) * values + np.float32(share) * spread
