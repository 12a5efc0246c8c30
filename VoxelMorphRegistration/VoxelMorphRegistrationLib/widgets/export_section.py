"""Results of a propagation written to a folder, while the window lives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from .job import Progress
from .steps import Steps

if TYPE_CHECKING:
    from ..mrml.export_run import Kind

_LABELS: dict[str, Callable[[], str]] = {
    "segmentations": lambda: _("Segmentations (.seg.nrrd)"),
    "sequence": lambda: _("Labels of all frames in one .seq.nrrd"),
    "table": lambda: _("Table of frames (.csv)"),
    "transforms": lambda: _("Transforms (.h5)"),
    "points": lambda: _("Points (.mrk.json)"),
    "models": lambda: _("Models (.vtp)"),
}


class ExportSection:
    """Offers what there is of an output sequence."""

    def __init__(self, ui: Any, progress: Progress) -> None:
        self._ui, self._progress = ui, progress
        self._output: slicer.vtkMRMLSequenceNode | None = None
        self._kinds: list[Kind] = []
        self._steps: Steps | None = None
        ui.exportButton.connect("clicked(bool)", lambda clicked: self._export())

    def show(self, output: slicer.vtkMRMLSequenceNode | None) -> None:
        """Offer what can be written of this output."""
        self._output, kinds = output, []
        if output is not None:
            from ..mrml.export_run import kinds_of

            kinds = kinds_of(output)
        if kinds != self._kinds:
            self._kinds = kinds
            self._ui.exportSelector.clear()
            for kind in kinds:
                self._ui.exportSelector.addItem(_LABELS[kind](), kind)
        self._ui.exportSelector.enabled = self._ui.exportButton.enabled = bool(kinds)

    def stop(self) -> None:
        """Write no further file."""
        if self._steps is not None:
            self._steps.stop()

    def _export(self) -> None:
        from ..mrml.export_run import export_run

        title = _("Folder for the exported files")
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)
        if not folder or self._output is None:
            return
        kind = self._kinds[self._ui.exportSelector.currentIndex]
        self._steps = Steps(
            export_run(self._output, Path(folder), kind),
            lambda share: self._progress(share, _("Exporting ...")),
            lambda: self._progress(1.0, _("Exported to {folder}.").format(folder=folder)),
            self._failed,
        )

    def _failed(self, error: Exception) -> None:
        self._progress(1.0, "")
        slicer.util.errorDisplay(str(error), _("VoxelMorph Registration"))
