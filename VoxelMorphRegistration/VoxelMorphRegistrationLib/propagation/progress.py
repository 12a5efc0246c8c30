"""How a long run says where it is: a bar for people, JSON lines for a program that started it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from .frame_result import FrameResult

_EVERY_SECONDS = 10.0

Kind = Literal["auto", "bar", "json", "none"]
Event = Callable[[dict[str, Any]], None]


class Reporter:
    """Says how many of `total` frames are done, and what time is left.

    'bar' draws on stderr; 'json' hands events to `emit`; 'auto' is a bar in a terminal and else a line on stderr every
    ten seconds; 'none' is silent. `title` names the bar, `finished` counts the frames that were there already.
    """

    def __init__(self, kind: Kind, title: str, total: int, finished: int, emit: Event) -> None:
        automatic = "bar" if sys.stderr.isatty() else "lines"
        self._kind = automatic if kind == "auto" else str(kind)
        self._emit = emit
        self._total, self._done, self._made = total, finished, 0
        self._started = self._told = time.monotonic()
        self._bar = None
        if self._kind == "bar":
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, initial=finished, unit="frame", desc=title, file=sys.stderr, dynamic_ncols=True
            )

    @property
    def done(self) -> int:
        """Frames that are finished or failed."""
        return self._done

    def found(self, frames: int) -> None:
        """Frames that earlier runs finished."""
        self._done += frames
        if self._bar is not None:
            self._bar.update(frames)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def seconds_left(self) -> float:
        """As the frames made so far took; 0 while there are none."""
        return (time.monotonic() - self._started) / self._made * (self._total - self._done) if self._made else 0.0

    def _add(self, frames: int, remark: str) -> None:
        """Frames that were made just now; `remark` stands beside the bar."""
        self._done += frames
        self._made += frames
        if self._bar is not None:
            self._bar.update(frames)
            self._bar.set_postfix_str(remark)

    def _is_time(self) -> bool:
        """Whether the last line was told long ago."""
        now = time.monotonic()
        if now - self._told < _EVERY_SECONDS:
            return False
        self._told = now
        return True

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
            return
        try:
            print(text, file=sys.stderr, flush=True)
        except BrokenPipeError:
            self._kind = "none"  # Nobody listens any more; the run goes on.

    def _event(self, kind: str, /, **facts: Any) -> None:
        if self._kind == "json":
            self._emit({"event": kind, **facts})


class Progress(Reporter):
    """Reports on a run of `total` frames, `finished` of which were there already.

    For the kinds see `Reporter`; 'json' prints one JSON object a line on stdout (events start, stage, frame, finish).
    `verbose` adds, on stderr and whatever the kind, where each failed frame failed. `emit` takes the events of 'json'
    in place of stdout.
    """

    def __init__(self, kind: Kind, total: int, finished: int, verbose: bool = False, emit: Event | None = None) -> None:
        super().__init__(kind, "frames", total, finished, emit or _print)
        self._verbose = verbose
        self._failed = 0
        self._event("start", frames=total, finished=finished)

    def stage(self, name: str, share: float) -> None:
        """A stage other than frames (adapting, assembling) is done to a share of 0 to 1."""
        if self._bar is not None:
            self._bar.set_description_str(f"{name} {100 * share:.0f} %" if share < 1 else "frames")
        self._event("stage", name=name, share=round(share, 4))

    def frame(self, result: FrameResult, files: Mapping[str, str] | None = None) -> None:
        """A frame is done; `files` are its results by what they are."""
        self._failed += result.failure is not None
        self._add(1, f"frame {result.index}" + (f", {self._failed} failed" if self._failed else ""))
        left = self.seconds_left()
        if result.failure is not None:
            if self._kind in ("bar", "lines"):
                self._say(f"failed: {result.message}")
            if self._verbose:
                self._say(result.failure.traceback)
        if self._kind == "lines" and self._is_time():
            self._say(f"{self._done}/{self._total} frames, {left:.0f} s left")
        self._event(
            "frame",
            index=result.index,
            status=result.status,
            done=self._done,
            frames=self._total,
            seconds=round(result.seconds, 3),
            seconds_left=round(left, 1),
            message=result.message,
            files=dict(files or {}),
        )

    def finish(self, **facts: Any) -> None:
        if self._bar is not None:
            self._bar.set_description_str("frames")
        self.close()
        self._event("finish", **facts)


def _print(event: dict[str, Any]) -> None:
    # In one piece: with a GPU two threads tell.
    print(json.dumps(event) + "\n", end="", flush=True)
