"""One patient of a cohort while it is worked on: what is given out, what came back, and what that says of frames."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import replace

from ..errors import InputError
from ..propagation.folder import RunFolder
from ..propagation.frames import Frames
from ..propagation.motion_model_fit import FEWEST_FRAMES
from ..propagation.overlapping import MAKERS
from ..propagation.parts import Rows
from ..propagation.propagate import Propagation
from ..propagation.table import FrameTable
from ..space.grid import Grid
from .cases import Case
from .units import Kind, Lane, Unit, lanes_of, select_for
from .work import adapted_weights

_LETHAL = 2  # processes that a frame may end before it is left out
_UNEXPLAINED = 6  # times that a unit may be lost without a frame that explains it
_BEGUN = 2 + MAKERS  # frames that a process is at: one is read, one registered and, with a GPU meanwhile, some measured


class Patient:
    """Gives out units of one run and takes over what they made. It holds the run's folder, and its lock, until `close`.

    Args:
        size: frames of a unit, about.
    """

    def __init__(self, case: Case, propagation: Propagation, folder: RunFolder, size: int) -> None:
        self.case, self.folder, self.size = case, folder, size
        self.grid = Grid.of(propagation.references[0].image)
        self._propagation = propagation
        self._request, self._strategy = case.request, propagation.settings.strategy
        self._done = set(folder.finished.intersection(propagation.select))
        self.failed: set[int] = set()
        self.error = ""
        self._suspected: Counter[int] = Counter()
        self._lost: Counter[tuple[int, ...]] = Counter()
        self._refused: dict[int, str] = {}
        self._lanes: deque[tuple[Kind, Lane]] = deque()
        self._out: dict[int, tuple[Unit, Lane]] = {}
        self._taken: dict[int, set[int]] = {}
        self._sizes: dict[int, int] = {}
        self._stages = self._planned()
        self._begin_stage()

    @property
    def done(self) -> int:
        """Frames that are finished or failed."""
        return len(self._done | self.failed)

    @property
    def is_over(self) -> bool:
        """Whether everything that was given out has come back, and nothing further will be given out."""
        return not self._out and (bool(self.error) or not (self._lanes or self._stages))

    def next_unit(self) -> Unit | None:
        """A unit to be worked on now, or None while others have to come back first."""
        if self.error or not self._lanes:
            return None
        kind, lane = self._lanes.popleft()
        frames = lane.pop(0)
        part = self.folder.part(releases=self._strategy != "motion-model")
        select = select_for(self._propagation, frames) if kind == "frames" else None
        unit = Unit(self._request, part, kind, tuple(frames), select, dict(self._refused))
        self._out[part.number] = (unit, lane)
        self._taken[part.number] = set()
        return unit

    def look(self) -> int:
        """Take over what units that are being worked on have finished meanwhile; returns how many frames that were."""
        return sum(self._take(unit) for unit, _ in list(self._out.values()))

    def came_back(self, unit: Unit) -> int:
        """A unit is made; returns how many frames were new."""
        _, lane = self._out[unit.part.number]
        new = self._take(unit)
        self._close(unit)
        missing = set(unit.frames).difference(self._done, self.failed) if unit.kind == "frames" else set()
        if missing:
            self.error = self.error or f"frames {sorted(missing)[:3]}: a worker left them out"
        if unit.kind == "adapt":
            self._request = replace(self._request, model=str(adapted_weights(unit.part)))
        if lane:
            self._lanes.appendleft((unit.kind, lane))
        if not self._lanes and not self._out and not self.error:
            self._begin_stage()
        return new

    def was_lost(self, unit: Unit) -> int:
        """The process that worked on a unit ended: what is left is given out again, the frames it may have died of each
        by itself. Returns how many frames were new.
        """
        _, lane = self._out[unit.part.number]
        new = self._take(unit)
        begun = unit.part.begun()
        rows = self._taken[unit.part.number]
        self._close(unit)
        last = 1 if unit.kind == "keys" else _BEGUN
        known = self._done | self.failed | rows
        suspects = [index for index in dict.fromkeys(begun[-last:]) if index not in known]
        for index in suspects:
            self._suspected[index] += 1
            if self._suspected[index] >= _LETHAL:
                self._refused[index] = f"ended {_LETHAL} processes that worked on it, so it is left out"
        if not suspects:
            self._lost[unit.frames] += 1
            if self._lost[unit.frames] >= _UNEXPLAINED:
                self.give_up(f"its worker ended {_UNEXPLAINED} times, and not over one frame")
                return new
        left = [index for index in unit.frames if index not in self._done and index not in self.failed]
        suspects = [index for index in suspects if index in left]
        if unit.kind in ("adapt", "keys"):
            pieces = [list(unit.frames)]
        else:
            rest = [index for index in left if index not in suspects]
            pieces = [[index] for index in suspects] + ([rest] if rest else [])
        if self._strategy == "sequential" and unit.kind == "frames":
            order = {index: place for place, index in enumerate(left)}
            pieces.sort(key=lambda piece: order[piece[0]])
            self._lanes.appendleft((unit.kind, pieces + lane))
        else:
            self._lanes.extendleft((unit.kind, [piece]) for piece in reversed(pieces))
        return new

    def give_up(self, message: str) -> None:
        """Stop this patient: no further units, and those that are out end with the frame they are at."""
        self.error = self.error or message
        self._lanes.clear()
        self._stages.clear()
        for unit, _ in self._out.values():
            self._take_what_can_be(unit)
            unit.part.remove()

    def came_back_failed(self, unit: Unit, message: str) -> None:
        """A unit ended with an error that is not of one frame."""
        self._take_what_can_be(unit)
        self._close(unit)
        self.give_up(message)

    def rows(self) -> Rows:
        """The rows of frames.csv as it stands."""
        return FrameTable(self.folder.path / "frames.csv", ()).read()

    def frames(self) -> Frames:
        """The sequence."""
        return self._propagation.frames

    def close(self) -> None:
        """Take over what is there and leave the folder to others."""
        for unit, _ in list(self._out.values()):
            self._take(unit)
            unit.part.remove()
        self.folder.abandon()

    def _planned(self) -> list[Kind]:
        stages: list[Kind] = []
        if self._request.adapt:
            stages.append("adapt")
        if self._strategy == "motion-model":
            stages += ["look", "keys"]
        return [*stages, "frames"]

    def _begin_stage(self) -> None:
        """Give out the next stage that has something to do."""
        while self._stages and not self._lanes:
            kind = self._stages.pop(0)
            propagation = self._propagation
            todo = [index for index in propagation.select if index not in self._done and index not in self.failed]
            if not todo:
                self._stages.clear()
            elif kind == "adapt":
                self._adapted_already(todo)
            elif kind == "look":
                chosen = lanes_of(propagation, propagation.select, self.size)
                self._lanes.extend((kind, lane) for lane in chosen if len(todo) >= FEWEST_FRAMES)
            elif kind == "keys":
                self._lanes.append((kind, [todo]))
            else:
                self._lanes.extend((kind, lane) for lane in lanes_of(propagation, todo, self.size))

    def _adapted_already(self, todo: Collection[int]) -> None:
        weights = self.folder.adapted_weights
        if weights.is_file() and weights.with_suffix(".json").is_file():
            self._request = replace(self._request, model=str(weights))
        else:
            self._lanes.append(("adapt", [list(todo)]))

    def _take(self, unit: Unit) -> int:
        """Rows of a unit that were not taken yet go into the run's table."""
        number, path = unit.part.number, unit.part.table
        size = path.stat().st_size if path.is_file() else 0
        if size == self._sizes.get(number, 0):
            return 0
        self._sizes[number] = size
        known = self._taken[number]
        rows = {index: row for index, row in unit.part.rows().items() if index not in known}
        self.folder.take(rows)
        known.update(rows)
        before = self.done
        for index, row in rows.items():
            (self.failed if row["status"] == "failed" else self._done).add(index)
        return self.done - before

    def _take_what_can_be(self, unit: Unit) -> None:
        """For a patient that ends with an error: that its disk or folder does not take rows is no further one."""
        try:
            self._take(unit)
        except (InputError, OSError):
            return

    def _close(self, unit: Unit) -> None:
        self._out.pop(unit.part.number, None)
        self._sizes.pop(unit.part.number, None)
        self._taken.pop(unit.part.number, None)
        unit.part.remove()
