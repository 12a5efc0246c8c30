"""Intensity rules of the networks' cards: what turns an image's values into what a network was trained on.

A rule is a dictionary, as it stands in a card:

    {"rule": "minmax"}                                        smallest value to 0, largest to 1
    {"rule": "percentile", "low": 1, "high": 99}              those percentiles to 0 and 1, clipped
    {"rule": "percentile", "low": 1, "high": 99, "equalise": 0.5}    and half of the way to an equalised histogram
    {"rule": "window", "low": -160, "high": 240}              those values to 0 and 1, clipped (Hounsfield units)
    {"rule": "divide", "by": 255, "unless_max_below": 2}      by a constant, unless that has been done already
    {"rule": "none"}                                          as it is

Each is computed from the values of the image alone, wherever its voxels lie and in whatever order they are stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError

_BACKGROUND = (
    0.06  # up to this share of the range an image is empty, noise included: its frequency says nothing of tissue
)
_BACKGROUND_AFTER = 0.1
_BINS = 1024

RULES = ("minmax", "percentile", "window", "divide", "none")


def check_rule(rule: dict[str, Any]) -> None:
    """Raises InputError when a card's intensity rule is not one of `RULES` or lacks what it needs."""
    name = rule.get("rule") if isinstance(rule, dict) else None
    if name not in RULES:
        raise InputError(f"intensity rule {rule!r}: unknown; use one of {', '.join(RULES)}")
    if name == "window" and not ("low" in rule and "high" in rule and rule["low"] < rule["high"]):
        raise InputError(f"intensity rule {rule!r}: a window needs low < high; correct the model's card")
    if name == "percentile" and not 0 <= rule.get("low", 1) < rule.get("high", 99) <= 100:
        raise InputError(f"intensity rule {rule!r}: percentiles need 0 <= low < high <= 100; correct the model's card")
    if name == "percentile" and not 0 <= rule.get("equalise", 0) <= 1:
        raise InputError(f"intensity rule {rule!r}: 'equalise' is a share from 0 to 1; correct the model's card")
    if name == "divide" and not rule.get("by", 255) > 0:
        raise InputError(f"intensity rule {rule!r}: the divisor must be positive; correct the model's card")


def normalise(values: np.ndarray, rule: dict[str, Any], name: str = "image") -> np.ndarray:
    """The values (any shape, finite) as the rule wants them, float32.

    Raises InputError, naming the image, when it is constant, or when a window holds none of it.
    """
    check_rule(rule)
    low, high = float(values.min()), float(values.max())
    if not high > low:
        raise InputError(f"{name}: the image is constant (every voxel is {low:g}); give an image with content")
    kind = rule["rule"]
    values = values.astype(np.float32)
    if kind == "none":
        return values
    if kind == "divide":
        limit = rule.get("unless_max_below")
        if limit is None or high >= limit:
            values /= np.float32(rule.get("by", 255))
        return values
    if kind == "percentile":
        wanted = (rule.get("low", 1), rule.get("high", 99))
        clipped = tuple(float(value) for value in np.percentile(values, wanted))
        # An image that is nearly all background has both percentiles in it; its whole range is then what it has.
        low, high = clipped if clipped[1] > clipped[0] else (low, high)
    elif kind == "window":
        if high <= rule["low"] or low >= rule["high"]:
            raise InputError(
                f"{name}: no value lies in the window {rule['low']} to {rule['high']} that the model expects "
                f"(the image spans {low:g} to {high:g}); choose a model for this modality"
            )
        low, high = float(rule["low"]), float(rule["high"])
    values -= np.float32(low)
    values *= np.float32(1.0 / (high - low))
    values = np.clip(values, 0.0, 1.0, out=values)
    share = rule.get("equalise", 0) if kind == "percentile" else 0
    return _equalised(values, share) if share else values


def _equalised(values: np.ndarray, share: float) -> np.ndarray:
    """Values from 0 to 1, moved by `share` of the way to where all of the foreground's ranks are equally frequent.

    Soft tissue fills a twentieth of the range of a CT, whose ends are air and bone, and most of the body.
    """
    tissue = values > _BACKGROUND
    position = values * np.float32(_BINS)
    bins = np.minimum(position.astype(np.int32), _BINS - 1)
    counts = np.bincount(bins[tissue], minlength=_BINS)
    shares = counts / max(int(counts.sum()), 1)
    below = np.cumsum(shares) - shares
    position -= bins
    rank = position * shares.astype(np.float32)[bins] + below.astype(np.float32)[bins]
    background_after = np.float32(_BACKGROUND_AFTER)
    spread = np.where(
        tissue, background_after + (1 - background_after) * rank, values * np.float32(_BACKGROUND_AFTER / _BACKGROUND)
    )
    return np.float32(1 - share) * values + np.float32(share) * spread
