"""How many updates each level of an optimisation may take, and how many were taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .schemes import Scheme
from .settings import RefinementSettings


class Updates:
    """The updates of a scheme. Of a fixed number the fits take theirs as long as there are any; the rest is shared out
    among the levels in the proportions of the most that each may take, none lost.

    Attributes:
        levels: of the scheme, with finer images or without; each with the most updates that it may take here.
        taken: how many were counted so far.
        ends: whether a level ends where it gains no more.
    """

    def __init__(
        self,
        scheme: Scheme,
        settings: RefinementSettings,
        with_finer: bool,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """`progress`: called with (updates taken, most updates possible) after each."""
        fits = [level.updates for level in scheme.fits]
        levels = scheme.levels_for(with_finer)
        most = [level.updates for level in levels]
        if settings.updates != "auto":
            left = settings.updates
            for number, limit in enumerate(fits):
                fits[number] = min(limit, left)
                left -= fits[number]
            # Rounded down, and the rest to the coarsest level: few go to the finest, where they cost most.
            most = [left * share // sum(most) for share in most]
            most[0] += left - sum(most)
        self._fits = fits
        self.levels = tuple(replace(level, updates=limit) for level, limit in zip(levels, most))
        self.ends = settings.updates == "auto"
        self.taken = 0
        self._most, self._progress = sum(fits) + sum(most), progress

    def of_fit(self, number: int) -> int:
        """How many the fit of this number takes."""
        return self._fits[number]

    @property
    def are_left(self) -> bool:
        """Whether a level may take any."""
        return any(level.updates for level in self.levels)

    def count(self) -> None:
        """One more was taken."""
        self.taken += 1
        if self._progress is not None:
            self._progress(self.taken, self._most)
