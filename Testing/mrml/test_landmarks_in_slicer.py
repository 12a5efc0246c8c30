"""Point and surface files against Slicer's own storage nodes, in LPS and in RAS."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.markups import read_points, write_points
from VoxelMorphRegistrationLib.files.meshes import read_surface, write_surface
from VoxelMorphRegistrationLib.mrml.landmarks import markups_at, points_from_markups

RAS = np.array([[1.5, -2.0, 3.0], [-40.25, 50.0, 6.0], [7.0, 8.0, -9.0]])
LPS = RAS * (-1, -1, 1)
LABELS = ("A", 'left, "upper" ä', "F-3")
SPACES = {"RAS": 0, "LPS": 1}


def storage_node(scene, name: str, path) -> object:
    node = getattr(slicer, name)()
    scene.AddNode(node)
    node.SetFileName(str(path))
    return node


def markups(scene, kind: str = "Fiducial") -> object:
    node = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node")
    for position, label in zip(RAS, LABELS):
        node.AddControlPoint(*position, label)
    node.SetNthControlPointDescription(1, "described")
    return node


def positions(node) -> np.ndarray:
    return np.array([node.GetNthControlPointPosition(n) for n in range(node.GetNumberOfControlPoints())])


def model(scene) -> object:
    source = vtk.vtkSphereSource()
    source.SetCenter(30.0, -20.0, 10.0)
    source.SetRadius(8.0)
    source.Update()
    node = scene.AddNewNodeByClass("vtkMRMLModelNode")
    node.SetAndObservePolyData(source.GetOutput())
    return node


def vertices(node) -> np.ndarray:
    return vtk_to_numpy(node.GetPolyData().GetPoints().GetData())


@pytest.mark.parametrize("space", ["LPS", "RAS"])
@pytest.mark.parametrize(
    ("storage", "ending"),
    [("vtkMRMLMarkupsFiducialStorageNode", ".fcsv"), ("vtkMRMLMarkupsJsonStorageNode", ".mrk.json")],
)
def test_points_slicer_saved_are_read_where_slicer_has_them(scene, tmp_path, storage, ending, space):
    path = tmp_path / f"points{ending}"
    node = storage_node(scene, storage, path)
    node.SetCoordinateSystem(SPACES[space])
    source = markups(scene)
    source.AddControlPoint(99, 99, 99, "never placed")
    source.UnsetNthControlPointPosition(3)
    assert node.WriteData(source)
    assert space in path.read_text(encoding="utf-8")
    points = read_points(path)
    np.testing.assert_allclose(points.positions, LPS, atol=1e-6)
    assert points.labels == LABELS
    assert points.descriptions == ("", "described", "")


@pytest.mark.parametrize("lps", [True, False])
def test_a_table_of_points_slicer_exported_is_read_where_slicer_has_them(scene, tmp_path, lps):
    path = tmp_path / "points.csv"
    source = markups(scene)
    source.SetNthControlPointLabel(1, "left, upper ä")  # VTK's table writer leaves quotes inside a field unescaped.
    assert slicer.vtkSlicerMarkupsLogic.ExportControlPointsToCSV(source, str(path), lps)
    points = read_points(path)
    np.testing.assert_allclose(points.positions, LPS, atol=1e-6)
    assert points.labels == ("A", "left, upper ä", "F-3")
    assert points.descriptions == ("", "described", "")


@pytest.mark.parametrize("space", ["LPS", "RAS"])
@pytest.mark.parametrize("kind", ["Fiducial", "Curve", "Line"])
def test_slicer_opens_moved_points_where_they_belong(scene, tmp_path, kind, space):
    source = markups(scene, kind)
    storage = storage_node(scene, "vtkMRMLMarkupsJsonStorageNode", tmp_path / "in.mrk.json")
    storage.SetCoordinateSystem(SPACES[space])
    assert storage.WriteData(source)
    points = read_points(tmp_path / "in.mrk.json")
    write_points(points.at(points.positions + (1.0, 2.0, 3.0)), tmp_path / "0001.mrk.json")
    opened = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node")
    assert storage_node(scene, "vtkMRMLMarkupsJsonStorageNode", tmp_path / "0001.mrk.json").ReadData(opened)
    np.testing.assert_allclose(positions(opened), positions(source) + (-1, -2, 3), atol=1e-5)
    assert opened.GetNthControlPointLabel(1) == LABELS[1]


def test_slicer_opens_points_that_came_from_a_table(scene, tmp_path):
    (tmp_path / "in.csv").write_text(
        "label,r,a,s\n" + "".join(f"p{n},{x},{y},{z}\n" for n, (x, y, z) in enumerate(RAS))
    )
    write_points(read_points(tmp_path / "in.csv"), tmp_path / "out.mrk.json")
    opened = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    assert storage_node(scene, "vtkMRMLMarkupsJsonStorageNode", tmp_path / "out.mrk.json").ReadData(opened)
    np.testing.assert_allclose(positions(opened), RAS)
    assert [opened.GetNthControlPointLabel(n) for n in range(3)] == ["p0", "p1", "p2"]


@pytest.mark.parametrize("space", ["LPS", "RAS"])
@pytest.mark.parametrize("ending", [".vtp", ".stl", ".obj", ".ply", ".vtk"])
def test_surfaces_slicer_saved_are_read_where_slicer_has_them(scene, tmp_path, ending, space):
    path = tmp_path / f"model{ending}"
    storage = storage_node(scene, "vtkMRMLModelStorageNode", path)
    storage.SetCoordinateSystem(SPACES[space])
    source = model(scene)
    assert storage.WriteData(source)
    surface = read_surface(path)
    expected = vertices(source) * (-1, -1, 1)
    assert surface.mesh.GetNumberOfCells() == source.GetPolyData().GetNumberOfCells()
    apart = np.linalg.norm(surface.points[:, None] - expected[None], axis=-1)
    assert max(apart.min(0).max(), apart.min(1).max()) < 1e-3


def test_slicer_opens_a_moved_surface_where_it_belongs(scene, tmp_path):
    source = model(scene)
    assert storage_node(scene, "vtkMRMLModelStorageNode", tmp_path / "in.vtp").WriteData(source)
    surface = read_surface(tmp_path / "in.vtp")
    write_surface(surface.at(surface.points + (1.0, 2.0, 3.0)), tmp_path / "0001.vtp")
    opened = scene.AddNewNodeByClass("vtkMRMLModelNode")
    storage = storage_node(scene, "vtkMRMLModelStorageNode", tmp_path / "0001.vtp")
    storage.SetCoordinateSystem(SPACES["RAS"])
    assert storage.ReadData(opened)
    np.testing.assert_allclose(vertices(opened), vertices(source) + (-1, -2, 3), atol=1e-4)
    assert opened.GetPolyData().GetFieldData().GetNumberOfArrays() == 0


@pytest.mark.parametrize("kind", ["Plane", "ROI"])
def test_a_markup_that_is_more_than_its_points_is_refused_by_name(scene, kind):
    node = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", "around the liver")
    for position in RAS:
        node.AddControlPoint(*position)
    with pytest.raises(InputError, match=f"around the liver.*{kind}.*point list, line or curve"):
        points_from_markups(node)


def test_a_preview_point_moves_and_stays_one(scene):
    node = markups(scene)
    node.SetNthControlPointPosition(1, *RAS[1], node.PositionPreview)
    points = points_from_markups(node)
    assert np.allclose(points.positions, LPS)
    copy = markups_at(node, points.at(points.positions + 5))
    assert np.allclose(positions(copy), RAS + (-5, -5, 5))
    assert [copy.GetNthControlPointPositionStatus(number) for number in range(3)] == [2, 1, 2]
