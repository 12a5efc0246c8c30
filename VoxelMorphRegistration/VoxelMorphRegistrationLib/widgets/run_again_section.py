"""Frames of a result that are to be made once more, with other settings than the panel's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from ..errors import InputError
from ..registration.presets import PRESETS
from .parameters import Changes, Refinement, Strategy
from .words import of_preset

if TYPE_CHECKING:
    from ..mrml.review import FrameState

OnAgain = Callable[[list[int], Changes], None]


class RunAgainSection:
    """A box that is opened by a button. Its frames are the flagged ones until a person writes others."""

    def __init__(self, ui: Any, on_again: OnAgain) -> None:
        self._ui, self._on_again = ui, on_again
        self._count, self._flagged, self._shown = 0, "", -1
        self._presets = [None, "", *PRESETS]
        self._strategies = [None, *Strategy]
        self._refinements = [None, *Refinement]
        as_above = _("As chosen in the panel")
        titles = [as_above, _("None: as under Advanced"), *(of_preset(one.title) for one in PRESETS.values())]
        for box, texts in (
            (ui.againPresetSelector, titles),
            (ui.againStrategySelector, [as_above, *(one.label() for one in Strategy)]),
            (ui.againRefinementSelector, [as_above, *(one.label() for one in Refinement)]),
        ):
            for text in texts:
                box.addItem(text)
        ui.againBox.visible = False
        ui.againBoxButton.connect("clicked(bool)", lambda clicked: self._open())
        ui.againFlaggedButton.connect("clicked(bool)", lambda clicked: self._write(self._flagged))
        ui.againShownButton.connect("clicked(bool)", lambda clicked: self._add_shown())
        ui.againButton.connect("clicked(bool)", lambda clicked: self._run())

    def show(self, states: list[FrameState], shown: FrameState | None, count: int, busy: bool) -> None:
        """`states`: of the frames there are; `count`: of the sequence; `busy`: a run works on them."""
        ui, flagged = self._ui, ", ".join(str(state.index) for state in states if state.needs_look)
        if ui.againFramesEdit.text in ("", self._flagged):
            self._write(flagged)
        self._count, self._flagged = count, flagged
        self._shown = -1 if shown is None else shown.index
        ui.againBoxButton.enabled = bool(states)
        ui.againButton.enabled = bool(states) and not busy
        ui.againFlaggedButton.enabled = bool(flagged)
        ui.againShownButton.enabled = shown is not None
        if not states:
            ui.againBoxButton.checked = False
        ui.againBox.visible = ui.againBoxButton.checked

    def _open(self) -> None:
        self._ui.againBox.visible = self._ui.againBoxButton.checked

    def _write(self, frames: str) -> None:
        self._ui.againFramesEdit.text = frames

    def _add_shown(self) -> None:
        written = self._ui.againFramesEdit.text.strip(" ,")
        self._write(f"{written}, {self._shown}" if written else str(self._shown))

    def _run(self) -> None:
        from ..propagation.frame_selection import select_frames

        ui = self._ui
        changes = Changes(
            self._presets[ui.againPresetSelector.currentIndex],
            self._strategies[ui.againStrategySelector.currentIndex],
            self._refinements[ui.againRefinementSelector.currentIndex],
        )
        try:
            frames = select_frames(ui.againFramesEdit.text.strip(" ,"), self._count)
        except InputError as error:
            slicer.util.errorDisplay(str(error), _("VoxelMorph Registration"))
            return
        self._on_again(frames, changes)
