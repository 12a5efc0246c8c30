"""A finished folder of `slicer-voxelmorph propagate` made a scene."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import slicer

from ..errors import InputError
from ..files.displacements import read_displacement
from ..files.series import open_series
from ..propagation.record import RunRecord
from ..propagation.table import plain_cell
from .browsing import browse_along, browser_of
from .frame_file_nodes import markups_node, model_node, read_by, segmentation_node, segmentation_of, transform_node
from .scene_memory import check_fits_in_scene
from .segmentations import colour_table
from .sequences import save_as_one_file, sequence_like, tell_apart
from .tables import plot_volumes, table_from_csv
from .volumes import describe

_BECOMES = "becomes"  # beside a row's columns: the index value of its frame in the sequence of volumes
_FAR_BEYOND = 10**9  # of any index value


@dataclass
class LoadedRun:
    """The nodes of a run; None for what the run did not write."""

    browser: slicer.vtkMRMLSequenceBrowserNode | None = None
    segmentation: slicer.vtkMRMLSequenceNode | None = None
    transforms: slicer.vtkMRMLSequenceNode | None = None
    points: slicer.vtkMRMLSequenceNode | None = None
    surface: slicer.vtkMRMLSequenceNode | None = None
    table: slicer.vtkMRMLTableNode | None = None
    plot: slicer.vtkMRMLPlotChartNode | None = None


def load_run(
    folder: str | Path,
    volumes: slicer.vtkMRMLSequenceNode | None = None,
    as_segmentations: bool = False,
    scene: slicer.vtkMRMLScene | None = None,
    memory_limit: int | None = None,
) -> LoadedRun:
    """Load what a propagation wrote: label sequence, transforms, points, surfaces, table and plot.

    Args:
        volumes: the sequence that was propagated; the results browse along with it. Default: a browser of their own.
        as_segmentations: segmentation nodes, which Segment Editor edits, instead of label volumes.
        memory_limit: bytes; default half of the machine's memory.

    Raises InputError when the folder holds no run, does not belong to `volumes`, or is too large for the scene;
    nothing is left in the scene then.
    """
    folder = Path(folder)
    scene = scene or (volumes.GetScene() if volumes is not None else slicer.mrmlScene)
    rows, facts = _rows(folder), _facts(folder)
    if volumes is not None:
        if _says_only_numbers(rows, volumes, facts):
            values = [volumes.GetNthIndexValue(number) for number in range(volumes.GetNumberOfDataNodes())]
            rows = [{**row, _BECOMES: values[int(row["index"])]} for row in rows]
        _check_belongs(folder, rows, volumes)
    before = set(_node_ids(scene))
    try:
        return _Loader(folder, rows, facts, volumes, scene, memory_limit).load(as_segmentations)
    except BaseException:
        for identifier in [one for one in _node_ids(scene) if one not in before]:
            node = scene.GetNodeByID(identifier)
            if node is not None:
                scene.RemoveNode(node)
        raise


class _Loader:
    def __init__(
        self,
        folder: Path,
        rows: list[dict[str, str]],
        facts: Mapping[str, Any],
        volumes: slicer.vtkMRMLSequenceNode | None,
        scene: slicer.vtkMRMLScene,
        limit: int | None,
    ) -> None:
        self._folder, self._rows, self._volumes, self._scene, self._limit = folder, rows, volumes, scene, limit
        self._name = str(facts.get("sequence_name") or folder.name)
        index = facts.get("index")
        self._index: Mapping[str, str] = index if isinstance(index, dict) else {}
        labels = self._files("segmentation", ".nrrd")
        self._drawn = segmentation_of(labels[0][1]) if labels else None

    def load(self, as_segmentations: bool) -> LoadedRun:
        run = LoadedRun()
        if as_segmentations:
            size = 0 if self._drawn is None else _bytes(self._drawn.layers[0])
            run.segmentation = self._sequence("segmentation", ".nrrd", segmentation_node, size)
        elif (self._folder / "segmentation.seq.nrrd").is_file():
            run.segmentation = self._label_sequence(self._folder / "segmentation.seq.nrrd")
        fields = self._files("transforms", ".nrrd")
        size = _bytes(read_displacement(fields[0][1])) if fields else 0
        run.transforms = self._sequence("transforms", ".nrrd", transform_node, size)
        run.points = self._sequence("points", ".mrk.json", markups_node)
        run.surface = self._sequence("surface", ".vtp", model_node)
        for sequence in filter(None, (run.segmentation, run.transforms, run.points, run.surface)):
            is_labels = sequence is run.segmentation and not as_segmentations
            if sequence is run.transforms or is_labels:
                save_as_one_file(sequence)
            colours = None
            if is_labels and self._drawn is not None:
                colours = colour_table(self._scene, self._drawn.flattened().segments, f"{self._name} labels")
            master = self._volumes or run.segmentation or sequence
            if browser_of(master) is None:
                name = self._scene.GenerateUniqueName(f"{self._name} browser")
                browser = self._scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", name)
                browser.SetAndObserveMasterSequenceNodeID(master.GetID())
            run.browser = browse_along(sequence, master, colours=colours)
        run.table = table_from_csv(self._scene, self._folder / "frames.csv", f"{self._name} frames")
        names = (
            {} if self._drawn is None else {one.label: one.name for one in self._drawn.with_distinct_labels().segments}
        )
        run.plot = plot_volumes(run.table, names)
        return run

    def _sequence(
        self, name: str, end: str, read: Callable[[Path], slicer.vtkMRMLNode], bytes_each: int = 0
    ) -> slicer.vtkMRMLSequenceNode | None:
        """One data node a file of the folder `name`; None when there are no files."""
        files = self._files(name, end)
        if not files:
            return None
        self._check_size(name, bytes_each * len(files))
        title = self._scene.GenerateUniqueName(f"{self._name} {name}")
        sequence = self._scene.AddNewNodeByClass("vtkMRMLSequenceNode", title)
        if self._volumes is not None:
            sequence_like(self._volumes, title, sequence)
        elif self._index:
            sequence.SetIndexName(self._index.get("name") or sequence.GetIndexName())
            sequence.SetIndexUnit(self._index.get("unit") or "")
        tell_apart(sequence, [value for value, _ in files])
        for value, path in files:
            sequence.SetDataNodeAtValue(read(path), value)
        return sequence

    def _label_sequence(self, path: Path) -> slicer.vtkMRMLSequenceNode:
        series = open_series(path)
        self._check_size("label volumes", series.frame_bytes * series.count)
        title = self._scene.GenerateUniqueName(f"{self._name} segmentation")
        sequence = self._scene.AddNewNodeByClass("vtkMRMLSequenceNode", title)
        storage = self._scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
        tell_apart(sequence, series.values)
        read_by(sequence, storage, path)
        sequence.SetAndObserveStorageNodeID(storage.GetID())
        if self._volumes is not None:
            # Browsing together needs one index name and unit; the values are checked already.
            sequence.SetIndexName(self._volumes.GetIndexName())
            sequence.SetIndexUnit(self._volumes.GetIndexUnit())
            _give_values(sequence, {row["index_value"]: row[_BECOMES] for row in self._rows if _BECOMES in row})
        return sequence

    def _files(self, name: str, end: str) -> list[tuple[str, Path]]:
        """Index value and file of each frame that has one."""
        numbered = {}
        for path in (self._folder / name).glob(f"*{end}"):
            stem = path.name[: -len(end)]
            if stem.isdigit():
                numbered[int(stem)] = path
        found = [
            (self._value(row.get(_BECOMES) or row["index_value"]), numbered.get(int(row["index"])))
            for row in self._rows
            if row.get("status") != "failed"
        ]
        return [(value, path) for value, path in found if path is not None]

    def _value(self, text: str) -> str:
        """An index value as the sequence of volumes writes it."""
        if self._volumes is None:
            return text
        number = self._volumes.GetItemNumberFromIndexValue(text)
        return text if number < 0 else self._volumes.GetNthIndexValue(number)

    def _check_size(self, what: str, needed: int) -> None:
        remedy = f"open single frames from {self._folder} instead"
        check_fits_in_scene(f"{self._folder}: {what}", len(self._rows), needed, remedy, self._limit)


def _node_ids(scene: slicer.vtkMRMLScene) -> list[str]:
    return [scene.GetNthNode(number).GetID() for number in range(scene.GetNumberOfNodes())]


def _rows(folder: Path) -> list[dict[str, str]]:
    try:
        with open(folder / "frames.csv", newline="", encoding="utf-8") as file:
            rows = [{name: plain_cell(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    except OSError as error:
        raise InputError(
            f"{folder}: holds no frames.csv ({error.strerror}); choose the output folder of a propagation"
        ) from error
    if not rows or "index" not in rows[0] or "index_value" not in rows[0]:
        raise InputError(f"{folder / 'frames.csv'}: is no table of frames; choose the output folder of a propagation")
    return rows


def _facts(folder: Path) -> Mapping[str, Any]:
    """What run.json says of where and when; nothing where it is not there."""
    try:
        record = RunRecord.read(folder / "run.json")
    except InputError:
        record = None
    runs = record.runs if record is not None else []
    return {name: value for run in runs for name, value in run.circumstances.items()}


def _says_only_numbers(
    rows: list[dict[str, str]], volumes: slicer.vtkMRMLSequenceNode, facts: Mapping[str, Any]
) -> bool:
    """Whether frames and volumes can be told to belong together by their numbers alone: on one side the index values
    are nothing but these, as of a folder of files, or of a run that earlier versions of the panel began.
    """
    count = volumes.GetNumberOfDataNodes()
    if facts.get("total") != count or any(int(row["index"]) >= count for row in rows):
        return False
    of_volumes = [volumes.GetNthIndexValue(number) for number in range(count)]
    return all(row["index_value"] == row["index"] for row in rows) or of_volumes == [str(n) for n in range(count)]


def _give_values(sequence: slicer.vtkMRMLSequenceNode, becomes: Mapping[str, str]) -> None:
    """Give data nodes other index values, in two steps: the new one of a frame may be the old one of another."""
    tell_apart(sequence, list(becomes.values()))
    aside = {old: str(_FAR_BEYOND + number) for number, old in enumerate(becomes)}
    for steps in (aside, {aside[old]: new for old, new in becomes.items()}):
        for old, new in steps.items():
            if sequence.GetDataNodeAtValue(old) is not None:
                sequence.UpdateIndexValue(old, new)


def _check_belongs(folder: Path, rows: list[dict[str, str]], volumes: slicer.vtkMRMLSequenceNode) -> None:
    # Slicer reads numbers of single precision, and says whether one is there within its tolerance.
    values = [row.get(_BECOMES) or row["index_value"] for row in rows]
    strange = [value for value in values if volumes.GetItemNumberFromIndexValue(value) < 0]
    if strange:
        raise InputError(
            f"{folder}: its frame of index value {strange[0]!r} is not in {describe(volumes)}; choose the sequence "
            "that was propagated, or none"
        )


def _bytes(image: sitk.Image) -> int:
    return sitk.GetArrayViewFromImage(image).nbytes
