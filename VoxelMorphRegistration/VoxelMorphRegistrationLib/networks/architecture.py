"""The values an architecture may have, checked before anything is built from them."""

from __future__ import annotations

from typing import Any

from ..errors import InputError

CLASSES = ("VxmPairwise", "VxmDense", "Vxm2018")
_COMMON = {"class", "ndim", "features", "integration_steps", "padding", "passes"}
_KEYS = {
    "VxmPairwise": _COMMON
    | {"activation", "negative_slope", "unet", "pyramid", "cue_windows", "symmetric", "further_windows"},
    "VxmDense": _COMMON | {"convolutions", "half_resolution", "integration_factor"},
    "Vxm2018": _COMMON | {"half_resolution"},
}
# More squarings than this only add rounding errors.
_MOST_SQUARINGS = 20


def check_architecture(architecture: dict) -> None:
    """Raise `InputError` naming the first key of `architecture` that is not known or whose value is not allowed."""
    kind = architecture.get("class")
    if kind not in CLASSES:
        raise InputError(f"network class {kind!r} is not known; use one of {', '.join(CLASSES)}")
    unknown = sorted(set(architecture) - _KEYS[kind])
    if unknown:
        raise InputError(f"network {kind}: {unknown[0]!r} is not one of its keys, {', '.join(sorted(_KEYS[kind]))}")
    dimension = architecture.get("ndim")
    if dimension not in (2, 3):
        raise InputError(f"network ndim is {dimension!r}; networks for 2 and 3 dimensions are supported")
    squarings = architecture.get("integration_steps", 7)
    if not _whole(squarings) or not 0 <= squarings <= _MOST_SQUARINGS:
        raise InputError(f"network integration_steps is {squarings!r}; use a whole number from 0 to {_MOST_SQUARINGS}")
    if architecture.get("padding", "zeros") not in ("zeros", "border"):
        raise InputError(f"network padding is {architecture['padding']!r}; use zeros or border")
    for key in ("cue_windows", "further_windows"):
        windows = architecture.get(key) or ()
        if not isinstance(windows, (list, tuple)) or not all(_whole(n) and n >= 3 and n % 2 for n in windows):
            raise InputError(f"network {key} is {windows!r}; give odd whole numbers from 3 on, such as [7, 3]")
    if architecture.get("further_windows") and not architecture.get("cue_windows"):
        raise InputError("network further_windows: without cue_windows there are no motion cues to repeat")
    _check_features(kind, architecture.get("features"), architecture)


def _check_features(kind: str, features: Any, architecture: dict) -> None:
    if kind == "VxmPairwise" and _numbers(features):
        return
    if features is None and kind == "VxmDense":
        return
    if not (isinstance(features, (list, tuple)) and len(features) == 2 and all(_numbers(part) for part in features)):
        raise InputError(f"network {kind}: features {features!r}; give [[encoder], [decoder]], whole numbers")
    encoder, decoder = features
    if kind == "VxmPairwise":
        fits = len(decoder) == len(encoder)
    elif kind == "VxmDense":
        fits = len(decoder) >= len(encoder) and len(encoder) % architecture.get("convolutions", 1) == 0
    else:
        fits = len(decoder) > len(encoder)
    if not fits:
        raise InputError(f"network {kind}: a decoder of {list(decoder)} does not fit an encoder of {list(encoder)}")


def _numbers(values: Any) -> bool:
    return isinstance(values, (list, tuple)) and len(values) > 0 and all(_whole(n) and n >= 0 for n in values)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
