from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("slicer", reason="slicer-core is not installed")

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "VoxelMorphRegistration" / "Scripts" / "slicer_voxelmorph.py"
STAND_IN = Path(__file__).with_name("slicer_stand_in.py")


def slicer(*arguments, script=SCRIPT, without="", cwd=None):
    # Slicer has the extension's module folder on its path only through the script itself.
    environment = {**os.environ, "STAND_IN_WITHOUT": without, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [sys.executable, str(STAND_IN), str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=300,
        check=False,
    )


def one_line(done):
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    z, y, x = np.mgrid[:32, :32, :32]
    for name, shift in (("fixed", 0), ("moving", 3)):
        ball = 200 * np.exp(-((x - 16 - shift) ** 2 + (y - 16) ** 2 + (z - 15) ** 2) / 60.0)
        image = sitk.GetImageFromArray(ball.astype(np.float32))
        image.SetSpacing((2, 2, 2))
        sitk.WriteImage(image, str(folder / f"{name}.nrrd"))
    return folder


@pytest.mark.parametrize("arguments", [["version"], ["--", "version"], ["--ignore-rest", "version"]])
def test_the_version_is_printed_and_slicer_left_with_0(arguments):
    done = slicer(*arguments)
    assert done.returncode == 0, done.stderr
    from VoxelMorphRegistrationLib.version import __version__

    assert done.stdout.strip() == __version__


def test_help_is_a_command_since_slicer_takes_the_option():
    done = slicer("help")
    assert done.returncode == 0 and "register" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["register"], ["register", "--no-such-option"]])
def test_wrong_usage_leaves_slicer_with_2(arguments):
    done = slicer(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_missing_file_leaves_slicer_with_1_and_one_line(tmp_path):
    done = slicer(
        "register",
        "--fixed",
        tmp_path / "none.nrrd",
        "--moving",
        tmp_path / "none.nrrd",
        "--output-transform",
        tmp_path / "t.nrrd",
    )
    assert done.returncode == 1
    assert "none.nrrd" in one_line(done)


@pytest.mark.parametrize("package", ["torch", "voxelmorph", "h5py"])
def test_a_missing_package_leaves_slicer_with_3_and_the_command_that_installs_it(package):
    done = slicer("models", "list", without=package)
    assert done.returncode == 3
    line = one_line(done)
    assert package in line and "--python-script" in line and line.rstrip().endswith("install")
    assert "/opt/Slicer/Slicer" in line and str(SCRIPT) in line


def test_installing_without_the_pytorch_extension_says_where_torch_comes_from():
    done = slicer("install", without="torch")
    assert done.returncode == 3
    assert "PyTorch" in done.stderr and "installExtensionFromServer" in done.stderr


def test_nothing_is_installed_when_nothing_is_missing():
    done = slicer("install")
    assert done.returncode == 0 and "Nothing is missing" in done.stdout


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        ("RuntimeError('x')", 1),
        ("KeyboardInterrupt()", 130),
        ("SystemExit(5)", 5),
        ("SystemExit('text')", 1),
        ("MemoryError()", 1),
    ],
)
def test_slicer_is_left_whatever_happens_inside(tmp_path, failure, status):
    module = tmp_path / "VoxelMorphRegistration"
    library = module / "VoxelMorphRegistrationLib"
    library.mkdir(parents=True)
    (module / "Scripts").mkdir()
    script = module / "Scripts" / SCRIPT.name
    script.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    source = SCRIPT.parent.parent / "VoxelMorphRegistrationLib"
    for name in ("errors.py", "installation.py"):
        (library / name).write_text((source / name).read_text(encoding="utf-8"), encoding="utf-8")
    (library / "__init__.py").write_text("", encoding="utf-8")
    (library / "cli").mkdir()
    (library / "cli" / "__init__.py").touch()
    (library / "cli" / "main.py").write_text(f"def start(arguments):\n    raise {failure}\n", encoding="utf-8")
    done = slicer("version", script=script, cwd=tmp_path)
    assert done.returncode == status, done.stderr


def test_a_library_that_cannot_even_be_imported_still_leaves_slicer(tmp_path):
    module = tmp_path / "VoxelMorphRegistration"
    (module / "VoxelMorphRegistrationLib").mkdir(parents=True)
    (module / "Scripts").mkdir()
    (module / "VoxelMorphRegistrationLib" / "__init__.py").write_text("1 +\n", encoding="utf-8")
    script = module / "Scripts" / SCRIPT.name
    script.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    done = slicer("version", script=script, cwd=tmp_path)
    assert done.returncode == 1 and "SyntaxError" in done.stderr


def test_a_pair_is_registered_by_file_inside_slicer(pair, tmp_path):
    done = slicer(
        "register",
        "--fixed",
        pair / "fixed.nrrd",
        "--moving",
        pair / "moving.nrrd",
        "--align",
        "rigid",
        "--output-transform",
        "t.nrrd",
        "--output-volume",
        "w.nrrd",
        "--report",
        "r.json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    fixed, warped = (sitk.ReadImage(str(path)) for path in (pair / "fixed.nrrd", tmp_path / "w.nrrd"))
    moving = sitk.ReadImage(str(pair / "moving.nrrd"))
    before, after = (np.abs(sitk.GetArrayFromImage(image - fixed)).mean() for image in (moving, warped))
    assert after < 0.5 * before
    assert (tmp_path / "t.nrrd").is_file() and (tmp_path / "r.json").is_file()


def test_a_frame_that_fails_leaves_slicer_with_4_and_the_others_done(pair, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    image = sitk.ReadImage(str(pair / "fixed.nrrd"))
    for number in range(2):
        sitk.WriteImage(image, str(frames / f"{number}.nrrd"))
    (frames / "2.nrrd").write_bytes((frames / "1.nrrd").read_bytes()[:900])
    sitk.WriteImage(sitk.Cast(image > 100, sitk.sitkUInt8), str(tmp_path / "labels.nrrd"))
    done = slicer(
        *("propagate", "--sequence", frames, "--segmentation", "labels.nrrd", "--reference-frame", "0"),
        *("--output", "out"),
        cwd=tmp_path,
    )
    assert done.returncode == 4, done.stderr
    assert "2" in done.stderr and "Traceback" not in done.stderr
    written = sorted(path.name for path in (tmp_path / "out" / "segmentation").glob("*.nrrd"))
    assert written == ["0000.nrrd", "0001.nrrd"]
