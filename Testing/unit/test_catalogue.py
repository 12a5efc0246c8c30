"""Published models: download from a server on this machine, import, list and remove; whole files or none."""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.models import catalogue
from VoxelMorphRegistrationLib.models.loading import (
    download_model,
    import_model,
    list_models,
    load_model,
    model_info,
    remove_model,
)
from VoxelMorphRegistrationLib.models.weights import file_sha256

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "networks"
WEIGHTS = FIXTURES / "dense_half_unet.h5"
ARCHITECTURE = {
    "class": "VxmDense",
    "ndim": 3,
    "features": [[4, 6], [6, 6, 4]],
    "convolutions": 1,
    "integration_steps": 5,
    "half_resolution": True,
    "integration_factor": 2,
    "padding": "border",
}


@pytest.fixture(scope="module")
def server():
    """Serves the fixture as /whole.h5, half of it with the whole's length as /short.h5, and 404 for anything else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = WEIGHTS.read_bytes()
            if self.path not in ("/whole.h5", "/short.h5"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if self.path == "/whole.h5" else content[: len(content) // 2])

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture
def user(tmp_path, monkeypatch):
    """An empty user's folder."""
    monkeypatch.setenv("VOXELMORPH_MODELS_DIR", str(tmp_path / "user"))
    return tmp_path / "user"


@pytest.fixture
def published(tmp_path, monkeypatch, user):
    """Replaces the catalogue by one of this test's own, beside one bundled model."""
    bundled = tmp_path / "bundled"
    bundled.mkdir()
    shutil.copy(FIXTURES / "torch_2d.pt", bundled / "built-in.pt")
    architecture = {**ARCHITECTURE, "ndim": 2, "features": [[4, 6, 6], [6, 6, 6, 4]], "integration_steps": 7}
    architecture.update(half_resolution=False, integration_factor=1, padding="zeros")
    (bundled / "built-in.json").write_text(json.dumps({"name": "built-in", "architecture": architecture}))

    def make(**entry):
        space = {"tensor_axes": "LIA", "spacing": 1}
        card = {"name": "far", "architecture": ARCHITECTURE, "space": space, "licence": "MIT"}
        (bundled / "catalogue.json").write_text(json.dumps({"models": [{"card": card, **entry}]}))
        catalogue._read_catalogue.cache_clear()

    monkeypatch.setattr(catalogue, "bundled_dir", lambda: bundled)
    yield make
    catalogue._read_catalogue.cache_clear()


def left_in(folder):
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_a_published_model_is_downloaded_verified_and_loaded_by_name(server, user, published):
    published(url=f"{server}/whole.h5", sha256=file_sha256(WEIGHTS))
    assert model_info("far").state == "downloadable"
    with pytest.raises(InputError, match="slicer-voxelmorph models download far"):
        load_model("far")
    calls = []
    entry = download_model("far", lambda received, total: calls.append((received, total)))
    size = WEIGHTS.stat().st_size
    assert calls[-1] == (size, size)
    assert (entry.state, entry.path) == ("installed", user / "far.h5")
    assert left_in(user) == ["far.h5", "far.json"]
    model = load_model("far")
    assert (model.name, model.sha256, model.card.licence) == ("far", file_sha256(WEIGHTS), "MIT")
    assert model.card.space.tensor_axes == "LIA"
    assert model_info("far").state == "installed"
    with pytest.raises(InputError, match="there already.*models remove far"):
        download_model("far")


@pytest.mark.parametrize(
    "path, sha256, words",
    [
        ("/whole.h5", "0" * 64, "not the published file"),
        ("/short.h5", None, r"ended after \d+ of \d+ bytes"),
        ("/gone.h5", None, "404"),
    ],
)
def test_a_download_that_goes_wrong_installs_nothing(server, user, published, path, sha256, words):
    published(url=server + path, sha256=sha256 or file_sha256(WEIGHTS))
    with pytest.raises(InputError, match=words) as caught:
        download_model("far")
    assert server + path in str(caught.value)
    assert left_in(user) == []


def test_a_server_that_is_not_there_is_named(user, published):
    published(url="http://127.0.0.1:9/whole.h5", sha256="0" * 64)
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9/whole\.h5: it cannot be reached"):
        download_model("far")
    assert left_in(user) == []


