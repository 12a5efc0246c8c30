"""Sequences whose frames stay on disk: the scene holds a place for each, and the voxels of the one that is shown.

2000 volumes are 9 GB. A browser, results that browse along and a run work with such a sequence as with a loaded one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import SimpleITK as sitk
import slicer
import vtk

from ..errors import InputError
from ..files import slicer_attributes
from ..propagation.frames import Frames, open_frames
from ..propagation.record import describe_file
from ..space.grid import Grid
from .browsing import browser_of, update_proxies
from .sequence_frames import SequenceFrames
from .sequences import tell_apart
from .volumes import as_3d, describe, update_volume


class DiskFrames(SequenceFrames):
    """The frames of such a sequence, each read from its file when it is asked for. Raises InputError when the files are
    no longer those of the sequence.
    """

    def __init__(self, sequence: slicer.vtkMRMLSequenceNode) -> None:
        super().__init__(sequence)
        self.source = Path(sequence.GetAttribute(slicer_attributes.SOURCE))
        self._frames = _opened(self.source)
        self.plane = None
        if len(self._frames) != len(self):
            raise InputError(
                f"{self.source}: holds {len(self._frames)} frames, and {describe(sequence)} was made of {len(self)}; "
                "choose the files again"
            )

    def volume(self, index: int) -> sitk.Image:
        if not 0 <= index < len(self):
            raise IndexError(index)
        image = self._frames[index]
        if image.GetDimension() == 2 or image.GetSize()[2] == 1:
            raise InputError(f"{self._frames.name(index)}: is a single slice; load the sequence into Slicer instead")
        return image

    def grid(self, index: int) -> Grid:
        return Grid.of(self.volume(index))

    def name(self, index: int) -> str:
        return self._frames.name(index)


def frames_of(sequence: slicer.vtkMRMLSequenceNode) -> SequenceFrames:
    """The frames of a sequence node, wherever their voxels are."""
    return SequenceFrames(sequence) if source_of(sequence) is None else DiskFrames(sequence)


def source_of(sequence: slicer.vtkMRMLSequenceNode | None) -> Path | None:
    """What the frames are read from; None for a sequence that holds its voxels."""
    source = None if sequence is None else sequence.GetAttribute(slicer_attributes.SOURCE)
    return Path(source) if source else None


def add_disk_sequence(
    scene: slicer.vtkMRMLScene, source: str | Path, unpacking: Callable[[float], None] = lambda share: None
) -> slicer.vtkMRMLSequenceNode:
    """A sequence for the frames of a folder or file, in a browser of its own; its first frame is read and shown.

    Args:
        source: as `propagation.frames.open_frames` takes it.
        unpacking: called with the share, 0 to 1, of a compressed file that is unpacked; not called for others.

    Raises InputError when there are no frames, or the first cannot be read; nothing is added to the scene then.
    """
    source = Path(source).absolute()
    frames = _opened(source, unpacking)
    first = as_3d(frames[0])
    name = scene.GenerateUniqueName(source.name.partition(".")[0] or "frames")
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetAttribute(slicer_attributes.SOURCE, str(source))
    sequence.SetIndexName(frames.index_name)
    sequence.SetIndexUnit(frames.index_unit)
    sequence.SetIndexTypeFromString(frames.index_type)
    tell_apart(sequence, [frames.value(index) for index in range(len(frames))])
    place = _empty_volume(name)
    for index in range(len(frames)):
        sequence.SetDataNodeAtValue(place, frames.value(index))
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    update_proxies(browser)
    _fill(browser.GetProxyNode(sequence), first)
    return sequence


def show_frame(sequence: slicer.vtkMRMLSequenceNode) -> None:
    """Read the frame that the browser shows into its volume. Raises InputError when it cannot be read."""
    browser = browser_of(sequence)
    volume = browser.GetProxyNode(sequence) if browser is not None else None
    if browser is not None and volume is not None:
        _fill(volume, DiskFrames(sequence).volume(max(0, browser.GetSelectedItemNumber())))


def lacks_voxels(sequence: slicer.vtkMRMLSequenceNode) -> bool:
    """Whether the volume of the browser holds a place instead of the frame that is shown."""
    browser = browser_of(sequence)
    volume = browser.GetProxyNode(sequence) if browser is not None else None
    if volume is None:
        return False
    image = volume.GetImageData()
    return image is None or image.GetNumberOfPoints() <= 1


def _opened(source: Path, unpacking: Callable[[float], None] = lambda share: None) -> Frames:
    """The frames of a source. One file stays open: what a compressed one is unpacked into serves all its frames."""
    if not source.is_file() or source.suffix.lower() == ".txt":
        return open_frames(source)
    frames = _one_file(source, describe_file(source))
    try:
        frames.prepare(unpacking)
    except InputError:
        _one_file.cache_clear()  # Frames keep their failure, and there may be room the next time.
        raise
    return frames


@lru_cache(maxsize=2)
def _one_file(source: Path, version: str) -> Frames:
    return open_frames(source)


def _fill(volume: slicer.vtkMRMLVolumeNode, image: sitk.Image) -> None:
    parent = volume.GetParentTransformNode()
    update_volume(volume, image)
    # The frame's coordinates are those below the transform that the person hung the volume under.
    volume.SetAndObserveTransformNodeID(parent.GetID() if parent is not None else None)
    if volume.GetDisplayNode() is None:
        volume.CreateDefaultDisplayNodes()


def _empty_volume(name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """One voxel: a sequence of volumes without any cannot be saved with the scene."""
    voxel = vtk.vtkImageData()
    voxel.SetDimensions(1, 1, 1)
    voxel.AllocateScalars(vtk.VTK_SHORT, 1)
    voxel.GetPointData().GetScalars().Fill(0)
    volume = slicer.vtkMRMLScalarVolumeNode()
    volume.SetName(name)
    volume.SetAndObserveImageData(voxel)
    return volume
