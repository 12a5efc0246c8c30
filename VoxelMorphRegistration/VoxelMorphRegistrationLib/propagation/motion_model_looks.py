"""The looks at all frames: those that an earlier run kept, and new ones, several frames together on a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk

from .context import OF_THE_RUN, FrameContext, Outcome, with_next
from .motion_model_means import MotionMeans


def look_at(context: FrameContext, means: MotionMeans, indices: Sequence[int]) -> dict[int, np.ndarray]:
    """The look at each frame that can be read: as an earlier run kept it, or a new one."""
    looks: dict[int, np.ndarray] = {}
    missing = []
    for index in indices:
        kept = means.store.look(index)
        if kept is None:
            missing.append(index)
        else:
            looks[index] = kept
    together = means.look.together if missing else 1
    waiting: dict[int, Any] = {}  # what is to be looked at of frames, until there are enough of them
    for done, (index, following) in enumerate(with_next(missing)):
        means.told(done / len(missing))

        def keep(image: sitk.Image, index: int = index) -> Outcome:
            waiting[index] = means.look.seen(image)
            return Outcome(index)

        # A frame that fails says so when its turn comes.
        context.attempt(index, following, keep, means.look.prepare)
        if len(waiting) >= together or following is None:
            for seen, look in _found(means, waiting).items():
                if np.isfinite(look).all():
                    looks[seen] = look
                    means.store.keep_look(seen, look)
            waiting.clear()
    if missing:
        means.told(1.0)
    return {index: looks[index] for index in indices if index in looks}


def _found(means: MotionMeans, waiting: Mapping[int, Any]) -> dict[int, np.ndarray]:
    """Of frames that are looked at together; where that fails, of each that it does not fail for."""
    try:
        return dict(zip(waiting, means.look.at_all(list(waiting.values())))) if waiting else {}
    except OF_THE_RUN:
        raise
    except Exception:
        if len(waiting) == 1:
            return {}
        return {number: look for one in waiting.items() for number, look in _found(means, dict([one])).items()}
