"""What a worker is given: some frames of one patient; and how a patient's frames are cut into such units."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..propagation.parts import Part
from ..propagation.propagate import Propagation
from ..propagation.references import assign
from ..propagation.request import Request
from ..version import __version__

Kind = Literal["adapt", "look", "keys", "frames"]
"""Train the network on the sequence; look at frames before strategy motion-model chooses; the reference and the frames
that it chooses; frames."""

Lane = list[list[int]]
"""Frames in units that are made one after the other; lanes are made at the same time."""


@dataclass(frozen=True)
class Unit:
    """Frames of one patient for one worker. It holds names of files and numbers alone: data go by path.

    Attributes:
        request: what is asked for the patient. part: where it is written.
        kind: see `Kind`. frames: the frames to make; for 'keys' those among which they are chosen.
        select: frames that the strategy may know of; None for all that are wanted.
        refused: why frames are not to be read, by number: they ended two processes.
        version: of the library that sends it.
    """

    request: Request
    part: Part
    kind: Kind
    frames: tuple[int, ...]
    select: tuple[int, ...] | None = None
    refused: Mapping[int, str] = field(default_factory=dict)
    version: str = __version__


def lanes_of(propagation: Propagation, todo: Collection[int], size: int) -> list[Lane]:
    """How the frames that are to do are made, so that the results are those of one process alone.

    direct, motion-model: any frames by themselves, `size` a unit. keyframes: whole stretches between key frames.
    sequential: one lane in each direction from each reference, since each frame needs the one before it.
    """
    strategy, step = propagation.settings.strategy, propagation.settings.keyframe_step
    if strategy in ("direct", "motion-model"):
        return [[chunk] for chunk in _chunks(sorted(todo), size)]
    lanes: list[Lane] = []
    for chain in chains(propagation):
        if strategy == "sequential":
            lanes.append(_chunks([index for index in chain if index in todo], size))
            continue
        start, head = (1, chain[:1]) if chain[0] in _references(propagation) else (0, [])
        stretches = [chain[n : n + step] for n in range(start, len(chain), step)]
        joined = _joined([head, *stretches] if head else stretches, max(size, step))
        lanes += [[kept] for frames in joined if (kept := [index for index in frames if index in todo])]
    return [lane for lane in lanes if lane]


def chains(propagation: Propagation) -> list[list[int]]:
    """The frames after each reference, itself first, and those before it, each starting next to it."""
    found = []
    for reference, indices in assign(propagation.references, propagation.frames, propagation.select):
        middle = reference.index
        after = [index for index in indices if index >= middle]
        before = [index for index in reversed(indices) if index < middle]
        found += [chain for chain in (after, before) if chain]
    return found


def select_for(propagation: Propagation, frames: Collection[int]) -> tuple[int, ...] | None:
    """The frames of a chain as far as the last of a unit: what lies beyond is then not even read ahead."""
    if propagation.settings.strategy != "sequential":
        return None
    for chain in chains(propagation):
        places = [place for place, index in enumerate(chain) if index in frames]
        if places:
            return tuple(sorted(chain[: places[-1] + 1]))
    return None


def _references(propagation: Propagation) -> set[int]:
    return {reference.index for reference in propagation.references}


def _chunks(indices: Sequence[int], size: int) -> list[list[int]]:
    """Pieces of nearly equal length, `size` at most."""
    pieces = -(-len(indices) // size)
    bounds = [round(n * len(indices) / pieces) for n in range(pieces + 1)] if pieces else []
    return [list(indices[a:b]) for a, b in zip(bounds, bounds[1:])]


def _joined(stretches: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    joined: list[list[int]] = []
    for stretch in stretches:
        if joined and len(joined[-1]) + len(stretch) <= size:
            joined[-1].extend(stretch)
        else:
            joined.append(list(stretch))
    return joined
