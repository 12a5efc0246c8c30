"""Point files: Slicer's `.mrk.json` and `.fcsv`, and `.csv` tables; each says in its own way if it is LPS or RAS.

| file | its marker | without one |
|---|---|---|
| .mrk.json | `coordinateSystem` of the markup: LPS or RAS | LPS (Slicer 5) |
| .fcsv | `# CoordinateSystem = LPS` or RAS, in older files 1 or 0 | LPS; RAS in Slicer 3's, which name no version |
| .csv | its columns: l, p, s or r, a, s (Slicer), x, y, z (ANTs: LPS) | refused |
"""

from __future__ import annotations

import copy
import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..annotations.points import MOVABLE_MARKUPS, PLACED, POSITION_STATUSES, Points, placed_points
from ..errors import InputError
from ..space.affine import lps_to_ras
from .atomic import atomic_write
from .detached import check_no_pipe

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_MOVABLE = (*MOVABLE_MARKUPS, "PointList")
_MILLIMETRES = ("mm", "millimeter", "millimetre")
_SPACES = {"LPS": "LPS", "RAS": "RAS", "0": "RAS", "1": "LPS"}
_CSV_COLUMNS = {("l", "p", "s"): "LPS", ("r", "a", "s"): "RAS", ("x", "y", "z"): "LPS"}


def read_points(path: str | Path) -> Points:
    """The points of a `.mrk.json`, `.json`, `.fcsv` or `.csv` file.

    Raises InputError, naming the file, when it is missing, of another kind, damaged, holds no placed point, or does not
    say what its coordinates are.
    """
    path = Path(path)
    kind = path.suffix.lower()
    readers = {".json": _read_json, ".fcsv": _read_fcsv, ".csv": _read_csv}
    if kind not in readers:
        raise InputError(f"{path}: unknown kind of point file; give a .mrk.json, .fcsv or .csv file")
    check_no_pipe(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); give a .mrk.json, .fcsv or .csv file") from error
    try:
        document = readers[kind](text, path)
    except csv.Error as error:
        raise InputError(f"{path}: is no table of points ({error}); save the points again") from error
    positions = np.asarray([point["position"] for point in placed_points(document)], dtype=float).reshape(-1, 3)
    if len(positions) == 0:
        raise InputError(f"{path}: holds no placed point; give a file with at least one point")
    return Points(positions, document)


def write_points(points: Points, path: str | Path) -> None:
    """Write a `.mrk.json` (LPS) that Slicer opens, whole or not at all. Raises InputError when it cannot be written."""
    path = Path(path)
    if path.suffix.lower() != ".json":
        raise InputError(f"{path}: points are written as .mrk.json; end the name so")
    document = {"@schema": _SCHEMA, **copy.deepcopy(points.document)}
    for point, position in zip(placed_points(document), points.positions.tolist()):
        point["position"] = position
    for markup in document["markups"]:
        # Lengths and angles of the old positions; Slicer measures anew.
        markup.pop("measurements", None)
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_json(text: str, path: Path) -> dict:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({error}); save the points again") from error
    markups = document.get("markups") if isinstance(document, dict) else None
    if not isinstance(markups, list) or not all(isinstance(markup, dict) for markup in markups):
        raise InputError(f"{path}: holds no markups; give a file that Slicer's Markups module saved")
    for markup in markups:
        if markup.get("type", "Fiducial") not in _MOVABLE:
            raise InputError(
                f"{path}: a markup of type {markup['type']} is not moved point by point; "
                "give a point list, line or curve"
            )
        _check_units(markup.get("coordinateUnits"), path)
        space = _space(markup.get("coordinateSystem", "LPS"), path)
        markup["coordinateSystem"] = "LPS"
        for number, point in enumerate(_control_points(markup, path), 1):
            _read_control_point(point, space, path, number)
    document.setdefault("@schema", _SCHEMA)
    return document


def _control_points(markup: dict, path: Path) -> list[dict]:
    points = markup.get("controlPoints", [])
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise InputError(f"{path}: its controlPoints are no list of points; save the points again in Slicer")
    return points


def _read_control_point(point: dict, space: str, path: Path, number: int) -> None:
    """Turn a control point of a document to LPS, in place."""
    status = point.get("positionStatus", "defined")
    if status not in POSITION_STATUSES:
        raise InputError(
            f"{path}: the position status of point {number} is {status!r}, not one of {', '.join(POSITION_STATUSES)}; "
            "correct it or save the points again in Slicer"
        )
    if not point.get("position"):
        if status in PLACED and "positionStatus" in point:
            raise InputError(f"{path}: point {number} is {status} but has no position; correct or remove it")
        return
    point["position"] = _position(point["position"], space, path, number)
    if space == "RAS" and point.get("orientation"):
        try:
            turned = [float(value) for value in point["orientation"]]
        except (TypeError, ValueError):
            turned = []
        if len(turned) != 9:
            raise InputError(f"{path}: the orientation of point {number} is not nine numbers; correct or remove it")
        # Columns are the point's axes: their x and y, the first six numbers, turn like the position.
        point["orientation"] = [-value for value in turned[:6]] + turned[6:]


