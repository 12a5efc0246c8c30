"""How similar a pair is under a whole displacement, as refinement judges what it found."""

from __future__ import annotations

from functools import cached_property

import torch

from ..flow import integration
from .contrast import CoarseComparison
from .forces import Forces, MindFeatures, MindForce
from .pair import ImagePair
from .similarities import Similarity


class Judge:
    """The similarity of a pair under a whole displacement (1, d, *shape), in voxels; larger is better.

    Attributes:
        start: the displacement that refinement starts from.
        part: share of the grid that is looked at.
    """

    def __init__(self, images: ImagePair, similarity: Similarity, start: torch.Tensor) -> None:
        self.similarity, self.start = similarity, start
        self.part = 1.0 if images.within is None else round(images.within.share, 2)
        self._images = images
        self._comparison = CoarseComparison(images)
        self._weight: torch.Tensor | None = None

    def weigh(self) -> torch.Tensor:
        """From here on LNCC counts where the pair is unlike under the start; how much, (1, 1, *shape)."""
        self._weight = self._comparison.unlike(self.start)
        return self._weight

    @cached_property
    def before(self) -> float:
        """The similarity under the start; asked for when it is weighed, if it is."""
        return self(self.start)

    def lifted(self, share: float) -> float:
        """LNCC that has gained a share of what it lacks of 1 under the start."""
        return self.before + share * (1 - self.before)

    def __call__(self, displacement: torch.Tensor) -> float:
        if self.similarity == "lncc":
            return self._comparison.lncc(displacement, self._weight)
        inside = self._images.field_of_view.cut(displacement)
        return self._mind.value(integration.resize_flow(inside, self._mind.shape))

    @cached_property
    def _mind(self) -> MindForce:
        seen = self._images.seen
        return MindForce(MindFeatures(seen), Forces(seen, "mind").finest)
