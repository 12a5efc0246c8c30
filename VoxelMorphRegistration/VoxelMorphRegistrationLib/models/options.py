"""The single values of a card that `load_model`, `import_model` and `Card.with_options` replace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict


class SpaceOptions(TypedDict, total=False):
    """The fields of `Space`, as JSON values."""

    tensor_axes: str | None
    spacing: str | float | Sequence[float] | None
    extent: Sequence[int] | None
    multiple: int | None
    max_voxels: int | None
    flexible: bool | None


class ArchitectureOptions(TypedDict, total=False):
    """The keys of `networks.build_network` that a weights file may leave open, and the number of `passes`."""

    features: Sequence[Any] | None
    integration_steps: int | None
    activation: str | None
    negative_slope: float | None
    padding: str | None
    passes: int | None
    unet: dict[str, Any] | None


class TextOptions(TypedDict, total=False):
    """The texts of a card but its name."""

    title: str | None
    modality: str | None
    anatomy: str | None
    contrast: str | None
    licence: str | None
    citation: str | None
    source: str | None
    preparation: str | None


class ImportOptions(SpaceOptions, ArchitectureOptions, TextOptions, total=False):
    """All of them, and the intensity rule: its name, or its object."""

    intensity: str | dict[str, Any] | None


class CardOptions(ImportOptions, total=False):
    """All of them, and the name under which the model goes."""

    name: str | None


SPACE_OPTIONS = tuple(SpaceOptions.__annotations__)
ARCHITECTURE_OPTIONS = tuple(ArchitectureOptions.__annotations__)
TEXT_OPTIONS = ("name", *TextOptions.__annotations__)
OPTIONS = (*SPACE_OPTIONS, "intensity", *ARCHITECTURE_OPTIONS, *TEXT_OPTIONS)
