"""The names a setting of a registration can have. Imports nothing, so that a command line can offer them at once."""

from __future__ import annotations

from typing import Literal, get_args

Alignment = Literal["none", "centers", "rigid", "affine"]
LabelInterpolation = Literal["nearest", "smooth"]
Precision = Literal["auto", "float32", "half"]

ALIGNMENTS: tuple[Alignment, ...] = get_args(Alignment)
LABEL_INTERPOLATIONS: tuple[LabelInterpolation, ...] = get_args(LabelInterpolation)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
