"""What a worker does: it makes the frames of a unit into the folder of their run. One network stays loaded."""

from __future__ import annotations

import SimpleITK as sitk

from ..errors import InputError
from ..propagation.frames import Frames, ReadableFrames
from ..propagation.parts import Part, PartSink
from ..propagation.propagate import Propagation
from ..propagation.request import Request
from ..propagation.sinks import deliver
from ..version import __version__
from .devices import device_of_this_process
from .models import Models, on_device
from .units import Unit


class BegunElsewhere(Exception):
    """Another worker began the unit and did not end it: it died. Whoever sent the unit decides what to do next."""


class WatchedFrames(Frames):
    """The frames of a sequence, of which a part is told before each is read; some are refused unread."""

    def __init__(self, frames: Frames, unit: Unit) -> None:
        self._frames, self._unit = frames, unit
        self.title = frames.title
        self.index_name, self.index_unit, self.index_type = frames.index_name, frames.index_unit, frames.index_type

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> sitk.Image:
        if index in self._unit.refused:
            raise InputError(f"{self.name(index)}: {self._unit.refused[index]}")
        self._unit.part.note_read(index)
        return self._frames[index]

    def name(self, index: int) -> str:
        return self._frames.name(index)

    def value(self, index: int) -> str:
        return self._frames.value(index)

    def file(self, index: int):
        return self._frames.file(index)


_models = Models()
_opened: tuple[Request, Propagation] | None = None


def work(unit: Unit) -> None:
    """Make a unit. Frames that fail are rows of the part; what is raised is at fault for all of them.

    Raises InputError for input that cannot be used or output that cannot be written, BegunElsewhere, and
    DependencyMissing.
    """
    _check(unit)
    propagation = _propagation(unit).kept_in(unit.part.folder)
    if unit.kind == "adapt":
        _adapt(unit, propagation)
        return
    propagation = propagation.reading(WatchedFrames(propagation.frames, unit))
    if unit.kind == "look":
        propagation.look_at(unit.frames)
        return
    if unit.kind == "keys":
        propagation = propagation.up_to_keys()
    if unit.select is not None:
        propagation = propagation.selecting(unit.select)
    others = frozenset(propagation.select).difference(unit.frames)
    deliver(propagation, PartSink(unit.part, others))


def _check(unit: Unit) -> None:
    part = unit.part
    if unit.version != __version__:
        raise InputError(
            f"a worker has version {__version__} of slicer-voxelmorph and the cohort {unit.version}; install the same"
        )
    if not part.folder.is_dir():
        raise InputError(
            f"{part.folder}: a worker does not find it; give an output folder that all machines see under one name"
        )
    if not part.is_wanted() or part.begun():
        raise BegunElsewhere(f"part {part.number} of {part.folder}")


def _propagation(unit: Unit) -> Propagation:
    """The patient's propagation, which stays open from unit to unit."""
    global _opened
    request = on_device(unit.request, device_of_this_process())
    if _opened is None or _opened[0] != request:
        _opened = None  # Two patients need not be in memory at once.
        _opened = (request, request.open(_models.of(request), request.open_frames(shared=True)))
    return _opened[1]


def _adapt(unit: Unit, propagation: Propagation) -> None:
    from ..training.adaptation import AdaptationSettings, adapt

    request = unit.request
    assert request.adapt is not None
    adapt(
        propagation.model,
        ReadableFrames(propagation.frames),
        reference=propagation.references[0].index,
        budget=request.adapt,
        output=adapted_weights(unit.part),
        settings=AdaptationSettings(align=request.pair["align"], seed=request.pair["seed"]),
    )


def adapted_weights(part: Part):
    return part.folder / "adapted" / "network.pt"
