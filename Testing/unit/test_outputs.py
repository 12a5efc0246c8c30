"""What `slicer-voxelmorph propagate` writes and prints."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.propagate_command import command, table, voxels
from Testing.support.propagation_cases import GRID, labels
from VoxelMorphRegistrationLib.files.displacements import read_displacement

FIXED = "index,index_value,status,similarity_before,similarity_after,folded_percent,seconds,message".split(",")


def test_every_frame_gets_a_label_volume_on_its_own_grid_and_a_row(plain):
    assert sorted(p.name for p in (plain / "segmentation").iterdir()) == [f"{i:04d}.nrrd" for i in range(6)]
    rows = table(plain)
    assert list(rows[0])[:8] == FIXED
    assert list(rows[0])[8:16] == [
        f"{n}_{label}" for label in (1, 2) for n in ("volume_ml", "centroid_r", "centroid_a", "centroid_s")
    ]
    assert [row["status"] for row in rows] == ["reference"] + ["done"] * 5
    written = sitk.ReadImage(str(plain / "segmentation" / "0003.nrrd"))
    assert written.GetPixelID() == sitk.sitkUInt8 and written.GetSize() == GRID.size
    assert np.allclose(written.GetOrigin(), GRID.origin) and np.allclose(written.GetSpacing(), GRID.spacing)
    assert np.array_equal(voxels(plain)["0000.nrrd"], sitk.GetArrayFromImage(labels(0)))


def test_the_record_says_what_made_the_files(plain, case):
    record = json.loads((plain / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["strategy"] == "direct" and record["model"]["name"] == "tiny"
    assert len(record["model"]["sha256"]) == 64 and "torch" in record["versions"]
    assert record["inputs"]["segmentation of frame 0"].startswith(case["segmentation"].name)
    assert len(record["frames"]) == 6


def test_transforms_points_and_surface_are_written_when_asked_for(case, tmp_path):
    (tmp_path / "p.fcsv").write_text(
        "# Markups fiducial file version = 5.0\n# CoordinateSystem = LPS\n# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,"
        "lock,label,desc,associatedNodeID\n1,-4,34,32,0,0,0,1,1,1,0,apex,,\n"
    )
    vtk = pytest.importorskip("vtk", reason="vtk is not installed")
    ball = vtk.vtkSphereSource()
    ball.SetCenter(-4, 34, 32)
    ball.SetRadius(10)
    ball.Update()
    writer = vtk.vtkXMLPolyDataWriter()
    writer.SetFileName(str(tmp_path / "s.vtp"))
    writer.SetInputData(ball.GetOutput())
    writer.Write()
    output = tmp_path / "out"
    assert (
        command(
            case,
            output,
            "--points",
            tmp_path / "p.fcsv",
            "--surface",
            tmp_path / "s.vtp",
            "--save-transforms",
            "full",
            "--frames",
            "0:3",
        )
        == 0
    )
    for folder, ending in (("transforms", "nrrd"), ("points", "mrk.json"), ("surface", "vtp")):
        assert sorted(p.name for p in (output / folder).iterdir()) == [f"{i:04d}.{ending}" for i in range(3)]
    # The point found in frame 2 is pulled back onto the point that was given, by SimpleITK.
    point = json.loads((output / "points" / "0002.mrk.json").read_text(encoding="utf-8"))["markups"][0]
    assert point["coordinateSystem"] == "LPS" and point["controlPoints"][0]["label"] == "apex"
    transform = sitk.DisplacementFieldTransform(
        sitk.Cast(sitk.ReadImage(str(output / "transforms" / "0002.nrrd")), sitk.sitkVectorFloat64)
    )
    assert np.allclose(transform.TransformPoint(point["controlPoints"][0]["position"]), (-4, 34, 32), atol=0.01)
    # Labels warped by the transform that was saved, by SimpleITK, are the labels that were saved.
    pulled = sitk.Resample(labels(0), transform, sitk.sitkNearestNeighbor)
    assert np.mean(sitk.GetArrayFromImage(pulled) != voxels(output)["0002.nrrd"]) < 1e-3


def test_a_coarser_transform_keeps_every_nth_voxel_in_its_place(case, tmp_path):
    assert command(case, tmp_path / "a", "--save-transforms", "full", "--frames", "1:2") == 0
    assert command(case, tmp_path / "b", "--save-transforms", "3", "--frames", "1:2") == 0
    whole, coarse = (read_displacement(tmp_path / name / "transforms" / "0001.nrrd") for name in "ab")
    assert coarse.GetSize() == tuple(-(-n // 3) for n in whole.GetSize())
    for index in ((0, 0, 0), (2, 5, 1), (7, 8, 6)):
        position = coarse.TransformIndexToPhysicalPoint(index)
        assert np.allclose(coarse[index], whole[whole.TransformPhysicalPointToIndex(position)], atol=1e-6)


def test_a_dry_run_writes_nothing_and_tells_what_would_happen(case, tmp_path, capsys):
    assert command(case, tmp_path / "out", "--dry-run", "--frames", "::2") == 0
    said = capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    for word in (
        "3 of 6",
        "28 x 26 x 24",
        "28 x 28 x 24",
        "s a registration",
        "memory",
        "disk",
        "strategy        direct",
    ):
        assert word in said


def test_json_progress_is_one_object_a_line(case, tmp_path, capsys):
    assert command(case, tmp_path / "out", "--progress", "json", "--frames", "0:2") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events][0] == "start" and events[-1]["event"] == "finish" and events[-1]["exit"] == 0
    assert [e["index"] for e in events if e["event"] == "frame"] == [0, 1]


def test_names_and_colours_of_a_segmentation_reach_every_frame(case, tmp_path):
    given = labels(0)
    for key, value in {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segment0_ID": "a",
        "Segment0_Name": "liver",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment0_Color": "1 0 0",
    }.items():
        given.SetMetaData(key, value)
    sitk.WriteImage(given, str(tmp_path / "a.seg.nrrd"))
    assert command(case, tmp_path / "out", "--frames", "0:2", segmentation=tmp_path / "a.seg.nrrd") == 0
    written = sitk.ReadImage(str(tmp_path / "out" / "segmentation" / "0001.nrrd"))
    assert written.GetMetaData("Segment0_Name") == "liver" and written.GetMetaData("Segment0_Color") == "1 0 0"


def test_overlapping_segments_are_kept_beside_the_flat_volume(case, tmp_path):
    one, two = labels(0) > 0, labels(0) == 2
    both = sitk.Compose(sitk.Cast(one, sitk.sitkUInt8), sitk.Cast(two, sitk.sitkUInt8))
    for number, name in enumerate(("whole", "half")):
        for key, value in {"ID": name, "Name": name, "LabelValue": "1", "Layer": str(number)}.items():
            both.SetMetaData(f"Segment{number}_{key}", value)
    both.SetMetaData("Segmentation_MasterRepresentation", "Binary labelmap")
    sitk.WriteImage(both, str(tmp_path / "a.seg.nrrd"))
    assert command(case, tmp_path / "out", "--frames", "0:2", segmentation=tmp_path / "a.seg.nrrd") == 0
    flat = sitk.ReadImage(str(tmp_path / "out" / "segmentation" / "0000.nrrd"))
    layered = sitk.ReadImage(str(tmp_path / "out" / "segmentation" / "0000.seg.nrrd"))
    assert layered.GetNumberOfComponentsPerPixel() == 2
    assert np.array_equal(sitk.GetArrayFromImage(flat) > 0, sitk.GetArrayFromImage(one) > 0)
    assert {row["status"] for row in table(tmp_path / "out")} == {"reference", "done"}
