"""Where a run keeps its files: a folder that is proposed, what it takes, and the patient's images in it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from .parameters import Parameters
from .steps import Steps
from .words import size

NOT_SET = Path()
_FILES_A_STEP = 200


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


def bytes_by_steps(folder: Path) -> Generator[int, None, None]:
    """What a folder takes, in pieces of some hundred files: thousands of frames on a slow disk take a while."""
    total = count = 0
    for parent, _folders, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                pass  # A run that works here replaces its files.
            count += 1
            if count % _FILES_A_STEP == 0:
                yield 0
    yield total


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
    """Says what the chosen folder takes; `changed` is called when its images were deleted."""

    def __init__(self, ui: Any, changed: Callable[[], None]) -> None:
        self._ui, self._changed, self._folder = ui, changed, NOT_SET
        self._taken: int | None = None
        self._state: tuple[Path, bool] | None = None
        self._steps: Steps | None = None
        ui.runFolderSelector.filters = ui.runFolderSelector.Dirs
        ui.deleteImagesButton.connect("clicked(bool)", lambda clicked: self._delete())

    def show(self, parameters: Parameters | None, busy: bool) -> None:
        """`busy`: a run works in the folder."""
        ui, self._folder = self._ui, NOT_SET if parameters is None else parameters.runFolder
        if self._folder == NOT_SET:
            self.stop()
            ui.runFolderInfo.text = _("A folder is made at the first Apply, beside the saved scene.")
            ui.deleteImagesButton.enabled = False
            return
        if self._state != (self._folder, busy):
            # Counted when a folder is chosen, and when a run in it begins and ends.
            self.stop()
            self._state = (self._folder, busy)
            self._count()
        self._tell()
        ui.deleteImagesButton.enabled = images_in(self._folder) is not None and not busy

    def stop(self) -> None:
        """Count no further."""
        self._state = self._taken = None
        if self._steps is not None:
            self._steps.stop()

    def _count(self) -> None:
        def counted(total: int) -> None:
            self._taken = total

        self._steps = Steps(bytes_by_steps(self._folder), counted, self._tell, lambda error: None)

    def _tell(self) -> None:
        free = free_bytes(self._folder)
        said = _("{free} are free there.").format(free="?" if free is None else size(free))
        if self._taken:
            said = _("It takes {taken}; {rest}").format(taken=size(self._taken), rest=said)
        self._ui.runFolderInfo.text = said

    def _delete(self) -> None:
        images = images_in(self._folder) if self._folder != NOT_SET else None
        if images is None:
            return
        question = _("Delete the {size} of images in {folder}? A run cannot go on without them.").format(
            size=size(sum(bytes_by_steps(images))), folder=images
        )
        if slicer.util.confirmYesNoDisplay(question, _("VoxelMorph Registration")):
            delete_images(self._folder)
            self.stop()
            self._changed()
