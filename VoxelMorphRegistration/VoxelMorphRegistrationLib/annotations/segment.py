"""One segment of a segmentation: which voxels it is, and what they are called."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """One segment: the voxels of value `label` in layer number `layer`.

    Attributes:
        id: unique in its segmentation.
        colour: red, green, blue from 0 to 1.
        tags: `key:value|key:value|`, as in the file; `TerminologyEntry` is one of the keys.
        name_generated, colour_generated: Slicer may replace them when the terminology changes.
    """

    id: str
    name: str
    label: int
    layer: int = 0
    colour: tuple[float, float, float] = (0.5, 0.5, 0.5)
    tags: str = ""
    name_generated: bool = False
    colour_generated: bool = False

    @property
    def is_unnamed(self) -> bool:
        """Whether nothing is known of it but the value of its label: `generated_segment` made it, or Slicer so."""
        told = any(tag.startswith("TerminologyEntry:") for tag in self.tags.split("|"))
        return self.name_generated and not told and self.id == self.name and self.name.rstrip("_") == _name(self.label)


def generated_segment(label: int, layer: int = 0, taken: frozenset[str] = frozenset()) -> Segment:
    """A segment for a label value nothing is known about, named as Slicer names it when it imports a label map."""
    name = _name(label)
    while name in taken:
        name += "_"
    # Steps of the golden ratio around the colour wheel keep neighbouring values apart.
    red, green, blue = (round(part, 4) for part in colorsys.hsv_to_rgb((label * 0.61803398875) % 1.0, 0.6, 0.9))
    return Segment(name, name, label, layer, (red, green, blue), "", True, True)


def _name(label: int) -> str:
    return f"Segment_{label}"
