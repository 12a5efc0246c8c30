"""What a message tells a person to do can be done: options exist, commands are taken, files are made."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.command_options import options_of
from Testing.support.propagation_cases import weights_file
from Testing.support.registration_cases import STRAIGHT, centred_grid, picture_on
from VoxelMorphRegistrationLib.cli.main import _parser, main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.images import read_image

LIBRARY = Path(__file__).resolve().parents[2] / "VoxelMorphRegistration" / "VoxelMorphRegistrationLib"
#: Of FreeSurfer, Connectome Workbench, Dask, pip and Slicer.
FOREIGN = {
    "--inm",
    "--inmni",
    "--outitk",
    "--invert",
    "--src",
    "--trg",
    "--from-fnirt",
    "--constraint",
    "--no-deps",
    "--nthreads",
    "--target",
}
FOREIGN |= {"--disable-pip-version-check", "--no-splash", "--no-main-window", "--python-script"}


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = _parser()._actions
    return next(one for one in actions if isinstance(one, argparse._SubParsersAction)).choices


def sentences() -> list[tuple[str, str]]:
    """Where and what: every text of the library but docstrings and the training's, which has a command of its own."""
    found = []
    for path in sorted(set(LIBRARY.rglob("*.py")) - set((LIBRARY / "training").glob("*.py"))):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body
            and isinstance(node.body[0], ast.Expr)
        }  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found.append((f"{path.name}:{node.lineno}", node.value))
    return found


def test_every_option_that_a_message_names_exists():
    known = options_of(commands().values()) | FOREIGN
    wrong = [
        (where, option)
        for where, text in sentences()
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)
        if option not in known
    ]
    assert not wrong


def test_every_command_that_a_message_names_exists():
    known = set(commands())
    wrong = [
        (where, name)
        for where, text in sentences()
        for name in re.findall(r"slicer-voxelmorph ([a-z]+)", text)
        if name not in {*known, "and"}
    ]
    assert not wrong


def ran(command: str, folder: Path) -> None:
    words = shlex.split(command)
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], cwd=folder, check=True, capture_output=True)


def test_the_command_for_sheared_axes_makes_an_image_that_is_read(tmp_path):
    axes = np.diag([1.5, 1.5, 3.0, 1.0])
    axes[0, 1] = 0.4
    image = nibabel.Nifti1Image(np.random.default_rng(0).integers(0, 99, (9, 8, 7)).astype(np.int16), axes)
    image.set_sform(axes, 1)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "sheared.nii.gz")
    with pytest.raises(InputError, match="sheared") as caught:
        read_image(tmp_path / "sheared.nii.gz")
    ran(re.search(r"(python -c .*) \(for labels", str(caught.value))[1], tmp_path)
    assert read_image(tmp_path / "resampled.nii.gz").GetDimension() == 3


def test_the_command_for_nifti_2_makes_an_image_of_the_same_values(tmp_path):
    values = np.random.default_rng(0).integers(0, 99, (9, 8, 7)).astype(np.int16)
    nibabel.save(nibabel.Nifti2Image(values, np.diag([-1.0, -1.0, 2.0, 1.0])), tmp_path / "second.nii")
    with pytest.raises(InputError, match="NIfTI-2") as caught:
        read_image(tmp_path / "second.nii")
    ran(re.search(r"python -c .*", str(caught.value))[0], tmp_path)
    found = read_image(tmp_path / "nifti1.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(found).T, values) and found.GetSpacing() == (1.0, 1.0, 2.0)


def test_the_command_for_another_tools_start_makes_one_that_register_takes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = picture_on(centred_grid((20, 18, 16), (2.0, 2.0, 2.0), STRAIGHT))
    sitk.WriteImage(image, "FIXED.nrrd")
    np.savetxt("start.txt", np.eye(4))
    pair = ["--fixed", "FIXED.nrrd", "--moving", "FIXED.nrrd", "--output-transform", "t.nrrd"]
    given = [*pair, "--model", str(weights_file(tmp_path)), "--align", "none", "--initial-transform"]
    assert main(["register", *given, "start.txt"]) == 1
    told = capsys.readouterr().err.strip()
    words = shlex.split(told[told.index("slicer-voxelmorph convert") :].replace("FIXED", "FIXED.nrrd"))
    assert main([*words[1:], "--from", "niftyreg"]) == 0 and Path("start.h5").is_file()
    assert main(["register", *given, "start.h5"]) == 0


def test_the_command_for_a_network_that_is_there_already_makes_room_for_another(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VOXELMORPH_MODELS_DIR", str(tmp_path / "models"))
    command = ["models", "import", "mine", str(weights_file(tmp_path))]
    assert main(command) == 0
    assert main(command) == 1
    words = shlex.split(re.search(r"slicer-voxelmorph (models remove .*)", capsys.readouterr().err)[1])
    assert main(words) == 0 and main(command) == 0
