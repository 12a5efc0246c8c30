"""The floors of the library: who may import whom, held by the contracts in pyproject.toml and by what follows."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "VoxelMorphRegistration"
LIBRARY = MODULE / "VoxelMorphRegistrationLib"
AT_THE_ROOT = {"__init__.py", "__main__.py", "errors.py", "installation.py", "version.py"}
IN_SLICER_ALONE = ("slicer", "qt", "ctk")
PROCESS_WIDE = {
    "umask", "chdir", "set_num_threads", "set_num_interop_threads", "SetGlobalDefaultNumberOfThreads",
    "catch_warnings", "simplefilter", "filterwarnings",
    "SetGlobalWarningDisplay", "GlobalWarningDisplayOff", "GlobalWarningDisplayOn",
}  # fmt: skip
OWN_THEIR_PROCESS = {"cli/main.py", "cohort/worker_process.py", "training/__main__.py"}


def imports(path: Path, everywhere: bool) -> Iterator[str]:
    """First names of the foreign packages a file imports: at file scope, or in its functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


def room(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0]


def test_imports_go_downwards_and_no_room_holds_a_circle():
    linter = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run([linter, str(ROOT / "pyproject.toml")], cwd=MODULE, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[done.stdout.find("Contracts") :]


def test_every_file_is_in_a_room_but_the_few_at_the_root():
    assert {path.name for path in LIBRARY.glob("*.py")} == AT_THE_ROOT


def test_only_the_scenes_rooms_and_the_installation_import_slicer():
    for path in LIBRARY.rglob("*.py"):
        if room(path) not in ("mrml", "widgets", "installation.py"):
            assert not set(imports(path, everywhere=True)) & set(IN_SLICER_ALONE), path


def test_outside_the_scenes_rooms_slicer_and_vtk_are_imported_in_functions_alone():
    for path in LIBRARY.rglob("*.py"):
        if room(path) not in ("mrml", "widgets"):
            assert not set(imports(path, everywhere=False)) & {"vtk", "vtkmodules", *IN_SLICER_ALONE}, path


def test_a_library_call_switches_nothing_of_the_whole_process():
    for path in LIBRARY.rglob("*.py"):
        if path.relative_to(LIBRARY).as_posix() not in OWN_THEIR_PROCESS:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & PROCESS_WIDE, path


def test_the_package_is_imported_without_anything_that_pip_installs():
    code = (
        "import sys; before = set(sys.modules); import VoxelMorphRegistrationLib as library; library.__all__\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=MODULE, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"VoxelMorphRegistrationLib", *sys.stdlib_module_names}


def test_every_public_name_can_be_had_from_the_package():
    import VoxelMorphRegistrationLib as library

    for name in library.__all__:
        assert getattr(library, name) is not None, name
    assert set(library.__all__) <= set(dir(library))
