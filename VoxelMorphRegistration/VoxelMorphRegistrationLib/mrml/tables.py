"""The table of frames as a table node, and the volume of each label over time as a plot."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer
import vtk

from ..errors import InputError
from ..propagation import FrameResult

_TEXT_COLUMNS = ("status", "message", "flag")
_VOLUME = "volume_ml_"


def add_table(scene: slicer.vtkMRMLScene, columns: Sequence[str], rows: Sequence[Sequence[Any]], name: str,
              text: Sequence[str] = _TEXT_COLUMNS) -> slicer.vtkMRMLTableNode:
    """A table node: numbers in every column whose values all are numbers or empty (NaN), text in the others and in `text`."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    fill_table(node, columns, rows, text)
    return node


def fill_table(node: slicer.vtkMRMLTableNode, columns: Sequence[str], rows: Sequence[Sequence[Any]],
               text: Sequence[str] = _TEXT_COLUMNS) -> None:
    """Replace what a table node holds; see `add_table`."""
    modifying = node.StartModify()
    try:
        node.RemoveAllColumns()
        for number, column in enumerate(columns):
            values = [row[number] if number < len(row) else "" for row in rows]
            numbers = None if column in text else _numbers(values)
            array = vtk.vtkStringArray() if numbers is None else vtk.vtkDoubleArray()
            array.SetName(column)
            for value in values if numbers is None else numbers:
                array.InsertNextValue(("" if value is None else str(value)) if numbers is None else value)
            node.AddColumn(array)
    finally:
        node.EndModify(modifying)


def frames_table(results: Sequence[FrameResult], labels: Sequence[int]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows, by frame number, as `frames.csv` has them: RAS mm and millilitres for each label."""
    columns = ["index", "index_value", "status", "similarity_before", "similarity_after", "folded_percent", "seconds", "message"]
    for label in labels:
        columns += [f"{_VOLUME}{label}", *(f"centroid_{axis}_{label}" for axis in "ras")]
    rows = []
    for result in sorted(results, key=lambda one: one.index):
        quality = result.quality
        row = [result.index, result.value, result.status, quality.similarity_before, quality.similarity_after,
               result.folded_percent, result.seconds, result.message]
        for label in labels:
            millilitres, centroid = quality.labels.get(label, (0.0 if result.status != "failed" else math.nan, ()))
            row += [millilitres, *centroid, *[math.nan] * (3 - len(centroid))]
        rows.append(row)
    return columns, rows


def table_from_csv(scene: slicer.vtkMRMLScene, path: str | Path, name: str | None = None) -> slicer.vtkMRMLTableNode:
    """A `frames.csv` as a table node. Raises InputError when it is missing or has no header."""
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); choose the folder of a finished run") from error
    if not lines or not lines[0]:
        raise InputError(f"{path}: the table is empty; choose the folder of a finished run")
    return add_table(scene, lines[0], lines[1:], name or path.parent.name)


def plot_volumes(table: slicer.vtkMRMLTableNode, names: dict[int, str] | None = None) -> slicer.vtkMRMLPlotChartNode | None:
    """A chart of each label's volume over the frames' index value; None when the table has no volumes.

    `names` of label values are shown instead of the column's name. Nothing is opened in the layout.
    """
    scene, names = table.GetScene(), names or {}
    columns = [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())]
    volumes = [column for column in columns if column.startswith(_VOLUME)]
    if not volumes:
        return None
    numeric = "index_value" in columns and not isinstance(table.GetTable().GetColumnByName("index_value"), vtk.vtkStringArray)
    over = "index_value" if numeric else "index"
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(f"{table.GetName()} volumes"))
    chart.SetTitle("Label volumes")
    chart.SetXAxisTitle(over.replace("_", " "))
    chart.SetYAxisTitle("ml")
    for column in volumes:
        label = column[len(_VOLUME) :]
        name = names.get(int(label), column) if label.isdigit() else column
        series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(over)
        series.SetYColumnName(column)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetUniqueColor()
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return chart


def _numbers(values: Sequence[Any]) -> list[float] | None:
    numbers = []
    for value in values:
        try:
            numbers.append(math.nan if value in ("", None) else float(value))
        except ValueError:
            return None
    return numbers
