"""Frames from disk as the input of a propagation, without loading them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError


class DiskInputSection:
    """Asks for a folder or a 4D file; `chosen` is called with the sequence that stands for it in the scene, `progress`
    with the share that is done and a line while the window waits for a compressed file.
    """

    def __init__(
        self,
        ui: Any,
        chosen: Callable[[slicer.vtkMRMLSequenceNode], None],
        progress: Callable[[float | None, str], None],
    ) -> None:
        self._ui, self._chosen, self._progress = ui, chosen, progress
        self._told = -1
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

        self._told = -1
        try:
            sequence = add_disk_sequence(slicer.mrmlScene, path, self._unpacking)
        except InputError as error:
            self._end()
            slicer.util.errorDisplay(str(error), _("VoxelMorph Registration"))
            return
        self._end()
        self._chosen(sequence)

    def _unpacking(self, share: float) -> None:
        percent = int(100 * share)
        if percent > self._told:
            self._told = percent
            self._progress(min(share, 0.999), _("Unpacking {percent} % of the file ...").format(percent=percent))
            # Only so that it is seen: a click on what is not there yet would come too soon.
            slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)

    def _end(self) -> None:
        if self._told >= 0:
            self._progress(1.0, "")
