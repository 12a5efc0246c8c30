"""What a frame took in earlier runs on this computer, kept in the user's settings: a scene knows only its own runs."""

from __future__ import annotations

import json

import slicer

_KEY = "VoxelMorph/TimedFrames"
_MOST = 30


def remember(settings: str, voxels: int, seconds: float) -> None:
    """Keep what a frame of so many voxels took, in place of what was known of these settings."""
    if voxels > 0 and seconds > 0:
        known = _known()
        known.pop(settings, None)
        known[settings] = (seconds, voxels)
        kept = dict(list(known.items())[-_MOST:])
        slicer.app.userSettings().setValue(_KEY, json.dumps(kept))


def expected_seconds(settings: str, voxels: int) -> float:
    """What a frame of so many voxels will take with these settings, if time grows with the voxels; 0 where nobody
    knows.
    """
    seconds, of_voxels = _known().get(settings, (0.0, 1))
    return seconds * voxels / of_voxels


def _known() -> dict[str, tuple[float, int]]:
    try:
        found = json.loads(slicer.app.userSettings().value(_KEY, "{}"))
        return {str(settings): (float(seconds), max(1, int(voxels))) for settings, (seconds, voxels) in found.items()}
    except (TypeError, ValueError, AttributeError):
        return {}
