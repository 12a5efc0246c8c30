"""What Slicer's build installs is exactly what the folder holds: a file that CMake does not list is missing for
users.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "VoxelMorphRegistration"


def listed(variable: str) -> list[str]:
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", "VoxelMorphRegistration")
    return re.search(rf"set\({variable}\s+(.*?)\)", text, re.DOTALL).group(1).split()


def on_disk(folder: Path, keep) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(MODULE).as_posix() for path in files if keep(path) and not path.name.startswith(".")}


def test_every_python_file_is_listed_for_slicers_build_and_no_other():
    scripts = listed("MODULE_PYTHON_SCRIPTS")
    assert len(scripts) == len(set(scripts))
    assert set(scripts) == on_disk(MODULE, lambda path: path.suffix == ".py")


def test_every_resource_is_listed_for_slicers_build_and_no_other():
    resources = listed("MODULE_PYTHON_RESOURCES")
    assert len(resources) == len(set(resources))
    assert set(resources) == on_disk(MODULE / "Resources", lambda path: path.suffix != ".py")


def test_the_wheel_holds_the_whole_library_the_bundled_networks_and_the_parts_of_the_pages(tmp_path):
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    library = set(on_disk(MODULE / "VoxelMorphRegistrationLib", lambda path: True))
    beside = on_disk(MODULE / "Resources" / "Models", lambda path: True)
    beside |= on_disk(MODULE / "Resources" / "Report", lambda path: True)
    assert held == library | {f"VoxelMorphRegistrationLib/{name}" for name in beside}


def test_every_folder_of_the_library_is_a_package():
    for folder in {path.parent for path in (MODULE / "VoxelMorphRegistrationLib").rglob("*.py")}:
        assert (folder / "__init__.py").is_file(), folder


def test_the_module_file_imports_nothing_that_is_pip_installed():
    tree = ast.parse((MODULE / "VoxelMorphRegistration.py").read_text(encoding="utf-8"))
    imported = set()
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            imported |= {name.name.split(".")[0] for name in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            imported.add(statement.module.split(".")[0])
    assert imported <= {*sys.stdlib_module_names, "slicer", "vtk", "qt", "ctk"}


def test_the_entry_for_slicers_index_names_the_extension_as_the_index_wants_it():
    entry = json.loads((ROOT / "VoxelMorph.json").read_text(encoding="utf-8"))
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert entry["build_dependencies"] == ["PyTorch"]
    project = re.search(r"project\((\w+)\)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")).group(1)
    assert project == "VoxelMorph" and not project.startswith("Slicer")
    assert (ROOT / "LICENSE").is_file()
    assert b"\r" not in (ROOT / "VoxelMorph.json").read_bytes()
    repository = entry["scm_url"].rstrip("/").split("/")[-1]
    assert repository == f"Slicer{project}.git" and entry["scm_url"].startswith("https://")


def test_the_extensions_pictures_are_in_the_repository():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for name in ("ICONURL", "SCREENSHOTURLS"):
        urls = re.search(rf'EXTENSION_{name} "([^"]+)"', text).group(1).split()
        assert urls
        for url in urls:
            assert url.startswith("https://raw.githubusercontent.com/"), url
            assert (ROOT / url.split("/main/")[1]).is_file(), url


def test_slicers_build_registers_the_generic_tests_of_the_module_and_its_self_test():
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"slicerMacroBuildScriptedModule\([^)]*WITH_GENERIC_TESTS\s*\)", text)
    assert re.search(
        r"if\(BUILD_TESTING\).*slicer_add_python_unittest\(SCRIPT \$\{MODULE_NAME\}\.py\)", text, re.DOTALL
    )


def test_no_file_of_the_repository_is_larger_than_five_megabytes():
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if git.returncode != 0:
        pytest.skip("this is no clone of the repository, so that nothing says which files are its own")
    tracked = [ROOT / name for name in git.stdout.split("\0") if name]
    assert tracked
    assert [path.name for path in tracked if path.is_file() and path.stat().st_size > 5_000_000] == []
