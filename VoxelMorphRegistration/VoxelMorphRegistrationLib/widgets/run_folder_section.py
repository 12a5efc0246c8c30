"""Where a run keeps its files: a folder that is proposed, what it takes, and the patient's images in it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from .parameters import Parameters
from .words import size

NOT_SET = Path()


def proposed_folder(segmentation_name: str) -> Path:
    """A folder beside the saved scene, else in the user's documents: it is to outlive the application."""
    scene = slicer.mrmlScene.GetURL()
    base = Path(scene).parent if scene and Path(scene).parent.is_dir() else Path.home() / "SlicerVoxelMorph"
    name = re.sub(r"[^\w-]+", "-", segmentation_name).strip("-") or "run"
    folder, number = base / f"{name}-frames", 1
    while folder.exists() and not (folder / "scratch").is_dir():
        number += 1
        folder = base / f"{name}-frames-{number}"
    return folder


def bytes_in(folder: Path) -> int:
    """What a folder takes; 0 where there is none."""
    if not folder.is_dir():
        return 0
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def free_bytes(folder: Path) -> int | None:
    """Free space where a folder is, or would be; None where nobody knows."""
    existing = next((parent for parent in (folder, *folder.parents) if parent.is_dir()), None)
    try:
        return None if existing is None else shutil.disk_usage(existing).free
    except OSError:
        return None


def images_in(folder: Path) -> Path | None:
    """The folder of the patient's images that were handed to the worker, where there are some."""
    scratch = folder / "scratch"
    return scratch if scratch.is_dir() else None


def delete_images(folder: Path) -> None:
    """Remove the patient's images from a run folder; its results stay."""
    scratch = images_in(folder)
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


class RunFolderSection:
    """Says what the chosen folder means; `changed` is called when its images were deleted."""

    def __init__(self, ui: Any, changed: Callable[[], None]) -> None:
        self._ui, self._changed, self._folder = ui, changed, NOT_SET
        ui.runFolderSelector.filters = ui.runFolderSelector.Dirs
        ui.deleteImagesButton.connect("clicked(bool)", lambda clicked: self._delete())

    def show(self, parameters: Parameters | None, busy: bool) -> None:
        """`busy`: a run works in the folder."""
        ui, self._folder = self._ui, NOT_SET if parameters is None else parameters.runFolder
        if self._folder == NOT_SET:
            ui.runFolderInfo.text = _("A folder is made at the first Apply, beside the saved scene.")
            ui.deleteImagesButton.enabled = False
            return
        free = free_bytes(self._folder)
        ui.runFolderInfo.text = _("{free} are free there.").format(free="?" if free is None else size(free))
        ui.deleteImagesButton.enabled = images_in(self._folder) is not None and not busy

    def _delete(self) -> None:
        images = images_in(self._folder) if self._folder != NOT_SET else None
        if images is None:
            return
        question = _("Delete the {size} of images in {folder}? A run cannot go on without them.").format(
            size=size(bytes_in(images)), folder=images
        )
        if slicer.util.confirmYesNoDisplay(question, _("VoxelMorph Registration")):
            delete_images(self._folder)
            self._changed()
