"""Surface files that are cut short: VTK makes up the rest, takes what is left, or ends the process."""

from __future__ import annotations

import pytest

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.meshes import read_surface

vtk = pytest.importorskip("vtk", reason="vtk is not installed")
ASCII, BINARY = 1, 2
KINDS = {
    "text.stl": ("STLWriter", ASCII), "binary.stl": ("STLWriter", BINARY),
    "text.ply": ("PLYWriter", ASCII), "binary.ply": ("PLYWriter", BINARY),
    "text.vtk": ("PolyDataWriter", ASCII), "binary.vtk": ("PolyDataWriter", BINARY),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def path(request, tmp_path):
    """A whole surface of 50 vertices and 96 triangles."""
    sphere = vtk.vtkSphereSource()
    sphere.Update()
    kind, mode = KINDS[request.param]
    writer = getattr(vtk, f"vtk{kind}")()
    writer.SetInputData(sphere.GetOutput())
    writer.SetFileType(mode)
    writer.SetFileName(str(tmp_path / request.param))
    writer.Write()
    return tmp_path / request.param


def test_a_whole_file_is_read_and_one_cut_anywhere_is_refused(path):
    surface = read_surface(path)
    assert len(surface.points) == 50 and surface.mesh.GetNumberOfCells() == 96
    whole = path.read_bytes()
    for share in (0.97, 0.5):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=path.name):
            read_surface(path)


HEADER = (
    "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n"
)


@pytest.mark.parametrize(
    ("face", "reason"),
    [("3 0 1 2", ""), ("3 0 1 3", "none of its 3 vertices"), ("3 -1 1 2", "none of its 3"), ("-2 0 1", "damaged")],
)
def test_the_corners_of_a_face_are_vertices_of_the_file(tmp_path, face, reason):
    path = tmp_path / "a.ply"
    path.write_text(f"{HEADER}{face}\n")
    if reason:
        with pytest.raises(InputError, match=reason):
            read_surface(path)
    else:
        assert read_surface(path).mesh.GetNumberOfCells() == 1


def test_triangles_and_quadrangles_may_lie_in_one_file(tmp_path):
    path = tmp_path / "a.ply"
    text = HEADER.replace("face 1", "face 2").replace("vertex 3", "vertex 4").replace("ascii", "binary_little_endian")
    head = text[: text.index("end_header\n") + 11].encode()
    vertices = b"".join(bytes(12) for _ in range(4))
    triangle, quadrangle = (bytes([n]) + b"".join(k.to_bytes(4, "little") for k in range(n)) for n in (3, 4))
    path.write_bytes(head + vertices + triangle + quadrangle)
    assert read_surface(path).mesh.GetNumberOfCells() == 2
    path.write_bytes(head + vertices + triangle + quadrangle[:-1])
    with pytest.raises(InputError, match="cut short"):
        read_surface(path)


@pytest.mark.parametrize("kind", ["ply", "obj"])
@pytest.mark.parametrize(("remark", "first"), [("Jos\u00e9 SPACE=RAS", -1.0), ("Jos\u00e9", 1.0)])
def test_remarks_that_are_no_utf_8_are_understood(tmp_path, kind, remark, first):
    path = tmp_path / f"a.{kind}"
    if kind == "ply":
        text = HEADER.replace("1.0\n", f"1.0\ncomment {remark}\n") + "3 0 1 2\n"
    else:
        text = f"# {remark}\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    path.write_bytes(text.encode("latin-1"))
    assert read_surface(path).points[1, 0] == first
