"""The command line as a person meets it: what it writes, what it says, and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import voxelmorph

from VoxelMorphRegistrationLib.cli.main import WAITING_THREADS, main

SHIFT_MM = 4.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two blobs 4 mm apart on different grids, labels of the moving one, and an untrained network's weights."""
    folder = tmp_path_factory.mktemp("pair")
    for name, size, spacing, shift in (("fixed", (30, 26, 22), 2.0, 0.0), ("moving", (40, 36, 32), 1.5, SHIFT_MM)):
        image = sitk.GaussianSource(
            sitk.sitkFloat32, size, (7.0, 9.0, 6.0), (28.0 + shift, 26.0, 22.0), 200.0, (spacing,) * 3
        )
        sitk.WriteImage(image, str(folder / f"{name}.nrrd"))
    sitk.WriteImage(sitk.Cast(image > 100, sitk.sitkUInt16) * 7, str(folder / "labels.nrrd"))
    torch.manual_seed(0)
    network = voxelmorph.nn.models.VxmPairwise(3, 1, 1, nb_features=[4, 4])
    torch.save(network.state_dict(), folder / "weights.pt")
    return folder


def register(folder: Path, output: Path, *options: str, **replaced: str) -> int:
    files = {
        "fixed": folder / "fixed.nrrd",
        "moving": folder / "moving.nrrd",
        "model": folder / "weights.pt",
        "output-transform": output / "T.nrrd",
        **{key.replace("_", "-"): value for key, value in replaced.items()},
    }
    return main(["register", *[str(word) for key, value in files.items() for word in (f"--{key}", value)], *options])


def test_register_writes_everything_it_was_asked_for_on_the_grids_it_promises(folder, tmp_path):
    status = register(
        folder,
        tmp_path,
        "--output-volume",
        str(tmp_path / "W.nrrd"),
        "--labels",
        str(folder / "labels.nrrd"),
        "--output-labels",
        str(tmp_path / "WL.nrrd"),
        "--output-inverse",
        str(tmp_path / "I.nii.gz"),
        "--report",
        str(tmp_path / "R.json"),
        "--dump-network-inputs",
        str(tmp_path / "seen"),
    )
    assert status == 0
    fixed, moving = (sitk.ReadImage(str(folder / f"{name}.nrrd")) for name in ("fixed", "moving"))
    written = {name: sitk.ReadImage(str(tmp_path / name)) for name in ("T.nrrd", "W.nrrd", "WL.nrrd", "I.nii.gz")}
    for name in ("T.nrrd", "W.nrrd", "WL.nrrd"):
        assert written[name].IsSameImageGeometryAs(fixed)
    assert written["I.nii.gz"].IsSameImageGeometryAs(moving)
    assert written["WL.nrrd"].GetPixelID() == sitk.sitkUInt16
    transform = sitk.DisplacementFieldTransform(sitk.Cast(written["T.nrrd"], sitk.sitkVectorFloat64))
    assert transform.TransformPoint((28.0, 26.0, 22.0))[0] == pytest.approx(28.0 + SHIFT_MM, abs=1.5)
    resampled = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, 0.0, moving.GetPixelID())
    np.testing.assert_allclose(
        sitk.GetArrayViewFromImage(resampled), sitk.GetArrayViewFromImage(written["W.nrrd"]), atol=0.02
    )
    report = json.loads((tmp_path / "R.json").read_text(encoding="utf-8"))
    assert report["similarity"]["after"] > report["similarity"]["before"] - 0.05
    assert set(report["seconds"]) == {"total", "read", "align", "network", "integrate", "refine", "warp", "write"}
    assert set(report) >= {"version", "model", "device", "alignment", "network_grid", "similarity", "folded_percent"}
    assert {p.name for p in (tmp_path / "seen").iterdir()} >= {"fixed.nrrd", "moving.nrrd", "warped.nrrd"}


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".h5"])
def test_every_transform_format_holds_the_same_displacement(folder, tmp_path, suffix):
    assert register(folder, tmp_path, align="none") == 0
    assert register(folder, tmp_path, align="none", output_transform=str(tmp_path / f"T{suffix}")) == 0
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "T.nrrd")))
    if suffix == ".h5":
        found = sitk.DisplacementFieldTransform(sitk.ReadTransform(str(tmp_path / "T.h5"))).GetDisplacementField()
    else:
        found = sitk.ReadImage(str(tmp_path / f"T{suffix}"))
    np.testing.assert_allclose(sitk.GetArrayFromImage(found), expected, atol=1e-4)


def _write(path: Path, image: sitk.Image) -> Path:
    sitk.WriteImage(image, str(path))
    return path


def _bad_inputs(folder: Path, tmp: Path) -> dict[str, dict[str, str]]:
    fixed = sitk.ReadImage(str(folder / "fixed.nrrd"))
    far = sitk.Image(fixed)
    far.SetOrigin((5000.0, 0.0, 0.0))
    (tmp / "empty.nrrd").write_bytes(b"")
    (tmp / "short.nrrd").write_bytes((folder / "fixed.nrrd").read_bytes()[:3000])
    (tmp / "text.nii.gz").write_text("not an image")
    return {
        "absent.nrrd": {"fixed": str(tmp / "absent.nrrd")},
        "empty.nrrd": {"fixed": str(tmp / "empty.nrrd")},
        "short.nrrd": {"moving": str(tmp / "short.nrrd")},
        "text.nii.gz": {"moving": str(tmp / "text.nii.gz")},
        "4d.nrrd": {"fixed": str(_write(tmp / "4d.nrrd", sitk.JoinSeries(fixed, fixed)))},
        "constant.nrrd": {"fixed": str(_write(tmp / "constant.nrrd", fixed * 0))},
        "far.nrrd": {"moving": str(_write(tmp / "far.nrrd", far)), "align": "none"},
        "cuda:7": {"device": "cuda:7"},
        "no-such-model": {"model": "no-such-model"},
        "T.txt": {"output_transform": str(tmp / "T.txt")},
    }


