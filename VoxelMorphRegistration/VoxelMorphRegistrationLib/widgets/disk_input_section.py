"""Frames from disk as the input of a propagation, without loading them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError


class DiskInputSection:
    """Asks for a folder or a 4D file; `chosen` is called with the sequence that stands for it in the scene."""

    def __init__(self, ui: Any, chosen: Callable[[slicer.vtkMRMLSequenceNode], None]) -> None:
        self._ui, self._chosen = ui, chosen
        ui.openFolderButton.connect("clicked(bool)", lambda clicked: self._open_folder())
        ui.openFileButton.connect("clicked(bool)", lambda clicked: self._open_file())

    def _open_folder(self) -> None:
        title = _("Folder of frames: one image or one DICOM folder a frame")
        self._open(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title))

    def _open_file(self) -> None:
        kinds = _("4D images, sequences, lists of frames") + " (*.nrrd *.nii *.nii.gz *.mha *.txt)"
        self._open(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("4D file of frames"), "", kinds))

    def _open(self, path: str) -> None:
        if not path:
            return
        from ..mrml.disk_sequences import add_disk_sequence

        try:
            sequence = add_disk_sequence(slicer.mrmlScene, path)
        except InputError as error:
            slicer.util.errorDisplay(str(error), _("VoxelMorph Registration"))
            return
        self._chosen(sequence)
