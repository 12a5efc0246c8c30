"""Files of points: read in every format and coordinate system, written for Slicer, refused where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from VoxelMorphRegistrationLib.annotations.points import Points
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.markups import read_points, write_points

LPS = np.array([[-1.5, 2.0, 3.0], [4.25, -5.0, 6.0]])
FCSV = (
    "# Markups fiducial file version = 5.6\n# CoordinateSystem = {space}\n"
    "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    '7,{0},{1},{2},0,0,0,1,1,1,0,"A, ""left""",first,,2,0\n'
    "8,{3},{4},{5},0,0,0,1,0,1,1,B,,,2,0\n"
    "9,0,0,0,0,0,0,1,0,1,1,never placed,,,0,0\n"
)
CASES = Path(__file__).resolve().parents[1] / "fixtures" / "cases" / "markups"


def in_space(space: str) -> np.ndarray:
    return LPS * (-1, -1, 1) if space in ("RAS", "0") else LPS


def points_file(folder, text: str, ending: str):
    path = folder / f"points{ending}"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("space", ["LPS", "RAS", "0", "1"])
def test_fcsv_points_are_lps_whatever_their_file_is_in(tmp_path, space):
    text = FCSV.format(*in_space(space).ravel().tolist(), space=space)
    points = read_points(points_file(tmp_path, text, ".fcsv"))
    np.testing.assert_allclose(points.positions, LPS)
    assert points.labels == ('A, "left"', "B")
    assert points.ids == ("7", "8")
    assert points.descriptions == ("first", "")


def test_an_fcsv_of_slicer_3_is_in_ras(tmp_path):
    points = read_points(points_file(tmp_path, "# name = F\nA,1.5,-2,3,1,1\nB,-4.25,5,6,0,1\n", ".fcsv"))
    np.testing.assert_allclose(points.positions, LPS)
    assert points.labels == ("A", "B")


@pytest.mark.parametrize("space", ["LPS", "RAS", None])
def test_json_points_are_lps_whatever_their_file_is_in(tmp_path, space):
    markup = {"type": "Fiducial", "controlPoints": [{"label": "p", "position": p} for p in in_space(space).tolist()]}
    if space:
        markup["coordinateSystem"] = space
    path = points_file(tmp_path, json.dumps({"markups": [markup]}), ".mrk.json")
    np.testing.assert_allclose(read_points(path).positions, LPS)


@pytest.mark.parametrize(
    ("header", "space"), [("label,l,p,s", "LPS"), ('"label","r","a","s"', "RAS"), ("label, x, y, z", "LPS")]
)
def test_csv_points_are_lps_whatever_their_columns_are(tmp_path, header, space):
    rows = "".join(f'"p {n}",{x},{y},{z}\n' for n, (x, y, z) in enumerate(in_space(space).tolist()))
    points = read_points(points_file(tmp_path, f"{header}\n{rows}", ".csv"))
    np.testing.assert_allclose(points.positions, LPS)
    assert points.labels == ("p 0", "p 1")


def test_what_is_written_says_lps_and_keeps_curves_flags_and_points_that_were_never_placed(tmp_path):
    document = {
        "@schema": "https://example.org/markups-schema-v1.0.3.json#",
        "markups": [
            {
                "type": "Curve",
                "coordinateSystem": "RAS",
                "display": {"color": [1, 0, 0]},
                "measurements": [{"name": "length", "value": 3}],
                "controlPoints": [
                    {"id": "1", "label": "a", "position": [1.0, 2.0, 3.0], "orientation": [1, 0, 0, 0, 1, 0, 0, 0, 1]},
                    {"id": "2", "label": "b", "position": "", "positionStatus": "undefined"},
                    {"id": "3", "label": "c", "position": [4.0, 5.0, 6.0], "locked": True},
                ],
            }
        ],
    }
    points = read_points(points_file(tmp_path, json.dumps(document), ".mrk.json"))
    write_points(points.at(points.positions + 10), tmp_path / "moved.mrk.json")
    markup = json.loads((tmp_path / "moved.mrk.json").read_text(encoding="utf-8"))["markups"][0]
    assert (markup["type"], markup["coordinateSystem"], markup["display"]) == ("Curve", "LPS", {"color": [1, 0, 0]})
    assert "measurements" not in markup
    assert [point.get("position") for point in markup["controlPoints"]] == [[9.0, 8.0, 13.0], "", [6.0, 5.0, 16.0]]
    assert markup["controlPoints"][0]["orientation"] == [-1, 0, 0, 0, -1, 0, 0, 0, 1]
    assert markup["controlPoints"][2]["locked"] is True