def _check_units(units: object, path: Path) -> None:
    """A name, or (as DICOM codes it) a code, its scheme and a name."""
    named = units if isinstance(units, list) else [units]
    if units and not any(str(name).lower() in _MILLIMETRES for name in named):
        raise InputError(f"{path}: its coordinates are in {units}, not in mm; save the points in mm")


def _read_fcsv(text: str, path: Path) -> dict:
    comments, lines = _without_comments(text)
    modern = "markups fiducial file version" in comments
    space = _space(comments.get("coordinatesystem", "LPS" if modern else "RAS"), path)
    points = []
    for number, row in enumerate(csv.reader(lines), 1):
        if modern:
            row += [""] * (15 - len(row))
            flags = {"visibility": row[8], "selected": row[9], "locked": row[10]}
            point = _point(row[0], row[11], row[12], flags, _fcsv_status(row[14].strip(), path, number))
            point["associatedNodeID"] = row[13]
            coordinates = row[1:4]
        else:
            row += [""] * (6 - len(row))
            point = _point(str(number), row[0], "", {"selected": row[4], "visibility": row[5]}, "defined")
            coordinates = row[1:4]
        if point["positionStatus"] in PLACED:
            point["position"] = _position(coordinates, space, path, number)
        points.append(point)
    return _point_list(points)


def _fcsv_status(text: str, path: Path, number: int) -> str:
    if not text:
        return "defined"
    if not text.isdigit() or int(text) >= len(POSITION_STATUSES):
        raise InputError(f"{path}: the position status of point {number} is {text!r}; save the points again in Slicer")
    return POSITION_STATUSES[int(text)]


def _read_csv(text: str, path: Path) -> dict:
    comments, lines = _without_comments(text)
    rows = csv.DictReader(lines, skipinitialspace=True)
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or []]
    axes = next((names for names in _CSV_COLUMNS if set(names) <= set(rows.fieldnames)), None)
    if axes is None:
        raise InputError(
            f"{path}: does not say what its coordinates are (columns {', '.join(rows.fieldnames) or 'none'}); "
            "name three columns l,p,s or r,a,s in its first line"
        )
    space = _space(comments.get("coordinatesystem", _CSV_COLUMNS[axes]), path)
    points = []
    for number, row in enumerate(rows, 1):
        flags = {"visibility": row.get("visible"), "selected": row.get("selected"), "locked": row.get("locked")}
        placed = (row.get("defined") or "1").strip() != "0"
        identity = row.get("id") or str(number)
        point = _point(
            identity, row.get("label") or "", row.get("description") or "", flags, "defined" if placed else "undefined"
        )
        if placed:
            point["position"] = _position([row[axis] for axis in axes], space, path, number)
        points.append(point)
    return _point_list(points)


def _without_comments(text: str) -> tuple[dict[str, str], list[str]]:
    """`# name = value` lines as a dictionary of lower-case names, and the other lines that are not empty."""
    comments, lines = {}, []
    for line in text.splitlines():
        if line.startswith("#"):
            name, _, value = line[1:].partition("=")
            comments[name.strip().lower()] = value.strip()
        elif line.strip():
            lines.append(line)
    return comments, lines


def _point(identity: str, label: str, description: str, flags: Mapping[str, str | None], status: str) -> dict:
    point: dict = {"id": identity, "label": label, "description": description}
    point.update({name: value.strip() != "0" for name, value in flags.items() if value and value.strip()})
    point["positionStatus"] = status
    return point


def _point_list(points: list[dict]) -> dict:
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}
    return {"@schema": _SCHEMA, "markups": [markup]}


def _space(name: object, path: Path) -> str:
    try:
        return _SPACES[str(name).upper()]
    except KeyError as error:
        raise InputError(f"{path}: coordinate system {name!r} is neither LPS nor RAS; correct the file") from error


def _position(numbers: Iterable, space: str, path: Path, number: int) -> list[float]:
    """Three LPS coordinates."""
    try:
        position = [float(value) for value in numbers]
    except (TypeError, ValueError):
        position = []
    if len(position) != 3 or not all(math.isfinite(value) for value in position):
        raise InputError(
            f"{path}: the position of point {number} is not three numbers ({numbers}); correct or remove it"
        )
    return lps_to_ras(np.asarray(position)).tolist() if space == "RAS" else position
