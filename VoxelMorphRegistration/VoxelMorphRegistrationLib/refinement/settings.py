"""How one pair's velocity is optimised: every choice in one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InputError
from ..flow.sampling import Padding
from .similarities import SIMILARITIES, Similarity


@dataclass(frozen=True)
class RefinementSettings:
    """How `refine` optimises a velocity.

    Attributes:
        updates: how often the velocity is changed, over all levels together; 'auto': each level ends when it gains no
            more. 0 changes nothing.
        similarity: what is maximised. 'lncc' (local normalised cross-correlation) for images of one contrast, 'mind'
            (MIND-SSC) for images of different ones; 'auto' decides by `contrast.choose_similarity`.
        padding: what the integration of the velocity samples outside its grid, as the caller integrates it.
        squarings: of the integration of the velocity, as the caller integrates it.

    Raises:
        InputError: for a negative number of updates or an unknown similarity.
    """

    updates: int | Literal["auto"] = "auto"
    similarity: Similarity | Literal["auto"] = "auto"
    padding: Padding = "border"
    squarings: int = 7

    def __post_init__(self) -> None:
        if self.updates != "auto" and (not isinstance(self.updates, int) or self.updates < 0):
            raise InputError(f"refinement: updates is {self.updates!r}; give a number from 0 on, or 'auto'")
        if self.similarity != "auto" and self.similarity not in SIMILARITIES:
            raise InputError(
                f"refinement: similarity {self.similarity!r} is unknown; choose one of auto, {', '.join(SIMILARITIES)}"
            )