def test_an_interrupted_download_leaves_nothing(server, user, published):
    published(url=f"{server}/whole.h5", sha256=file_sha256(WEIGHTS))

    def interrupt(received, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_model("far", interrupt)
    assert left_in(user) == []


def test_an_entry_without_a_checksum_shows_its_address_and_takes_a_local_file(user, published):
    published(url="https://example.org/whole.h5")
    assert model_info("far").state == "manual"
    for action in (download_model, load_model):
        with pytest.raises(InputError, match="https://example.org/whole.h5.*models import far FILE"):
            action("far")
    import_model("far", WEIGHTS)
    assert load_model("far").card.space.tensor_axes == "LIA"


def test_a_file_of_another_architecture_is_not_taken_for_a_published_model(user, published):
    published(url="https://example.org/whole.h5")
    with pytest.raises(InputError, match="architecture is not that of 'far'"):
        import_model("far", FIXTURES / "dense_full.h5")
    published(url="https://example.org/whole.h5", sha256="0" * 64)
    with pytest.raises(InputError, match="not the published file of 'far'"):
        import_model("far", WEIGHTS)
    assert left_in(user) == []


def test_a_bare_file_is_recognised_by_its_checksum_or_by_name_and_architecture(tmp_path, published):
    renamed = tmp_path / "renamed.h5"
    shutil.copy(WEIGHTS, renamed)
    shutil.copy(WEIGHTS, tmp_path / "whole.h5")
    published(url="https://example.org/whole.h5")
    assert load_model(renamed).name == "renamed"
    assert load_model(tmp_path / "whole.h5").name == "far"
    published(url="https://example.org/other.h5", recognised_sha256=[file_sha256(WEIGHTS)])
    assert load_model(renamed).name == "far"


def test_a_file_is_imported_with_options_or_with_the_card_beside_it(tmp_path, user, published):
    published(url="https://example.org/whole.h5")
    import_model("mine", WEIGHTS, tensor_axes="SPL", spacing=2, intensity="percentile", licence="CC0-1.0")
    card = load_model("mine").card
    assert (card.space.tensor_axes, card.space.spacing, card.licence) == ("SPL", 2, "CC0-1.0")
    shutil.copy(user / "mine.h5", tmp_path / "copy.h5")
    shutil.copy(user / "mine.json", tmp_path / "copy.json")
    import_model("second", tmp_path / "copy.h5", spacing=3)
    assert load_model("second").card.space == replace(card.space, spacing=3)
    assert (load_model("second").name, load_model("second").card.weights) == ("second", "second.h5")
    assert {entry.name: entry.state for entry in list_models()} == {
        "built-in": "bundled",
        "mine": "installed",
        "second": "installed",
        "far": "manual",
    }


@pytest.mark.parametrize("name", ["My Model", "../model", ""])
def test_a_name_that_cannot_be_a_file_name_is_refused(user, published, name):
    published(url="https://example.org/whole.h5")
    with pytest.raises(InputError, match="use lower-case letters"):
        import_model(name, WEIGHTS)
    assert left_in(user) == []


def test_a_file_that_is_no_network_is_not_imported(tmp_path, user, published):
    published(url="https://example.org/whole.h5")
    (tmp_path / "page.h5").write_text("<html>")
    with pytest.raises(InputError, match="not an HDF5 file"):
        import_model("mine", tmp_path / "page.h5")
    with pytest.raises(InputError, match="no such weights file"):
        import_model("mine", tmp_path / "none.h5")
    assert left_in(user) == []


def test_removing_takes_both_files_and_only_of_installed_models(user, published):
    published(url="https://example.org/whole.h5")
    import_model("mine", WEIGHTS)
    remove_model("mine")
    assert left_in(user) == []
    for name, words in (("mine", "not known"), ("far", "not installed"), ("built-in", "part of the program")):
        with pytest.raises(InputError, match=words):
            remove_model(name)


def test_a_bundled_name_is_never_overwritten(user, published):
    published(url="https://example.org/whole.h5")
    with pytest.raises(InputError, match=r"there already \(bundled\)"):
        import_model("built-in", WEIGHTS)
    assert load_model("built-in").network.dimension == 2


def test_one_broken_card_does_not_take_the_other_models_away(user, published):
    published(url="https://example.org/whole.h5")
    import_model("mine", WEIGHTS)
    (user / "broken.json").write_text("{")
    assert "mine" in [entry.name for entry in list_models()]
    assert load_model("built-in").name == "built-in"


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch, published):
    published(url="https://example.org/whole.h5")
    (tmp_path / "file").touch()
    monkeypatch.setenv("VOXELMORPH_MODELS_DIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match="VOXELMORPH_MODELS_DIR"):
        import_model("mine", WEIGHTS)


def test_the_catalogue_of_the_program_is_whole():
    published = catalogue.published()
    assert {"brain-t1", "cvpr2018-vm2-cc", "miccai2018", "synthmorph-shapes"} <= set(published)
    for item in published.values():
        assert item.url.startswith("https://")
        assert item.card.licence and item.card.citation and item.card.anatomy and item.card.preparation
        assert item.sha256 is None or (len(item.sha256) == 64 and item.size)


def test_checksums_of_the_catalogue_are_those_of_the_files(shared_weights):
    published = catalogue.published()
    assert file_sha256(shared_weights / "cvpr2018_vm2_cc.h5") == published["cvpr2018-vm2-cc"].sha256
    assert file_sha256(shared_weights / "vxm_dense_brain_T1_3D_mse.h5") in published["brain-t1"].recognised
    # A third party's copy proves nothing about the official address.
    assert published["brain-t1"].sha256 is None


def test_the_released_brain_network_is_imported_under_its_name(shared_weights, user):
    import_model("brain-t1", shared_weights / "vxm_dense_brain_T1_3D_mse.h5")
    model = load_model("brain-t1")
    assert model.card.space.extent == (160, 192, 224)
    assert model.card.intensity.to_dict() == {"rule": "divide", "by": 255, "unless_max_below": 2}
