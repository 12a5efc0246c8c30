"""The names of what refinement can maximise. Imports nothing, so that a command line can offer them at once."""

from __future__ import annotations

from typing import Literal, get_args

Similarity = Literal["lncc", "mind"]

SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)
