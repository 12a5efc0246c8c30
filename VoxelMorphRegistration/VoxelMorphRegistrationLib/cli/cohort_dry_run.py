"""What `cohort --dry-run` says: what would be done, and what it would take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import dry_run

if TYPE_CHECKING:
    from ..cohort.cases import Case
    from ..cohort.first_sequence import FirstSequence
    from ..cohort.models import Models
    from ..cohort.workers import WorkerSettings
    from ..propagation.propagate import Propagation


def tell(cases: Sequence[Case], models: Models, output: Path, settings: WorkerSettings, first: FirstSequence) -> None:
    """Register a frame of each kind of patient for the times, and tell what the cohort would take."""
    seconds_of: dict[tuple, float] = {}
    seconds = disk = held = 0.0
    print(f"{'patient':24} {'frames':>7}  {'frame grid':24} {'a registration':>14} {'disk':>9}")
    for case in cases:
        propagation = case.request.open(models.of(case.request), first.take(case.name))
        kind = (propagation.network_grid().size, case.request.model, str(case.request.pair))
        if kind not in seconds_of:
            seconds_of[kind] = _timed(propagation)
        own = dry_run.disk_bytes(propagation, case.request.wanted)
        disk += own
        held = max(held, dry_run.held_bytes(propagation) / 1e6)
        seconds += seconds_of[kind] * dry_run.registrations(case.frames, propagation.settings)
        size = dry_run.size_text(propagation.references[0].image.GetSize())
        print(f"{case.name:24} {case.frames:>7}  {size:24} {seconds_of[kind]:>12.2f} s {own / 1e6:>6.0f} MB")
    workers, threads = settings.counted()
    memory = dry_run.peak_megabytes() + held
    free = dry_run.free_bytes(output) / 1e9
    print(f"frames          {sum(case.frames for case in cases)} of {len(cases)} patients")
    if settings.scheduler is None:
        how = f"workers {workers}, threads of each {threads}"
        print(f"time            about {dry_run.duration(seconds / workers)} ({how})")
        print(f"memory          about {memory * workers:.0f} MB, {memory:.0f} MB a worker")
    else:
        print(f"time            about {dry_run.duration(seconds)} divided by the number of workers like this machine")
        print(f"memory          about {memory:.0f} MB a worker")
    print(f"disk            at most {disk / 1e9:.1f} GB, {free:.1f} GB are free at {output}")


def _timed(propagation: Propagation) -> float:
    taken = {reference.index for reference in propagation.references}
    others = [index for index in propagation.select if index not in taken]
    return dry_run.timed(propagation, others)[0] if others else 0.0
