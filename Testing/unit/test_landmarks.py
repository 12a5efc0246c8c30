"""Points and surfaces: moved with the tissue, and the files of surfaces."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
import SimpleITK as sitk
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