@pytest.mark.parametrize(
    "culprit",
    [
        "absent.nrrd",
        "empty.nrrd",
        "short.nrrd",
        "text.nii.gz",
        "4d.nrrd",
        "constant.nrrd",
        "far.nrrd",
        "cuda:7",
        "no-such-model",
        "T.txt",
    ],
)
def test_bad_input_is_one_line_naming_it_and_nothing_is_written(folder, tmp_path, capfd, culprit):
    (tmp_path / "out").mkdir()
    bad = _bad_inputs(folder, tmp_path)[culprit]
    assert register(folder, tmp_path / "out", **bad) == 1
    said = capfd.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert culprit in said[0]
    assert list((tmp_path / "out").iterdir()) == []


def test_fractional_labels_are_refused(folder, tmp_path, capfd):
    labels = sitk.Cast(sitk.ReadImage(str(folder / "labels.nrrd")), sitk.sitkFloat32) * 0.5
    sitk.WriteImage(labels, str(tmp_path / "half.nrrd"))
    assert (
        register(folder, tmp_path, "--labels", str(tmp_path / "half.nrrd"), "--output-labels", str(tmp_path / "o.nrrd"))
        == 1
    )
    assert "half.nrrd" in capfd.readouterr().err
    assert not (tmp_path / "T.nrrd").exists()


def test_two_outputs_of_one_name_are_refused_before_anything_is_computed(folder, tmp_path, capfd):
    assert register(folder, tmp_path, "--output-volume", str(tmp_path / "T.nrrd")) == 1
    assert "--output-transform" in capfd.readouterr().err
    assert not (tmp_path / "T.nrrd").exists()


def test_an_output_must_not_overwrite_an_input(folder, tmp_path, capfd):
    before = (folder / "fixed.nrrd").read_bytes()
    assert register(folder, tmp_path, "--output-volume", str(folder / "fixed.nrrd")) == 1
    assert (folder / "fixed.nrrd").read_bytes() == before


def test_a_wrong_option_is_a_usage_error(capfd):
    assert main(["register", "--fixed", "a.nrrd"]) == 2
    assert main(["register", "--nonsense"]) == 2
    assert main([]) == 2


def test_help_and_version_are_commands_because_slicer_takes_the_flags(capfd):
    assert main(["version"]) == 0
    assert capfd.readouterr().out.strip().count(".") == 2
    assert main(["help"]) == 0
    assert "propagate" in capfd.readouterr().out


def test_models_can_be_listed_imported_and_removed(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("VOXELMORPH_MODELS_DIR", str(tmp_path))
    assert main(["models", "list"]) == 0
    assert "brain-t1" in capfd.readouterr().out
    assert (
        main(["models", "import", "mine", str(folder / "weights.pt"), "--spacing", "2", "--intensity", "minmax"]) == 0
    )
    capfd.readouterr()
    assert main(["models", "info", "mine"]) == 0
    card = json.loads(capfd.readouterr().out)["card"]
    assert card["space"]["spacing"] == 2 and card["intensity"]["rule"] == "minmax"
    assert main(["models", "remove", "mine"]) == 0
    assert main(["models", "info", "mine"]) == 1


def test_a_weights_file_is_described_where_it_lies_and_another_file_is_refused(tmp_path, capfd):
    pytest.importorskip("h5py")
    networks = Path(__file__).resolve().parents[1] / "fixtures" / "networks"
    assert main(["models", "info", str(networks / "dense_full.h5")]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["state"] == "file" and len(found["card"]["training"]["shape"]) == 3
    assert any("built for images of" in note for note in found["card"]["notes"])
    (tmp_path / "no.h5").write_bytes(b"no network")
    assert main(["models", "info", str(tmp_path / "no.h5")]) == 1 and "no.h5" in capfd.readouterr().err


def test_a_published_network_without_a_checksum_says_where_it_is_instead_of_downloading(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("VOXELMORPH_MODELS_DIR", str(tmp_path))
    assert main(["models", "download", "brain-t1"]) == 1
    said = capfd.readouterr().err
    assert "https://" in said and "models import brain-t1" in said


def test_the_options_of_every_command_are_known_before_a_heavy_library_is_imported():
    code = (
        "import sys; from VoxelMorphRegistrationLib.cli.main import main; main(['convert', 'help', '--to', 'none'])\n"
        "print(*sorted({'torch', 'SimpleITK', 'numpy', 'vtk'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [] and "choose from" in done.stderr


def test_waiting_threads_of_the_command_stay_awake_for_a_moment_unless_the_environment_says_otherwise():
    code = (
        "import os, sys; from VoxelMorphRegistrationLib.cli.main import start; assert 'torch' not in sys.modules; "
        "start(['models', 'nothing']); print(*(os.environ.get(n, 'unset') for n in sys.argv[1:]))"
    )
    without = {name: value for name, value in os.environ.items() if name not in WAITING_THREADS}
    for given, expected in (
        ({}, ["PASSIVE", "1500"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", "unset"]),
        ({"GOMP_SPINCOUNT": "0"}, ["unset", "0"]),
    ):
        command = [sys.executable, "-c", code, "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"]
        done = subprocess.run(command, env={**without, **given}, capture_output=True, text=True)
        assert done.stdout.split()[-2:] == expected, done.stderr
