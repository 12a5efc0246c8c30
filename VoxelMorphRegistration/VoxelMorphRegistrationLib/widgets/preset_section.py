"""The row of presets: what is registered, and one sentence what that sets."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..registration.presets import PRESETS
from .parameters import Parameters
from .words import of_preset


class PresetSection:
    """Offers the presets of the library, and keeps the choice in the parameter `preset`: '' for none."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Parameters | None = None
        self._filling = True
        ui.presetSelector.addItem(_("None: as under Advanced"), "")
        for name, preset in PRESETS.items():
            ui.presetSelector.addItem(of_preset(preset.title), name)
        self._filling = False
        ui.presetSelector.connect("currentIndexChanged(int)", lambda index: self._choose(index))

    def show(self, parameters: Parameters | None) -> None:
        """Show the choice that the parameters hold."""
        self._parameters = parameters
        chosen = "" if parameters is None else parameters.preset
        names = ["", *PRESETS]
        self._filling = True
        self._ui.presetSelector.setCurrentIndex(names.index(chosen) if chosen in names else 0)
        self._filling = False
        preset = PRESETS.get(chosen)
        self._ui.presetInfo.text = "" if preset is None else of_preset(preset.description)
        self._ui.presetInfo.visible = preset is not None

    def _choose(self, index: int) -> None:
        if not self._filling and self._parameters is not None and index >= 0:
            self._parameters.preset = self._ui.presetSelector.itemData(index)
