"""A model's card: what its network is, what image it expects, and where it comes from. JSON beside the weights."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.atomic import atomic_write

INTENSITY_RULES = {
    "none": (),
    "minmax": (),
    "percentile": ("low", "high", "equalise"),
    "divide": ("by", "unless_max_below"),
    "window": ("low", "high"),
}
_INTENSITY_DEFAULTS = {"percentile": {"low": 1, "high": 99}, "divide": {"unless_max_below": None}}
_INTENSITY_EXTRAS = ("equalise",)
_NATIVE_SPACE = {"tensor_axes": "native", "spacing": "native", "extent": None}
_ARCHITECTURE_OPTIONS = ("features", "integration_steps", "activation", "negative_slope", "padding", "passes", "unet")
_SPACE_OPTIONS = ("tensor_axes", "spacing", "extent", "multiple", "max_voxels", "flexible")
_TEXT_OPTIONS = ("name", "title", "modality", "anatomy", "contrast", "licence", "citation", "source", "preparation")


@dataclass(frozen=True)
class Card:
    """Everything about a model but its weights.

    Attributes:
        name: how it is asked for: lower-case letters, digits, dots, dashes and underscores.
        architecture: the keys of `networks.build_network`, and `passes` (default 1): how many times the network is run,
            each time on the image warped so far.
        space: `tensor_axes` ('native', or letters that say where each tensor axis, in array order, runs to, such as
            'LIA'), `spacing` ('native', mm, or mm for each tensor axis), `extent` (None, or the shape in array order),
            `multiple` (the shape is a multiple of it in every axis), `max_voxels` (optional: a larger grid gets a
            coarser spacing), `flexible` (optional: the spacing is a wish, the nearest multiple or fraction of the
            image's is taken).
        intensity: {"rule": ...}, one of 'minmax', 'percentile' (with low, high), 'divide' (by, unless_max_below),
            'window' (low, high) and 'none'.
        contrast: 'same' when both images must be of one modality, 'any' when not.
        preparation: what must have been done to the images before.
        weights, sha256: the file name beside the card, and its checksum.
    """

    name: str
    architecture: dict[str, Any]
    space: dict[str, Any] = field(default_factory=lambda: dict(_NATIVE_SPACE))
    intensity: dict[str, Any] = field(default_factory=lambda: {"rule": "minmax"})
    title: str = ""
    modality: str = ""
    anatomy: str = ""
    contrast: str = "same"
    preparation: str = ""
    licence: str = ""
    citation: str = ""
    source: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    weights: str = ""
    sha256: str | None = None

    @classmethod
    def from_dict(cls, content: Any, where: str) -> Card:
        """A checked card from JSON content; `where` (the file) begins every error.

        Raises:
            InputError: naming `where`, the key, its value and what is allowed.
        """
        if not isinstance(content, dict):
            raise InputError(f"{where}: a model card is a JSON object and this is a {type(content).__name__}")
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(content) - set(known))
        if unknown:
            raise InputError(f"{where}: {unknown[0]!r} is not a key of a model card; the keys are {', '.join(known)}")
        for key in ("name", "architecture"):
            if key not in content:
                raise InputError(f"{where}: the key {key!r} is missing from the model card; add it")
        types = {"architecture": dict, "space": dict, "intensity": dict, "training": dict, "notes": list}
        for key, value in content.items():
            if key == "sha256" and value is None:
                continue
            if not isinstance(value, types.get(key, str)):
                raise InputError(f"{where}: {key!r} is {value!r}; a {types.get(key, str).__name__} is expected")
        card = cls(**{**content, "space": {**_NATIVE_SPACE, **content.get("space", {})}})
        card = replace(card, intensity=_complete(card.intensity))
        card.check(where)
        return card

    @classmethod
    def read(cls, path: str | Path) -> Card:
        """The card in a JSON file.

        Raises:
            InputError: missing or not JSON, or as `from_dict`.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: the model card cannot be read ({error.strerror}); check the path") from error
        except ValueError as error:
            raise InputError(f"{path}: the model card is not valid JSON ({error}); correct it") from error
        return cls.from_dict(content, str(path))

    def write(self, path: str | Path) -> None:
        """Write the card as JSON, whole or not at all."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")

    def check(self, where: str) -> None:
        """Raise `InputError` for the first value that is not allowed."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", self.name):
            raise InputError(f"{where}: name {self.name!r}; use lower-case letters, digits, dots, dashes, underscores")
        if self.contrast not in ("same", "any"):
            raise InputError(f"{where}: contrast {self.contrast!r}; use 'same' or 'any'")
        if "/" in self.weights or "\\" in self.weights:
            raise InputError(f"{where}: weights {self.weights!r}; give the name of a file beside the card")
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise InputError(f"{where}: sha256 {self.sha256!r}; 64 hexadecimal digits are expected")
        passes = self.architecture.get("passes", 1)
        if not _whole(passes) or passes < 1:
            raise InputError(f"{where}: architecture.passes {passes!r}; use a whole number from 1")
        dimension = self.architecture.get("ndim")
        if dimension not in (2, 3):
            raise InputError(f"{where}: architecture.ndim {dimension!r}; use 2 or 3")
        _check_space(self.space, dimension, where)
        _check_intensity(self.intensity, where)

    def with_options(self, where: str = "options", **options: Any) -> Card:
        """The card with single values replaced: tensor_axes, spacing, extent, multiple, max_voxels, flexible, intensity
        (a rule's name or its object), features, integration_steps, activation, negative_slope, padding, passes, unet,
        and the texts.

        Raises:
            InputError: an option that is not one of these, or a value that is not allowed.
        """
        options = {key: value for key, value in options.items() if value is not None}
        architecture = {key: options.pop(key) for key in _ARCHITECTURE_OPTIONS if key in options}
        space = {key: options.pop(key) for key in _SPACE_OPTIONS if key in options}
        if isinstance(space.get("extent"), tuple):
            space["extent"] = list(space["extent"])
        changes: dict[str, Any] = {key: options.pop(key) for key in _TEXT_OPTIONS if key in options}
        intensity = options.pop("intensity", None)
        if options:
            allowed = ", ".join((*_SPACE_OPTIONS, "intensity", *_ARCHITECTURE_OPTIONS, *_TEXT_OPTIONS))
            raise InputError(f"{where}: {sorted(options)[0]!r} is not an option of a model; use {allowed}")
        if intensity is not None:
            changes["intensity"] = _complete({"rule": intensity} if isinstance(intensity, str) else dict(intensity))
        card = replace(
            self, architecture={**self.architecture, **architecture}, space={**self.space, **space}, **changes
        )
        card.check(where)
        return card


