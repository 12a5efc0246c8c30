"""Settings by what is registered, as measured on real pairs (Docs/accuracy.md). Imports no tensor library, so that a
command line and a window can offer them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Preset:
    """Settings for one kind of pair.

    Attributes:
        name: as it is typed.
        title: as it is shown.
        description: one sentence: for what, and what it costs.
        settings: the fields of `Settings` that differ from a command's own defaults, by name.
        model: the network; None for the bundled one.
    """

    name: str
    title: str
    description: str
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    model: str | None = None


def _(text: str) -> str:
    """Marks what a person reads for Slicer's translators, who find it under the context 'registration.presets'."""
    return text


def _preset(name: str, title: str, description: str, model: str | None = None, **settings: Any) -> Preset:
    return Preset(name, title, description, MappingProxyType(settings), model)


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _preset(
                "abdomen",
                _("Abdomen, breathing"),
                _("Frames of one patient whose organs slide by up to some centimetres; refined, some seconds a frame."),
                align="none",
                refine=100,
            ),
            _preset(
                "heart",
                _("Heart, beating"),
                _("Phases of one heart in a surrounding that is still; refined, some seconds a frame."),
                align="none",
                refine=100,
            ),
            _preset(
                "lung",
                _("Lungs"),
                _("Lungs of one person or of two; an affine start, refined."),
                align="affine",
                refine=100,
            ),
            _preset(
                "brain",
                _("Brains of two people"),
                _("Skull-stripped heads of different people; an affine start, refined until nothing is gained."),
                align="affine",
                refine="auto",
            ),
            _preset(
                "two-contrasts",
                _("Two contrasts"),
                _("Images of one patient by different sequences or modalities; a rigid start, refined."),
                align="rigid",
                refine="auto",
                refine_similarity="mind",
            ),
            _preset(
                "quick",
                _("Quick look"),
                _("The faster network and nothing after it: to see whether a pair or a sequence can be registered."),
                model="any-anatomy-fast",
                refine=0,
            ),
        )
    }
)


def preset(name: str) -> Preset:
    """The preset of this name.

        >>> preset("heart").settings["refine"]
        100

    Raises:
        InputError: for a name that is none, with those there are.
    """
    if name not in PRESETS:
        raise InputError(f"preset {name!r}: unknown; use one of {', '.join(PRESETS)}")
    return PRESETS[name]
