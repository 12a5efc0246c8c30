"""The results of a propagation as they are in the scene, corrections included, written as files."""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal, get_args

import SimpleITK as sitk
import slicer

from ..annotations.segment import Segment
from ..annotations.segment_matching import match_segments
from ..annotations.segmentation import Segmentation
from ..errors import InputError
from ..files import slicer_attributes
from ..files.atomic import atomic_write
from ..files.images import write_image
from ..files.label_sequences import SequenceFrame, write_label_sequence
from ..space.grid import Grid
from .browsing import browser_of
from .disk_sequences import frames_of
from .segmentations import segmentation_from_node
from .tables import rows_of
from .volumes import describe, image_from_volume

Kind = Literal["segmentations", "sequence", "table", "transforms", "points", "models"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_ROLES = {
    "transforms": slicer_attributes.TRANSFORMS,
    "points": slicer_attributes.POINTS,
    "models": slicer_attributes.SURFACE,
}
_STORAGE = {
    "vtkMRMLSegmentationNode": ("vtkMRMLSegmentationStorageNode", ".seg.nrrd"),
    "vtkMRMLLabelMapVolumeNode": ("vtkMRMLVolumeArchetypeStorageNode", ".nrrd"),
    "vtkMRMLTransformNode": ("vtkMRMLTransformStorageNode", ".h5"),
    "vtkMRMLMarkupsNode": ("vtkMRMLMarkupsJsonStorageNode", ".mrk.json"),
    "vtkMRMLModelNode": ("vtkMRMLModelStorageNode", ".vtp"),
}


def kinds_of(output: slicer.vtkMRMLSequenceNode | None) -> list[Kind]:
    """What of `KINDS` there is to write of an output sequence."""
    if output is None or output.GetNumberOfDataNodes() == 0:
        return []
    there: list[Kind] = [_kind_of_frames(output)]
    there += ["sequence"] if there == ["segmentations"] else []
    there += ["table"] if output.GetNodeReference(slicer_attributes.TABLE) is not None else []
    held = [kind for kind, role in _ROLES.items() if _has_frames(output.GetNodeReference(role))]
    return [kind for kind in KINDS if kind in there or kind in held]


def export_run(output: slicer.vtkMRMLSequenceNode, folder: Path, kind: Kind) -> Generator[float, None, None]:
    """Write one kind of results into a folder, frame after frame; yields the share that is done.

    segmentations: a .seg.nrrd (of label volumes a .nrrd) a frame; sequence: one .seq.nrrd of labels; table: a .csv;
    transforms: an .h5 a frame; points: a .mrk.json; models: a .vtp. Files that are there are replaced.
    Raises InputError when something cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    if kind == "table":
        _write_table(output.GetNodeReference(slicer_attributes.TABLE), folder / "frames.csv")
        yield 1.0
    elif kind == "sequence":
        yield from _write_sequence(output, folder)
    else:
        sequence = output if kind == _kind_of_frames(output) else output.GetNodeReference(_ROLES[kind])
        yield from _write_frames(sequence, folder, "segmentation" if kind == "segmentations" else kind.rstrip("s"))


def _kind_of_frames(output: slicer.vtkMRMLSequenceNode) -> Kind:
    """What the output itself holds: points or models where these were carried without a segmentation."""
    first = output.GetNthDataNode(0)
    if first.IsA("vtkMRMLMarkupsNode"):
        return "points"
    return "models" if first.IsA("vtkMRMLModelNode") else "segmentations"


def _write_table(table: slicer.vtkMRMLTableNode, path: Path) -> None:
    rows = list(rows_of(table).values())
    # Slicer's own writer of tables puts a schema file beside each.
    with atomic_write(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def _write_frames(sequence: slicer.vtkMRMLSequenceNode, folder: Path, name: str) -> Iterator[float]:
    count = sequence.GetNumberOfDataNodes()
    for number in range(count):
        node = sequence.GetNthDataNode(number)
        storage, ending = next(found for kind, found in _STORAGE.items() if node.IsA(kind))
        _write(node, storage, folder / f"{name}-{_frame(node, number):04d}{ending}")
        yield (number + 1) / count


def _write_sequence(output: slicer.vtkMRMLSequenceNode, folder: Path) -> Iterator[float]:
    """One file of labels, put together from one label volume a frame; segments mean the same in all of them."""
    count, grid = output.GetNumberOfDataNodes(), _grid_of(output)
    labels, frames = _Labels(grid), []
    parts = folder / ".parts"
    parts.mkdir(exist_ok=True)
    try:
        for number in range(count):
            node, value = output.GetNthDataNode(number), output.GetNthIndexValue(number)
            path = parts / f"{number:05d}.nrrd"
            write_image(labels.of(node), path)
            frames.append(SequenceFrame(path, value, {slicer_attributes.FRAME: str(_frame(node, number))}))
            yield (number + 1) / (count + 1)
        index = output.GetIndexName(), output.GetIndexUnit(), output.GetIndexTypeAsString()
        write_label_sequence(folder / f"{output.GetName()}.seq.nrrd", frames, grid, *index, labels.segments)
        yield 1.0
    finally:
        for path in parts.glob("*.nrrd"):
            path.unlink()
        parts.rmdir()


class _Labels:
    """Frames as label images on one grid, under the label values of the first frame that has voxels."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._first: Segmentation | None = None

    @property
    def segments(self) -> tuple[Segment, ...]:
        return () if self._first is None else self._first.segments

    def of(self, node: slicer.vtkMRMLNode) -> sitk.Image:
        try:
            segmentation = segmentation_from_node(node, self._grid).flattened()
        except InputError:
            return self._grid.empty_image(sitk.sitkUInt8)  # A frame that failed holds its segments without voxels.
        if self._first is None:
            self._first = segmentation.with_distinct_labels()
        matched = match_segments([self._first, segmentation], [describe(node), describe(node)])
        return matched.segmentations[1].label_image()


def _grid_of(output: slicer.vtkMRMLSequenceNode) -> Grid:
    """The grid of the volumes that the output browses along with, of label volumes their own."""
    first = output.GetNthDataNode(0)
    if first.IsA("vtkMRMLVolumeNode"):
        return Grid.of(image_from_volume(first))
    browser = browser_of(output)
    master = browser.GetMasterSequenceNode() if browser is not None else None
    if master is None or master is output:
        raise InputError(f"{describe(output)}: its volumes are not in the scene; export one file a frame instead")
    return Grid.of(frames_of(master).volume(0))


def _write(node: slicer.vtkMRMLNode, storage_class: str, path: Path) -> None:
    storage = getattr(slicer, storage_class)()
    with atomic_write(path) as partial:
        storage.SetFileName(str(partial))
        if not storage.WriteData(node):
            raise InputError(f"{path}: was not written (is the disk full?); choose another folder")


def _frame(node: slicer.vtkMRMLNode, number: int) -> int:
    return int(node.GetAttribute(slicer_attributes.FRAME) or number)


def _has_frames(sequence: slicer.vtkMRMLSequenceNode | None) -> bool:
    return sequence is not None and sequence.GetNumberOfDataNodes() > 0
