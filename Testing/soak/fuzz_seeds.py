"""Good files of every format that is read, small, made here; and the call that reads each."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from VoxelMorphRegistrationLib import exchange
from VoxelMorphRegistrationLib.annotations.segment import Segment
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.files.displacements import read_displacement, write_displacement
from VoxelMorphRegistrationLib.files.images import read_image
from VoxelMorphRegistrationLib.files.label_names import named_segments, write_colour_table
from VoxelMorphRegistrationLib.files.markups import read_points
from VoxelMorphRegistrationLib.files.meshes import read_surface
from VoxelMorphRegistrationLib.files.segmentations import read_segmentation, write_segmentation
from VoxelMorphRegistrationLib.models import catalogue
from VoxelMorphRegistrationLib.models.card import Card
from VoxelMorphRegistrationLib.models.weights import read_weights
from VoxelMorphRegistrationLib.propagation.frames import open_frames
from VoxelMorphRegistrationLib.propagation.motion_model_store import read_modes
from VoxelMorphRegistrationLib.propagation.record import Run, RunRecord
from VoxelMorphRegistrationLib.propagation.table import FrameTable
from VoxelMorphRegistrationLib.space.grid import Grid

ROOT = Path(__file__).resolve().parents[2]
SIZE = (12, 10, 8)


@dataclass(frozen=True)
class Seed:
    """A file, the call that reads it, and whether it is gzip inside which is mutated as well."""

    path: Path
    read: Callable[[Path], object]


def _beside(path: Path, other: Path) -> Path:
    """The path, with a file beside it that belongs to it."""
    if path.parent != other.parent:
        shutil.copy(other, path.parent)
    return path


def _image(seed: int = 0, dtype: type = np.int16) -> sitk.Image:
    image = sitk.GetImageFromArray(np.random.default_rng(seed).integers(0, 200, SIZE[::-1]).astype(dtype))
    image.SetSpacing((1.5, 1.4, 1.6))
    return image


def _all_frames(path: Path) -> None:
    frames = open_frames(path)
    for index in {0, len(frames) - 1}:
        frames.value(index)
        frames[index]


def _field(reference: Path, convention: str | None = None) -> Callable[[Path], object]:
    return lambda path: exchange.read(path, convention, reference=reference, moving=reference, align_corners=True)


def make_seeds(folder: Path) -> list[Seed]:
    """One file of each format, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds: list[Seed] = []

    def add(name: str, read: Callable[[Path], object]) -> Path:
        seeds.append(Seed(folder / name, read))
        return folder / name

    for name in ("image.nii", "image.nii.gz", "image.mha", "packed.mha", "image.nrrd", "packed.nrrd", "image.vtk"):
        sitk.WriteImage(_image(), str(add(name, read_image)), "packed" in name or name.endswith("gz"))
    for name in ("slice.png", "slice.tif"):
        sitk.WriteImage(_image(dtype=np.uint8)[:, :, 0], str(add(name, read_image)))
    series = sitk.JoinSeries([_image(seed) for seed in range(3)])
    for name in ("series.nii", "series.nii.gz", "series.mha", "packed4d.mha", "series.nrrd", "packed.seq.nrrd"):
        sitk.WriteImage(series, str(add(name, _all_frames)), "packed" in name or name.endswith("gz"))
    _list_first(add("first.seq.nrrd", _all_frames))
    sitk.WriteImage(_image(), str(add("pair.hdr", lambda path: read_image(_beside(path, folder / "pair.img")))))
    labels = _image() > 100
    write_segmentation(Segmentation.of(labels), add("drawn.seg.nrrd", read_segmentation))
    named = Segmentation.of(labels, segments=[Segment("liver", "liver", 1, 0, (1.0, 0.5, 0.0))])
    write_segmentation(named, add("named.nii.gz", read_segmentation))
    table = add("names.ctbl", lambda path: named_segments(path.with_suffix(".nrrd"), (1,)))
    write_colour_table(named.segments, table)

    grid = Grid.of(_image())
    vectors = np.random.default_rng(1).normal(0, 1, (*SIZE[::-1], 3)).astype(np.float32)
    field = grid.image(vectors, vector=True)
    reference = folder / "reference.nrrd"
    sitk.WriteImage(_image(), str(reference))
    for name in ("field.nrrd", "field.nii.gz", "field.mha", "field.h5"):
        write_displacement(field, add(name, read_displacement))
    read = _field(reference)
    affine = sitk.AffineTransform(3)
    affine.SetTranslation((1, 2, 3))
    for name in ("affine.tfm", "affine.mat", "affine.h5", "affine.xfm"):
        sitk.WriteTransform(affine, str(add(name, read)))
    spline = sitk.BSplineTransformInitializer(_image(), [3, 3, 3])
    for name in ("spline.tfm", "spline.h5"):
        sitk.WriteTransform(spline, str(add(name, read)))
    exchange.write(field, add("def.nii", _field(reference, "niftyreg")), "niftyreg")
    exchange.write(field, add("warp.mgz", read), "freesurfer", moving=reference)
    shift = grid.image(np.full_like(vectors, 2.0), vector=True)
    exchange.write(shift, add("shift.lta", read), "freesurfer", moving=reference)
    exchange.write(shift, add("elastix.txt", _field(reference, "elastix")), "elastix")
    add("matrix.txt", _field(reference, "niftyreg")).write_text("1 0 0 2\n0 1 0 3\n0 0 1 4\n0 0 0 1\n")
    plain = np.moveaxis(vectors, -1, 0)[None]
    torch_field = _field(reference, "voxelmorph")
    np.save(add("field.npy", torch_field), plain)
    np.savez(add("stored.npz", torch_field), displacement=plain)
    np.savez_compressed(add("packed.npz", torch_field), displacement=plain)
    torch.save(torch.from_numpy(plain), add("field.pt", torch_field))
    torch.save(torch.from_numpy(plain), add("legacy.pt", torch_field), _use_new_zipfile_serialization=False)

    networks = ROOT / "Testing" / "fixtures" / "networks"
    add("weights.h5", read_weights).write_bytes((networks / "dense_2d.h5").read_bytes())
    add("weights.pt", read_weights).write_bytes((networks / "torch_2d.pt").read_bytes())
    bundled = catalogue.bundled_dir()
    card = next(path for path in sorted(bundled.glob("*.json")) if path.name != "catalogue.json")
    add("card.json", Card.read).write_bytes(card.read_bytes())
    add("catalogue.json", catalogue._read_catalogue.__wrapped__).write_bytes((bundled / "catalogue.json").read_bytes())

    _points(add("points.mrk.json", read_points), add("points.fcsv", read_points), add("points.csv", read_points))
    _surfaces(add, folder)
    header = ",".join(FrameTable(folder / "x.csv", (1, 2)).columns)
    rows = "".join(f"{n},{n},done{',1' * (header.count(',') - 2)}\n" for n in range(5))
    add("frames.csv", lambda path: FrameTable(path, (1, 2)).finish()).write_text(f"{header}\n{rows}")
    place = {name: np.asarray(getattr(grid, name)) for name in ("size", "spacing", "origin", "direction")}
    np.savez_compressed(add("motion-model.npz", read_modes), modes=vectors[None], **place)
    run = Run({"strategy": "direct"}, {"name": "m", "sha256": "0"}, {"segmentation 0": "s.nrrd | 1"}, ["f.nrrd | 1"])
    RunRecord(add("run.json", RunRecord.read), [run, run], {1: 1}).write()
    return seeds


