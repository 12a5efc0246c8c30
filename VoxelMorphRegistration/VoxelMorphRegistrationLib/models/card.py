"""A model's card: what its network is, what image it expects, and where it comes from. JSON beside the weights."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError
from ..files.atomic import atomic_write
from ..files.detached import check_no_pipe
from ..network_space.intensity import IntensityRule, MinMax
from ..network_space.space import Space
from .options import ARCHITECTURE_OPTIONS, OPTIONS, SPACE_OPTIONS, TEXT_OPTIONS, CardOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

_JSON_TYPES: dict[str, type] = {"architecture": dict, "space": dict, "intensity": dict, "training": dict, "notes": list}


@dataclass(frozen=True)
class Card:
    """Everything about a model but its weights.

    Attributes:
        name: how it is asked for: lower-case letters, digits, dots, dashes and underscores.
        architecture: the keys of `networks.build_network`, and `passes` (default 1): how many times the network is run,
            each time on the image warped so far.
        space: the axes, spacing and shape of the network's input.
        intensity: the values of the network's input. In the file an object, {"rule": ...}.
        contrast: 'same' when both images must be of one modality, 'any' when not.
        preparation: what must have been done to the images before.
        training: how the weights came about, as JSON values.
        notes: what a person should know, such as what was assumed.
        weights, sha256: the file name beside the card, and its checksum.
    """

    name: str
    architecture: dict[str, Any]
    space: Space = field(default_factory=Space)
    intensity: IntensityRule = field(default_factory=MinMax)
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
        for key, value in content.items():
            if key == "sha256" and value is None:
                continue
            expected = _JSON_TYPES.get(key, str)
            if not isinstance(value, expected):
                raise InputError(f"{where}: {key!r} is {value!r}; a {expected.__name__} is expected")
        try:
            parts = {
                "space": Space.from_dict(content.get("space", {})),
                "intensity": IntensityRule.from_dict(content.get("intensity", {"rule": MinMax.name})),
            }
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        card = cls(**{**content, **parts})
        card.check(where)
        return card

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON values, as `write` writes them."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**content, "space": self.space.to_dict(), "intensity": self.intensity.to_dict()}

    @classmethod
    def read(cls, path: str | Path) -> Card:
        """The card in a JSON file.

        Raises:
            InputError: missing or not JSON, or as `from_dict`.
        """
        check_no_pipe(Path(path))
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: the model card cannot be read ({error.strerror}); check the path") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: the model card is not valid JSON ({error}); correct it") from error
        return cls.from_dict(content, str(path))

    def write(self, path: str | Path) -> None:
        """Write the card as JSON, whole or not at all."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")

    def check(self, where: str) -> None:
        """Raise `InputError`, beginning with `where`, for the first value that is not allowed."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", self.name):
            raise InputError(f"{where}: name {self.name!r}; use lower-case letters, digits, dots, dashes, underscores")
        if self.contrast not in ("same", "any"):
            raise InputError(f"{where}: contrast {self.contrast!r}; use 'same' or 'any'")
        if "/" in self.weights or "\\" in self.weights:
            raise InputError(f"{where}: weights {self.weights!r}; give the name of a file beside the card")
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise InputError(f"{where}: sha256 {self.sha256!r}; 64 hexadecimal digits are expected")
        passes = self.architecture.get("passes", 1)
        if not isinstance(passes, int) or isinstance(passes, bool) or passes < 1:
            raise InputError(f"{where}: architecture.passes {passes!r}; use a whole number from 1")
        dimension = self.architecture.get("ndim")
        if dimension not in (2, 3):
            raise InputError(f"{where}: architecture.ndim {dimension!r}; use 2 or 3")
        try:
            self.space.check_dimension(dimension)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error

    @property
    def metric(self) -> Literal["ncc", "nmi"]:
        """The similarity that says whether images of this model's kind became alike.

        Correlation ('ncc') where both are of one contrast, normalised mutual information ('nmi') where they need not.
        """
        return "nmi" if self.contrast == "any" else "ncc"

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with whatever of the card changes a displacement."""
        seen = [self.architecture, self.space.to_dict(), self.intensity.to_dict(), self.contrast]
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:12]

    def with_options(self, where: str = "options", **options: Unpack[CardOptions]) -> Card:
        """The card with single values replaced; an option that is None changes nothing.

        Args:
            where: begins every error.

        Raises:
            InputError: an option that is not one of `CardOptions`, or a value that is not allowed.
        """
        given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
        unknown = sorted(set(given) - set(OPTIONS))
        if unknown:
            raise InputError(f"{where}: {unknown[0]!r} is not an option of a model; use {', '.join(OPTIONS)}")
        architecture = {key: given[key] for key in ARCHITECTURE_OPTIONS if key in given}
        texts: dict[str, Any] = {key: given[key] for key in TEXT_OPTIONS if key in given}
        try:
            space = Space.from_dict(
                {**self.space.to_dict(), **{key: given[key] for key in SPACE_OPTIONS if key in given}}
            )
            intensity = IntensityRule.from_dict(given["intensity"]) if "intensity" in given else self.intensity
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        card = replace(
            self, architecture={**self.architecture, **architecture}, space=space, intensity=intensity, **texts
        )
        card.check(where)
        return card
