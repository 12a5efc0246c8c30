"""Slicer's own packages and the PyTorch extension are stood in for: nothing is installed by these tests."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from VoxelMorphRegistrationLib import installation
from VoxelMorphRegistrationLib.errors import DependencyMissing


@pytest.fixture
def without(monkeypatch):
    """Make packages look as if they were not installed, until they are 'installed'."""
    gone = set()
    really = installation._satisfied
    monkeypatch.setattr(installation, "_satisfied", lambda one: installation._name(one) not in gone and really(one))
    return gone


@pytest.fixture
def calls(monkeypatch, without):
    """A Slicer whose pip and PyTorch extension note what they are asked for."""
    noted = []
    slicer, packaging, pytorch = (types.ModuleType(name) for name in ("slicer", "slicer.packaging", "PyTorchUtils"))

    def pip_install(arguments, **options):
        noted.append(("pip", arguments, options))
        constraints = [arguments[i + 1] for i, one in enumerate(arguments) if one == "--constraint"]
        noted.extend(("constraints", open(path, encoding="utf-8").read()) for path in constraints)
        without.difference_update(installation._name(one) for one in arguments if not one.startswith(("-", "/")))

    packaging.pip_install = pip_install
    slicer.app, slicer.packaging = types.SimpleNamespace(launcherExecutableFilePath="/opt/Slicer/Slicer"), packaging
    for module in (slicer, packaging, pytorch):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return noted


def test_nothing_is_missing_where_the_tests_run():
    assert installation.missing() == []
    installation.require()


def test_what_is_missing_is_named_with_pips_command(without):
    without.update({"voxelmorph", "neurite"})
    with pytest.raises(DependencyMissing, match=r"voxelmorph, neurite: .*-m pip install \"voxelmorph>=0.3.4\"$"):
        installation.require()


def test_an_import_name_becomes_the_package_that_provides_it():
    assert installation.install_command("skimage").endswith("-m pip install scikit-image")
    assert installation.install_command("ants").endswith("-m pip install antspyx")


def test_a_release_that_is_too_old_counts_as_missing(monkeypatch):
    versions = {"voxelmorph": "0.2", "torch": "2.2.0+cpu", "neurite": "0.3.10"}
    monkeypatch.setattr(installation, "_version", versions.get)
    assert installation.missing() == ["voxelmorph>=0.3.4"]


class LightTheTorch:
    """A light-the-torch that notes what it was asked for, says a line and ends with `status`."""

    def __init__(self, monkeypatch, folder, without, status=0):
        self._asked = folder / "asked"
        self._without = without
        program = f"import pathlib, sys; pathlib.Path({str(self._asked)!r}).write_text(' '.join(sys.argv[1:]))"
        (folder / "light_the_torch.py").write_text(f"{program}; print('Collecting torch'); sys.exit({status})")
        monkeypatch.setenv("PYTHONPATH", str(folder))

    def log(self, line):
        if line == "Collecting torch":
            self._without.discard("torch")

    @property
    def asked(self):
        return self._asked.read_text()


def test_in_slicer_torch_alone_is_installed_by_the_pytorch_extensions_way_without_a_question(
    calls, without, monkeypatch, tmp_path
):
    light = LightTheTorch(monkeypatch, tmp_path, without)
    without.add("torch")
    assert installation.install(log=light.log) == ["torch>=2.2"]
    assert [call[1] for call in calls] == [["light-the-torch>=0.5"]]
    assert light.asked == "install torch>=2.2"


def test_a_torch_that_could_not_be_installed_in_slicer_is_said_with_the_other_way(
    calls, without, monkeypatch, tmp_path
):
    LightTheTorch(monkeypatch, tmp_path, without, status=2)
    without.add("torch")
    said = []
    with pytest.raises(DependencyMissing, match=r"^torch>=2.2: light_the_torch failed with status 2.*PyTorch Utils"):
        installation.install(log=said.append)
    assert "Collecting torch" in said


def test_processes_in_slicer_are_started_with_its_own_python(monkeypatch):
    monkeypatch.setattr("shutil.which", {"PythonSlicer": "/opt/Slicer/bin/PythonSlicer"}.get)
    monkeypatch.setattr(installation, "in_slicer", lambda: True)
    assert installation.python_program() == "/opt/Slicer/bin/PythonSlicer"
    monkeypatch.setattr(installation, "in_slicer", lambda: False)
    assert installation.python_program() == sys.executable


def test_in_slicer_the_rest_is_installed_without_windows_and_without_touching_slicers_packages(calls, without):
    without.update({"voxelmorph", "neurite", "nibabel", "einops"})
    installation.install(log=lambda text: None)
    alone, others = [call for call in calls if call[0] == "pip"]
    assert alone[1] == ["--no-deps", "voxelmorph>=0.3.4", "neurite>=0.3.4"]
    assert others[1][2:] == ["nibabel", "einops"] and others[1][0] == "--constraint"
    assert all(call[2]["show_progress"] is False for call in (alone, others))
    constraints = next(call[1] for call in calls if call[0] == "constraints")
    for package in ("numpy", "SimpleITK", "torch"):
        assert f"{package}==" in constraints


def test_in_a_slicer_without_its_packaging_module_slicer_util_installs(calls, without, monkeypatch):
    noted = []
    util = types.ModuleType("slicer.util")

    def pip_install(arguments):
        noted.append(arguments)
        without.difference_update(installation._name(one) for one in arguments if not one.startswith(("-", "/")))

    util.pip_install = pip_install
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.delattr(sys.modules["slicer"], "packaging")
    monkeypatch.setitem(sys.modules, "slicer.util", util)
    sys.modules["slicer"].util = util
    without.add("h5py")
    installation.install(log=lambda text: None)
    assert noted[0][-1] == "h5py"


def test_without_the_pytorch_extension_it_says_how_to_get_it(calls, without, monkeypatch):
    without.add("torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(DependencyMissing, match="PyTorch extension.*installExtensionFromServer"):
        installation.install(log=lambda text: None)


def test_torch_is_installed_alone_by_the_extensions_way_and_only_where_the_extension_is(calls, monkeypatch):
    steps = installation.torch_steps()
    assert [module for module, _ in steps] == ["pip", "light_the_torch"]
    assert steps[1][1] == ["install", installation.TORCH] and "torchvision" not in str(steps)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(DependencyMissing, match="installExtensionFromServer"):
        installation.torch_steps()


def test_a_pip_that_fails_is_told_and_not_hidden(without, monkeypatch):
    without.add("h5py")

    def fail(arguments, check):
        raise subprocess.CalledProcessError(1, arguments)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(DependencyMissing, match="h5py.*status 1"):
        installation.install(log=lambda text: None)


def test_in_slicer_the_command_is_slicers_own_command_line(calls):
    command = installation.install_command("h5py")
    assert command.startswith('"/opt/Slicer/Slicer" --no-splash --no-main-window --python-script')
    assert command.endswith('slicer_voxelmorph.py" install')


def test_requirements_never_name_what_is_slicers_own():
    named = {installation._name(one) for one in installation.requirements()}
    assert not named & {"numpy", "scipy", "SimpleITK", "vtk", "itk", "requests"}