def _complete(intensity: dict) -> dict:
    return {**_INTENSITY_DEFAULTS.get(intensity.get("rule"), {}), **intensity}


def _check_intensity(intensity: dict, where: str) -> None:
    rule = intensity.get("rule")
    if rule not in INTENSITY_RULES:
        raise InputError(f"{where}: intensity.rule {rule!r}; use one of {', '.join(INTENSITY_RULES)}")
    for key in INTENSITY_RULES[rule]:
        if key in _INTENSITY_EXTRAS and key not in intensity:
            continue
        value = intensity.get(key)
        optional = key in _INTENSITY_DEFAULTS.get(rule, {}) and value is None
        if not optional and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise InputError(f"{where}: intensity.{key} {value!r}; the rule {rule!r} needs a number")
    unknown = sorted(set(intensity) - {"rule", *INTENSITY_RULES[rule]})
    if unknown:
        raise InputError(f"{where}: intensity.{unknown[0]} is not a value of the rule {rule!r}")
    if rule in ("percentile", "window") and not intensity["low"] < intensity["high"]:
        raise InputError(f"{where}: intensity.low {intensity['low']} is not below intensity.high {intensity['high']}")
    if not 0 <= intensity.get("equalise", 0) <= 1:
        raise InputError(f"{where}: intensity.equalise {intensity['equalise']} is not a share from 0 to 1")
    if rule == "divide" and intensity["by"] == 0:
        raise InputError(f"{where}: intensity.by is 0; the rule 'divide' needs another number")


def _check_space(space: dict, dimension: int, where: str) -> None:
    unknown = sorted(set(space) - set(_SPACE_OPTIONS))
    if unknown:
        raise InputError(f"{where}: space.{unknown[0]} is not a value of a space; use {', '.join(_SPACE_OPTIONS)}")
    axes = space["tensor_axes"]
    pairs = [{"L", "R"}, {"A", "P"}, {"I", "S"}]
    named = isinstance(axes, str) and len(axes) == dimension
    if axes != "native" and not (named and sum(bool(pair & set(axes)) for pair in pairs) == dimension):
        raise InputError(
            f"{where}: space.tensor_axes {axes!r}; use 'native' or {dimension} letters, one of each of L/R, A/P, I/S"
        )
    spacing = space["spacing"]
    values = spacing if isinstance(spacing, (list, tuple)) else [spacing]
    if spacing != "native" and not (len(values) in (1, dimension) and all(_number(v) and v > 0 for v in values)):
        raise InputError(f"{where}: space.spacing {spacing!r}; use 'native', mm, or {dimension} values in mm")
    extent = space["extent"]
    if extent is not None and not (
        isinstance(extent, (list, tuple)) and len(extent) == dimension and all(_whole(n) and n > 0 for n in extent)
    ):
        raise InputError(f"{where}: space.extent {extent!r}; use null or {dimension} whole numbers")
    for key in ("multiple", "max_voxels"):
        value = space.get(key, 1)
        if not _whole(value) or value < 1:
            raise InputError(f"{where}: space.{key} {value!r}; use a whole number from 1")
    if not isinstance(space.get("flexible", False), bool):
        raise InputError(f"{where}: space.flexible {space['flexible']!r}; use true or false")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
