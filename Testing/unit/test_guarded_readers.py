"""Files that crash, hang or fill the memory of the libraries that read them are refused within seconds."""

from __future__ import annotations

import io
import json
import resource
import shutil
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.exchange.array_files import read_array
from VoxelMorphRegistrationLib.files import guarded
from VoxelMorphRegistrationLib.files.itk_transforms import read_transform
from VoxelMorphRegistrationLib.models import catalogue, store
from VoxelMorphRegistrationLib.models.weights import read_weights

HERE = Path(__file__).resolve().parents[1] / "fixtures"
HANGS = HERE / "damaged" / "hdf5_attribute_without_end.h5"
CRASHES = HERE / "damaged" / "surface_of_too_many_points.ply"


def refused(call, *parts):
    with pytest.raises(InputError) as caught:
        call()
    for part in parts:
        assert str(part) in str(caught.value)


def test_weights_that_hdf5_never_finishes_reading_are_refused_in_seconds():
    started = time.monotonic()
    refused(lambda: read_weights(HANGS), HANGS, "damaged")
    assert time.monotonic() - started < 60  # The limit is 2 s of processor time, on a machine that may be busy.


def test_a_surface_that_ends_the_process_of_vtk_is_refused():
    pytest.importorskip("vtk")
    from VoxelMorphRegistrationLib.files.meshes import read_surface

    refused(lambda: read_surface(CRASHES), CRASHES, "damaged")


def test_good_weights_are_tried_once_and_read(monkeypatch):
    path = HERE / "networks" / "dense_2d.h5"
    read_weights(path)
    monkeypatch.setattr(guarded.subprocess, "run", lambda *a, **k: pytest.fail("tried again"))
    read_weights(path)


def _outside(file, kind):
    if kind == "external link":
        file["model_weights"] = h5py.ExternalLink("other.h5", "/model_weights")
    elif kind == "external storage":
        file.create_dataset("kernel", (4,), "f4", external=[("/etc/hostname", 0, 16)])
    elif kind == "virtual storage":
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "kernel", (4,))
        file.create_virtual_dataset("kernel", layout)
    else:
        file.create_dataset("kernel", (1 << 16, 1 << 16), "f4", chunks=(256, 256))


@pytest.mark.parametrize("kind", ["external link", "external storage", "virtual storage", "chunks without data"])
def test_hdf5_that_reaches_outside_itself_or_holds_nothing_is_refused(tmp_path, kind):
    path = tmp_path / "weights.h5"
    shutil.copyfile(HERE / "networks" / "dense_2d.h5", path)
    with h5py.File(path, "r+") as file:
        if kind == "external link":
            del file["model_weights"]
        _outside(file, kind)
    refused(lambda: read_weights(path), path)


def test_a_transform_file_of_hdf5_is_guarded_as_well(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["TransformGroup"] = h5py.ExternalLink("other.h5", "/TransformGroup")
    refused(lambda: read_transform(path), path, "another file")


def _npy_header(shape):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _archive_of_claims(path, kind):
    if kind == "npy":
        path.write_bytes(_npy_header((3, 4000, 4000, 400)) + bytes(100))
    elif kind == "npz":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("flow.npy", _npy_header((3, 4000, 4000, 400)) + bytes(100))
    elif kind == "npz bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("flow.npy", _npy_header((3, 10, 10, 10)) + bytes(12000))
            with archive.open("bomb.npy", "w", force_zip64=True) as member:
                member.write(_npy_header((40_000_000,)))
                for _ in range(160):
                    member.write(bytes(1_000_000))
    else:
        torch.save(torch.zeros(1).expand(3, 4000, 4000, 400), path)


@pytest.mark.parametrize("name, kind", [("a.npy", "npy"), ("a.npz", "npz"), ("a.pt", "torch")])
def test_an_array_that_claims_more_than_the_file_holds_is_refused_without_taking_memory(tmp_path, name, kind):
    _archive_of_claims(tmp_path / name, kind)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(lambda: read_array(tmp_path / name), tmp_path / name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_only_the_wanted_array_of_an_archive_is_unpacked(tmp_path):
    path = tmp_path / "a.npz"
    _archive_of_claims(path, "npz bomb")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_array(path).shape == (3, 10, 10, 10)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("name", ["catalogue.json", "Catalogue.JSON", "mine.json", "mine.pt", "mine.h5"])
def test_a_model_may_not_be_called_as_a_file_is(name, tmp_path, monkeypatch):
    monkeypatch.setenv("VOXELMORPH_MODELS_DIR", str(tmp_path))
    refused(lambda: store.import_model(name, HERE / "networks" / "dense_2d.h5"), name, "leave out the ending")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["catalogue", "con", "nul.v2", "model."])
def test_names_that_stand_for_other_files_are_not_taken_for_a_model(tmp_path, monkeypatch, name):
    monkeypatch.setenv(catalogue.MODELS_DIR_VARIABLE, str(tmp_path))
    refused(lambda: store.import_model(name, HERE / "networks" / "dense_2d.h5"), name, "choose another")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["{", "[" * 100_000, '{"name": 5}', "[]", '{"name": "x", "architecture": {"ndim": []}}']
)
def test_one_bad_card_takes_no_other_model_away(tmp_path, monkeypatch, content, caplog):
    monkeypatch.setenv(catalogue.MODELS_DIR_VARIABLE, str(tmp_path))
    (tmp_path / "bad.json").write_text(content)
    assert catalogue.find_installed(catalogue.DEFAULT_MODEL)[0].is_file()
    assert "bad.json" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda item: item.update(card=None),
        lambda item: item.update(url=7),
        lambda item: item.update(url="file:///etc/hostname"),
        lambda item: item.update(recognised_sha256="abc"),
        lambda item: item.update(size="big"),
        lambda item: item["card"].update(architecture=3),
        lambda item: item["card"].update(space={"spacing": "wide"}),
    ],
)
def test_one_bad_entry_of_the_catalogue_takes_no_other_away(tmp_path, change):
    content = json.loads((catalogue.bundled_dir() / "catalogue.json").read_text())
    count = len(content["models"])
    change(content["models"][0])
    (tmp_path / "catalogue.json").write_text(json.dumps(content))
    assert len(catalogue._read_catalogue(tmp_path / "catalogue.json")) == count - 1


def test_a_damaged_catalogue_is_named(tmp_path):
    (tmp_path / "catalogue.json").write_text("[1, 2")
    refused(lambda: catalogue._read_catalogue(tmp_path / "catalogue.json"), "catalogue.json", "install the program")


def test_the_bytes_of_a_surface_do_not_depend_on_what_was_written_before(tmp_path):
    vtk = pytest.importorskip("vtk")
    from VoxelMorphRegistrationLib.annotations.surface import Surface
    from VoxelMorphRegistrationLib.files.meshes import write_surface

    def written(order, folder):
        sphere = vtk.vtkSphereSource()
        sphere.Update()
        mesh = sphere.GetOutput()
        mesh.GetPointData().SetNormals(None)
        surface = Surface(mesh)
        (tmp_path / folder).mkdir()
        for shift in order:
            write_surface(surface.at(surface.points + shift), tmp_path / folder / f"{shift}.vtp")
        return [(tmp_path / folder / f"{shift}.vtp").read_bytes() for shift in range(3)]

    assert written((0, 1, 2), "forwards") == written((2, 1, 0), "backwards")
