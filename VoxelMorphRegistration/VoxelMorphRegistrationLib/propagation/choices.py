"""The names a setting of a propagation can have. Imports nothing, so that a command line can offer them at once."""

from __future__ import annotations

from typing import Literal, get_args

StrategyName = Literal["auto", "direct", "sequential", "keyframes", "motion-model"]

#: Where a frame that is registered with the reference gets all the detail there is.
Detail = Literal["segmentation", "everywhere"]

STRATEGY_NAMES: tuple[StrategyName, ...] = get_args(StrategyName)
DETAILS: tuple[Detail, ...] = get_args(Detail)
