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
from ..propagation.table import plain_cell

_TEXT_COLUMNS = ("status", "message", "similarity_metric", "flag")
_VOLUME = "volume_ml_"


def fill_table(
    node: slicer.vtkMRMLTableNode,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    text: Sequence[str] = _TEXT_COLUMNS,
) -> None:
    """Replace what a table node holds: numbers in a column whose values all are numbers or empty (NaN), else text.

    Columns named in `text` are text whatever they hold.
    """
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


def table_from_csv(
    scene: slicer.vtkMRMLScene, path: str | Path, name: str | None = None, node: slicer.vtkMRMLTableNode | None = None
) -> slicer.vtkMRMLTableNode:
    """A `frames.csv` as a table node (`node` is filled, or else a new one). Raises InputError when it is missing or
    empty.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            lines = [[plain_cell(cell) for cell in line] for line in csv.reader(file)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); choose the folder of a finished run") from error
    if not lines or not lines[0]:
        raise InputError(f"{path}: the table is empty; choose the folder of a finished run")
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name or path.parent.name))
    fill_table(node, lines[0], lines[1:])
    return node


def rows_of(table: slicer.vtkMRMLTableNode) -> dict[int, dict[str, str]]:
    """The rows of a table of frames as text, by frame number, as `frames.csv` has them; {} for another table."""
    columns = [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())]
    if "index" not in columns or "status" not in columns:
        return {}
    rows = {}
    for number in range(table.GetNumberOfRows()):
        cells = {column: table.GetTable().GetColumnByName(column).GetValue(number) for column in columns}
        row = {column: cell if isinstance(cell, str) else _shortest(cell) for column, cell in cells.items()}
        if row["index"].isdigit():
            rows[int(row["index"])] = row
    return rows


def flags_of(table: slicer.vtkMRMLTableNode | None) -> dict[int, str]:
    """Why a person should look at a frame, '' for no reason, by the frame numbers of a table of frames."""
    held = None if table is None else table.GetTable()
    columns = [None if held is None else held.GetColumnByName(name) for name in ("index", "flag")]
    if any(column is None for column in columns):
        return {}
    numbers, flags = (
        [column.GetValue(row) for row in range(column.GetNumberOfValues())] for column in columns if column is not None
    )
    shortest = (number if isinstance(number, str) else _shortest(number) for number in numbers)
    return {int(number): flag for number, flag in zip(shortest, flags) if number.isdigit() and isinstance(flag, str)}


def plot_volumes(
    table: slicer.vtkMRMLTableNode,
    names: dict[int, str] | None = None,
    chart: slicer.vtkMRMLPlotChartNode | None = None,
) -> slicer.vtkMRMLPlotChartNode | None:
    """A chart of each label's volume over the frames' index value; None when the table has no volumes.

    `names` of label values are shown instead of the column's name. A `chart` that was made for the table before keeps
    its series and gets those of new columns. Nothing is opened in the layout.
    """
    scene, names = table.GetScene(), names or {}
    columns = [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())]
    volumes = [column for column in columns if column.startswith(_VOLUME)]
    if not volumes:
        return None
    numeric = "index_value" in columns and not isinstance(
        table.GetTable().GetColumnByName("index_value"), vtk.vtkStringArray
    )
    over = "index_value" if numeric else "index"
    if chart is None:
        chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(f"{table.GetName()} volumes"))
        chart.SetTitle("Label volumes")
        chart.SetXAxisTitle(over.replace("_", " "))
        chart.SetYAxisTitle("ml")
    plotted = [chart.GetNthPlotSeriesNode(number) for number in range(chart.GetNumberOfPlotSeriesNodes())]
    known = {series.GetYColumnName() for series in plotted if series is not None}
    for column in [column for column in volumes if column not in known]:
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


def _shortest(number: float) -> str:
    if math.isnan(number):
        return ""
    return str(int(number)) if number == int(number) else repr(number)
