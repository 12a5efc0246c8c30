"""What is said of a sequence before a frame of it is read: doubts about its files, and a pass over a compressed one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..propagation.frames import Frames
    from ..propagation.request import Request

_STEPS = 100  # events that a pass gives at most


def open_sequence(request: Request, args: argparse.Namespace) -> Frames:
    """The frames that a request asks for, ready to be read, with what is to be known of them said before.

    Raises InputError when they cannot be opened, and when there is no room for what has to be done first.
    """
    frames = request.open_frames()
    for note in frames.notes:
        print(f"note: {note}", file=sys.stderr)
    if frames.order and args.dry_run:
        print(f"order           {frames.order}")
    if frames.preparation and args.dry_run:
        print(f"reading         {frames.preparation}", flush=True)
    elif frames.preparation:
        print(f"note: {args.sequence}: {frames.preparation}", file=sys.stderr, flush=True)
    frames.prepare(_stages(args) if frames.preparation and args.progress == "json" else lambda share: None)
    return frames


def _stages(args: argparse.Namespace) -> Callable[[float], None]:
    told = -1

    def stage(share: float) -> None:
        nonlocal told
        step = int(share * _STEPS)
        if step > told:
            told = step
            args.emit({"event": "stage", "name": "preparing", "share": round(share, 2)})

    return stage