def _list_first(path: Path) -> None:
    stack = np.stack([sitk.GetArrayFromImage(_image(seed)) for seed in range(3)], axis=-1)
    head = (
        "NRRD0005\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: 3 12 10 8\n"
        "space directions: none (1.5,0,0) (0,1.4,0) (0,0,1.6)\nkinds: list domain domain domain\n"
        'labels: "time" "" "" ""\nendian: little\nencoding: gzip\nspace origin: (0,0,0)\n'
        "axis 0 index type:=numeric\naxis 0 index values:=0 0.5 1\n\n"
    )
    path.write_bytes(head.encode() + gzip.compress(stack.tobytes()))


def _points(markup: Path, fcsv: Path, table: Path) -> None:
    points = [
        {"id": str(n), "label": f"p{n}", "position": [n, 2.0, 3.0], "positionStatus": "defined"} for n in range(4)
    ]
    document = {"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": points}]}
    markup.write_text(json.dumps(document, indent=1))
    fcsv.write_text(
        "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n# columns = id,x,y,z,ow,ox,oy,oz\n"
        + "".join(f"{n},{n}.5,2,3,0,0,0,1,1,1,0,p{n},,,2,0\n" for n in range(4))
    )
    table.write_text("label,l,p,s\n" + "".join(f"p{n},{n}.5,2,3\n" for n in range(4)))


def _surfaces(add: Callable[[str, Callable[[Path], object]], Path], folder: Path) -> None:
    try:
        import vtk
    except ImportError:
        return
    sphere = vtk.vtkSphereSource()
    sphere.Update()
    for kind, name in (
        ("XMLPolyDataWriter", "mesh.vtp"), ("STLWriter", "mesh.stl"), ("PLYWriter", "mesh.ply"),
        ("OBJWriter", "mesh.obj"), ("PolyDataWriter", "mesh.vtk"),
    ):  # fmt: skip
        writer = getattr(vtk, f"vtk{kind}")()
        writer.SetInputData(sphere.GetOutput())
        writer.SetFileName(str(add(name, read_surface)))
        writer.Write()
