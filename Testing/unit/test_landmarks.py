"""Points and surfaces: read in every format and coordinate system, moved with the tissue, written for Slicer."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from VoxelMorphRegistrationLib.annotations.points import Points, count_outside
from VoxelMorphRegistrationLib.errors import DependencyMissing, InputError
from VoxelMorphRegistrationLib.files.markups import read_points, write_points
from VoxelMorphRegistrationLib.files.meshes import read_surface, write_surface
from VoxelMorphRegistrationLib.space.displacement import from_array, warp
from VoxelMorphRegistrationLib.space.grid import Grid
from VoxelMorphRegistrationLib.space.inverse import invert_at

vtk = pytest.importorskip("vtk")

GRID = Grid((40, 36, 30), (1.0, 1.2, 1.5), (-20.0, 5.0, 7.0), (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))
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


def middle() -> np.ndarray:
    return GRID.points().reshape(-1, 3).mean(0)


def smooth_field(amplitude: float, seed: int = 0) -> sitk.Image:
    noise = np.random.default_rng(seed).standard_normal((3, *GRID.shape))
    field = np.stack([gaussian_filter(part, 5) for part in noise], -1)
    return from_array(field * amplitude / np.abs(field).max(), GRID)


def ball(radius: float = 8.0, centre=None, normals: bool = False) -> vtk.vtkPolyData:
    source = vtk.vtkSphereSource()
    source.SetRadius(radius)
    source.SetCenter(*(middle() if centre is None else centre))
    source.SetThetaResolution(24)
    source.SetPhiResolution(24)
    source.SetGenerateNormals(normals)
    source.Update()
    return source.GetOutput()


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


def test_a_constant_shift_of_the_image_moves_points_and_surface_the_other_way():
    shift = np.array([3.0, -2.0, 1.0])
    field = from_array(np.broadcast_to(shift, (*GRID.shape, 3)), GRID)
    points = Points(LPS + middle(), {"markups": []})
    np.testing.assert_allclose(moved(points, field).positions, points.positions - shift, atol=1e-5)
    surface = read_back(ball())
    np.testing.assert_allclose(moved(surface, field).points, surface.points - shift, atol=1e-5)


def moved(landmarks, field: sitk.Image):
    places = landmarks.positions if isinstance(landmarks, Points) else landmarks.points
    return landmarks.at(invert_at(field, places)[0])


def read_back(mesh: vtk.vtkPolyData):
    from VoxelMorphRegistrationLib.annotations.surface import Surface

    return Surface(mesh)


def test_points_follow_the_tissue_that_the_warped_image_shows():
    """A bright blob is where the point is, in the moving image and, as SimpleITK resamples it, in the fixed frame."""
    field = smooth_field(4.0)
    for offset in ([0.0, 0.0, 0.0], [5.0, -4.0, 6.0], [-6.0, 3.0, -5.0]):
        place = middle() + offset
        blob = np.exp(-np.sum((GRID.points() - place) ** 2, -1) / 8.0).astype(np.float32)
        seen = sitk.GetArrayFromImage(warp(GRID.image(blob), field))
        centroid = (GRID.points() * seen[..., None]).reshape(-1, 3).sum(0) / seen.sum()
        found = moved(Points(place[None], {"markups": []}), field).positions[0]
        assert np.linalg.norm(found - centroid) < 0.5
        assert np.linalg.norm(found - centroid) < 0.3 * max(1.5, np.linalg.norm(found - place))


def test_a_moved_surface_bounds_the_warped_labels():
    field = smooth_field(4.0)
    labels = (np.linalg.norm(GRID.points() - middle(), axis=-1) < 8).astype(np.uint8)
    warped = sitk.GetArrayFromImage(warp(GRID.image(labels), field, "nearest")) > 0
    inside = vtk.vtkImplicitPolyDataDistance()
    inside.SetInput(moved(read_back(ball(8.0)), field).mesh)
    distance = np.array([inside.EvaluateFunction(point) for point in GRID.points().reshape(-1, 3)[::3]])
    label = warped.ravel()[::3]
    assert distance[label].max() < 0.6
    assert distance[~label].min() > -0.6


def test_points_beyond_the_image_move_with_its_edge():
    field = from_array(np.broadcast_to((0.0, 0.0, -5.0), (*GRID.shape, 3)), GRID)
    points = Points(np.array([[500.0, 500.0, 500.0]]), {"markups": []})
    np.testing.assert_allclose(moved(points, field).positions, [[500.0, 500.0, 505.0]])


def test_points_outside_the_image_are_counted_and_refused_only_when_all_are():
    inside, outside = middle(), middle() + 500
    assert count_outside(np.array([inside, outside, outside]), GRID, "p.fcsv") == 2
    with pytest.raises(InputError, match="p.fcsv: all 2 points lie outside the image;"):
        count_outside(np.array([outside, outside]), GRID, "p.fcsv")


def test_a_surface_of_the_wrong_handedness_is_recognised():
    far = Grid(GRID.size, GRID.spacing, (200.0, 5.0, 7.0), GRID.direction)
    place = far.points().reshape(-1, 3).mean(0)
    with pytest.raises(InputError, match="liver.stl: all 530 points.*x and y negated"):
        count_outside(read_back(ball(8.0, place * (-1, -1, 1))).points, far, "liver.stl")


def write_mesh(mesh: vtk.vtkPolyData, path, space: str | None):
    """As the programs that make such files do: the mark of Slicer, or none."""
    mark = f"SPACE={space}" if space else ""
    if path.suffix == ".vtp":
        writer = vtk.vtkXMLPolyDataWriter()
        if space:
            field = vtk.vtkStringArray()
            field.SetName("SPACE")
            field.InsertNextValue(space)
            mesh.GetFieldData().AddArray(field)
    elif path.suffix == ".stl":
        writer = vtk.vtkSTLWriter()
        writer.SetHeader(f"3D Slicer output. {mark}")
        writer.SetFileTypeToBinary()
    elif path.suffix == ".ply":
        writer = vtk.vtkPLYWriter()
        if mark:
            writer.AddComment(f"3D Slicer output. {mark}")
    elif path.suffix == ".vtk":
        writer = vtk.vtkPolyDataWriter()
        writer.SetHeader(f"3D Slicer output. {mark}")
    else:
        rows = [f"# 3D Slicer output. {mark}"]
        rows += ["v " + " ".join(map(str, mesh.GetPoint(n))) for n in range(mesh.GetNumberOfPoints())]
        for n in range(mesh.GetNumberOfCells()):
            cell = mesh.GetCell(n)
            rows.append("f " + " ".join(str(cell.GetPointId(c) + 1) for c in range(3)))
        path.write_text("\n".join(rows) + "\n")
        return
    writer.SetInputData(mesh)
    writer.SetFileName(str(path))
    assert writer.Write()


@pytest.mark.parametrize("space", ["LPS", "RAS", None])
@pytest.mark.parametrize("ending", [".vtp", ".stl", ".obj", ".ply", ".vtk"])
def test_surfaces_are_lps_whatever_their_file_is_in(tmp_path, ending, space):
    centre = np.array([30.0, -40.0, 50.0])
    path = tmp_path / f"ball{ending}"
    write_mesh(ball(8.0, centre * (-1, -1, 1) if space == "RAS" else centre), path, space)
    surface = read_surface(path)
    np.testing.assert_allclose(surface.points.mean(0), centre, atol=1e-3)
    assert surface.mesh.GetNumberOfCells() == ball().GetNumberOfCells()


def test_a_written_surface_says_lps_and_reads_back_the_same(tmp_path):
    surface = read_back(ball())
    write_surface(surface, tmp_path / "0000.vtp")
    reader = vtk.vtkXMLPolyDataReader()
    reader.SetFileName(str(tmp_path / "0000.vtp"))
    reader.Update()
    assert reader.GetOutput().GetFieldData().GetAbstractArray("SPACE").GetValue(0) == "LPS"
    np.testing.assert_array_equal(read_surface(tmp_path / "0000.vtp").points, surface.points)
    assert surface.mesh.GetFieldData().GetNumberOfArrays() == 0


def test_normals_of_a_moved_surface_fit_its_new_shape():
    sphere = read_back(ball(5.0, normals=True))
    stretched = sphere.at(middle() + (sphere.points - middle()) * (2.0, 1.0, 1.0))
    normals = stretched.mesh.GetPointData().GetNormals()
    wanted = (stretched.points - middle()) / (10.0, 5.0, 5.0) ** np.array(2)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    found = np.array([normals.GetTuple(n) for n in range(stretched.mesh.GetNumberOfPoints())])
    assert np.einsum("nd,nd->n", found, wanted).min() > 0.97


def test_colours_and_cells_of_a_surface_are_kept(tmp_path):
    mesh = ball()
    colours = vtk.vtkUnsignedCharArray()
    colours.SetName("Colour")
    for number in range(mesh.GetNumberOfPoints()):
        colours.InsertNextValue(number % 256)
    mesh.GetPointData().AddArray(colours)
    write_surface(moved(read_back(mesh), smooth_field(2.0)), tmp_path / "c.vtp")
    again = read_surface(tmp_path / "c.vtp").mesh
    assert again.GetPointData().GetArray("Colour").GetValue(300) == 300 - 256
    assert again.GetNumberOfCells() == mesh.GetNumberOfCells()


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


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match="gone.fcsv: no such file"):
        read_points(tmp_path / "gone.fcsv")
    with pytest.raises(InputError, match="gone.stl: no such file"):
        read_surface(tmp_path / "gone.stl")


@pytest.mark.parametrize("ending", [".vtp", ".stl", ".obj", ".ply", ".vtk"])
@pytest.mark.parametrize("content", [b"", b"this is no mesh\n" * 20])
def test_files_that_are_no_surfaces_are_refused_in_one_line(tmp_path, ending, content, capfd):
    path = tmp_path / f"odd{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"odd{ending}"):
        read_surface(path)
    assert capfd.readouterr().err == ""


def test_nothing_is_left_behind_where_writing_fails(tmp_path):
    with pytest.raises(InputError, match="nowhere.*cannot be written"):
        write_surface(read_back(ball()), tmp_path / "nowhere" / "0000.vtp")
    with pytest.raises(InputError, match="nowhere.*cannot be written"):
        write_points(Points(LPS, {"markups": []}), tmp_path / "nowhere" / "0000.mrk.json")
    with pytest.raises(InputError, match=r"\.vtp"):
        write_surface(read_back(ball()), tmp_path / "0000.stl")
    assert list(tmp_path.iterdir()) == []


def test_without_vtk_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    path = tmp_path / "ball.stl"
    path.write_bytes(b"solid\n")
    real = builtins.__import__

    def without_vtk(name, *rest):
        if name.split(".")[0] == "vtk":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_vtk)
    with pytest.raises(DependencyMissing, match="pip install vtk"):
        read_surface(path)


@pytest.mark.parametrize("binary", [False, True])
def test_a_legacy_surface_that_is_cut_short_is_not_taken_for_whole(tmp_path, binary):
    sphere, writer = vtk.vtkSphereSource(), vtk.vtkPolyDataWriter()
    writer.SetInputConnection(sphere.GetOutputPort())
    writer.SetFileName(str(tmp_path / "cut.vtk"))
    writer.SetFileTypeToBinary() if binary else writer.SetFileTypeToASCII()
    writer.Write()
    whole = (tmp_path / "cut.vtk").read_bytes()
    for share in (0.05, 0.1, 0.2):
        (tmp_path / "cut.vtk").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match="cut.vtk"):
            read_surface(tmp_path / "cut.vtk")