@settings(max_examples=30, deadline=None)
@given(numbers=st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 3), min_size=1, max_size=6), label=st.text(max_size=20))
def test_positions_and_labels_survive_a_file(tmp_path_factory, numbers, label):
    document = {"markups": [{"type": "Fiducial", "controlPoints": [{"label": label, "position": p} for p in numbers]}]}
    path = tmp_path_factory.mktemp("points") / "p.mrk.json"
    write_points(Points(np.array(numbers), document), path)
    again = read_points(path)
    np.testing.assert_array_equal(again.positions, np.array(numbers))
    assert set(again.labels) == {label}


@pytest.mark.parametrize(
    ("ending", "text", "complaint"),
    [
        (".fcsv", "# Markups fiducial file version = 5.6\n# CoordinateSystem = XYZ\n1,1,2,3\n", "neither LPS nor RAS"),
        (".fcsv", "# Markups fiducial file version = 5.6\n# CoordinateSystem = LPS\n1,1,two,3\n", "point 1"),
        (".fcsv", "# Markups fiducial file version = 5.6\n", "no placed point"),
        (".mrk.json", '{"markups": [', "not valid JSON"),
        (".mrk.json", "[1, 2]", "no markups"),
        (".mrk.json", '{"markups": [{"type": "ROI", "controlPoints": []}]}', "ROI"),
        (".mrk.json", '{"markups": [{"controlPoints": [{"position": [1, NaN, 2]}]}]}', "point 1"),
        (".fcsv", "# Markups fiducial file version = 5.6\n1,1,2,3,,,,,,,,,,,7\n", "position status of point 1"),
        (".mrk.json", '{"markups": [{"controlPoints": null}]}', "no list of points"),
        (".mrk.json", '{"markups": [{"controlPoints": {"1": {}}}]}', "no list of points"),
        (".mrk.json", '{"markups": [{"controlPoints": [[1, 2, 3]]}]}', "no list of points"),
        (".mrk.json", '{"markups": [{"controlPoints": []}]}', "no placed point"),
        (
            ".mrk.json",
            '{"markups": [{"controlPoints": [{"position": [1, 2, 3]}]}, {"controlPoints": null}]}',
            "no list of points",
        ),
        (
            ".mrk.json",
            '{"markups": [{"controlPoints": [{"position": [1, 2, 3], "positionStatus": "Defined"}]}]}',
            "position status of point 1 is 'Defined'",
        ),
        (
            ".mrk.json",
            '{"markups": [{"controlPoints": [{"position": null, "positionStatus": "preview"}]}]}',
            "point 1 is preview but has no position",
        ),
        (
            ".mrk.json",
            '{"markups": [{"coordinateSystem": "RAS", "controlPoints": [{"position": [1, 2, 3], "orientation": 1}]}]}',
            "orientation of point 1",
        ),
        (
            ".mrk.json",
            '{"markups": [{"coordinateUnits": "cm", "controlPoints": [{"position": [1, 2, 3]}]}]}',
            "in cm, not in mm",
        ),
        (".mrk.json", '{"markups": ' + "[" * 100_000, "not valid JSON"),
        (".csv", "l,p,s\n1,2," + "3" * 200_000 + "\n", "no table of points"),
        (".csv", "1,2,3\n4,5,6\n", "columns l,p,s or r,a,s"),
        (".csv", "", "columns l,p,s or r,a,s"),
        (".txt", "1 2 3", "unknown kind"),
    ],
)
def test_damaged_point_files_are_refused_and_named(tmp_path, ending, text, complaint):
    with pytest.raises(InputError, match=f"points{ending}.*{complaint}"):
        read_points(points_file(tmp_path, text, ending))


@pytest.mark.parametrize("name", ["mixed", "allpreview"])
def test_points_whose_position_is_a_preview_are_moved_as_defined_ones_are(tmp_path, name):
    document = json.loads((CASES / f"{name}.mrk.json").read_text())
    points = read_points(CASES / f"{name}.mrk.json")
    given = [point["position"] for point in document["markups"][0]["controlPoints"]]
    assert points.positions.tolist() == given
    write_points(points.at(points.positions + 3), tmp_path / "moved.mrk.json")
    moved = json.loads((tmp_path / "moved.mrk.json").read_text())["markups"][0]["controlPoints"]
    assert [point["position"] for point in moved] == [[value + 3 for value in position] for position in given]
    statuses = [point["positionStatus"] for point in document["markups"][0]["controlPoints"]]
    assert [point["positionStatus"] for point in moved] == statuses


def test_a_preview_point_of_an_fcsv_is_placed(tmp_path):
    text = "# Markups fiducial file version = 5.6\n# CoordinateSystem = LPS\n1,1,2,3,0,0,0,1,1,1,0,a,,,1,0\n"
    assert read_points(points_file(tmp_path, text, ".fcsv")).positions.tolist() == [[1, 2, 3]]


def test_a_point_list_without_points_is_refused():
    with pytest.raises(InputError, match=r"j_null\.mrk\.json: its controlPoints are no list"):
        read_points(CASES / "j_null.mrk.json")
