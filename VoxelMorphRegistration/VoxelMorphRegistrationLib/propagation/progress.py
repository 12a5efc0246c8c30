"""How a long run says where it is: a bar for people, JSON lines for a program that started it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from .frame_result import FrameResult

_EVERY_SECONDS = 10.0


class Progress:
    """Reports on a run of `total` frames, `finished` of which were there already.

    'bar' draws on stderr; 'json' prints one JSON object a line on stdout (events start, stage, frame, finish); 'auto'
    is a bar in a terminal and else a line on stderr every ten seconds; 'none' is silent. `verbose` adds, on stderr and
    whatever the kind, where each failed frame failed. `emit` takes the events of 'json' in place of stdout.
    """

    def __init__(
        self,
        kind: Literal["auto", "bar", "json", "none"],
        total: int,
        finished: int,
        verbose: bool = False,
        emit: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        automatic = "bar" if sys.stderr.isatty() else "lines"
        self._kind = automatic if kind == "auto" else str(kind)
        self._verbose = verbose
        self._emit = emit or _print
        self._total, self._done, self._begun_with = total, finished, finished
        self._failed = 0
        self._started = self._told = time.monotonic()
        self._bar = None
        if self._kind == "bar":
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, initial=finished, unit="frame", desc="frames", file=sys.stderr, dynamic_ncols=True
            )
        self._json(event="start", frames=total, finished=finished)

    def stage(self, name: str, share: float) -> None:
        """A stage other than frames (adapting, assembling) is done to a share of 0 to 1."""
        if self._bar is not None:
            self._bar.set_description_str(f"{name} {100 * share:.0f} %" if share < 1 else "frames")
        self._json(event="stage", name=name, share=round(share, 4))

    def frame(self, result: FrameResult, files: Mapping[str, str] | None = None) -> None:
        """A frame is done; `files` are its results by what they are."""
        self._done += 1
        self._failed += result.failure is not None
        left = self._seconds_left()
        if self._bar is not None:
            self._bar.update()
            self._bar.set_postfix_str(f"frame {result.index}" + (f", {self._failed} failed" if self._failed else ""))
        if result.failure is not None:
            if self._kind in ("bar", "lines"):
                self._say(f"failed: {result.message}")
            if self._verbose:
                self._say(result.failure.traceback)
        now = time.monotonic()
        if self._kind == "lines" and now - self._told >= _EVERY_SECONDS:
            self._told = now
            self._say(f"{self._done}/{self._total} frames, {left:.0f} s left")
        self._json(
            event="frame",
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
            self._bar.close()
        self._json(event="finish", **facts)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _seconds_left(self) -> float:
        made = self._done - self._begun_with
        return (time.monotonic() - self._started) / made * (self._total - self._done) if made else 0.0

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
            return
        try:
            print(text, file=sys.stderr, flush=True)
        except BrokenPipeError:
            self._kind = "none"  # Nobody listens any more; the run goes on.

    def _json(self, **event: Any) -> None:
        if self._kind == "json":
            self._emit(event)


def _print(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)
