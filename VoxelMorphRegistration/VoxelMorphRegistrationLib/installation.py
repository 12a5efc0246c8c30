"""What is missing and how it is installed: inside Slicer without touching what is Slicer's own, elsewhere by pip.

Nothing here asks questions or opens a window, and nothing is installed unless `install` is called. Only the standard
library is imported, so that this works before anything is installed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from .errors import DependencyMissing

TORCH = "torch>=2.2"

_HERE = Path(__file__).resolve().parent
_REQUIREMENTS = _HERE.parent / "Resources" / "requirements.txt"
_SCRIPT = _HERE.parent / "Scripts" / "slicer_voxelmorph.py"
#: Their metadata names torch and numpy, which pip would replace by builds of its own choice.
_WITHOUT_DEPENDENCIES = ("voxelmorph", "neurite", "pystrum")
#: Slicer's own builds; another version breaks Slicer (SimpleITK carries Slicer's image readers).
_NEVER_REPLACED = ("numpy", "scipy", "SimpleITK", "torch", "vtk", "itk", "requests")
_IMPORTED_AS = {"scikit-image": "skimage", "pillow": "PIL"}
_PROVIDED_BY = {"skimage": "scikit-image", "ants": "antspyx", "itk": "itk-elastix", "PIL": "pillow"}
#: What of the downloads a person should know beforehand; torch is larger where the computer has a GPU.
_DOWNLOADS = {"torch": "200 MB to 3 GB", "scipy": "35 MB", "h5py": "5 MB", "nibabel": "3 MB", "SimpleITK": "50 MB"}
#: An old release installs and then lacks what is used here.
_AT_LEAST = {"voxelmorph": "voxelmorph>=0.3.4", "neurite": "neurite>=0.3.4", "torch": TORCH}


def in_slicer() -> bool:
    """Whether this Python is Slicer's (the application or PythonSlicer); slicer-core alone in a plain Python is not."""
    return "SLICER_HOME" in os.environ or hasattr(sys.modules.get("slicer"), "app")


def requirements() -> list[str]:
    """The packages to install, as pip requirements, torch first."""
    if _REQUIREMENTS.is_file():
        lines = (line.partition("#")[0].strip() for line in _REQUIREMENTS.read_text(encoding="utf-8").splitlines())
        listed = [line for line in lines if line]
    else:
        try:
            declared = metadata.requires("slicer-voxelmorph") or []
        except metadata.PackageNotFoundError:
            declared = []
        listed = [
            line.partition(";")[0].strip() for line in declared if "extra ==" not in line and _name(line) != "torch"
        ]
    return [TORCH, *listed]


def sizes(lacking: list[str]) -> list[tuple[str, str]]:
    """The name of each requirement, and about what is downloaded for it ('' for small ones)."""
    return [(_name(requirement), _DOWNLOADS.get(_name(requirement), "")) for requirement in lacking]


def missing() -> list[str]:
    """Those of `requirements()` that are not installed, or too old."""
    return [requirement for requirement in requirements() if not _satisfied(requirement)]


def require() -> None:
    """Raises DependencyMissing, naming the command that installs it, when anything is missing."""
    lacking = missing()
    if lacking:
        names = ", ".join(_name(requirement) for requirement in lacking)
        raise DependencyMissing(f"{names}: not installed; install with: {install_command(_name(lacking[0]))}")


def install_command(module: str | None = None) -> str:
    """The command line that installs a module by its import name; inside Slicer the one that installs everything
    needed.
    """
    if in_slicer():
        return f'"{_slicer_executable()}" --no-splash --no-main-window --python-script "{_SCRIPT}" install'
    package = _PROVIDED_BY.get(module or "", module)
    if package is None:
        wanted = requirements()
    else:
        wanted = [_AT_LEAST.get(package, package)]
    return f"{sys.executable} -m pip install " + " ".join(f'"{one}"' if set(one) & set("<>") else one for one in wanted)


def install(log=print) -> list[str]:
    """Install what is missing, without any window, and return what was installed (nothing when nothing was missing).

    In Slicer: torch by the PyTorch extension's way, without torchvision, the rest with pip under constraints that hold
    Slicer's own packages as they are. Elsewhere: pip of this Python, under the same constraints.
    Raises DependencyMissing, saying what to do, when something cannot be installed.
    """
    lacking = missing()
    if TORCH in lacking:
        log("Installing PyTorch; this takes minutes ...")
        install_torch(log)
    rest = [requirement for requirement in lacking if requirement != TORCH]
    if rest:
        log(f"Installing {', '.join(rest)} ...")
        with tempfile.TemporaryDirectory() as folder:
            for arguments in pip_steps(rest, Path(folder)):
                _pip(arguments)
    importlib.invalidate_caches()
    still = missing()
    if still:
        raise DependencyMissing(
            f"{', '.join(still)}: still not installed; see pip's messages above, then try again: {install_command()}"
        )
    return lacking


def pip_steps(lacking: list[str], folder: Path) -> list[list[str]]:
    """The arguments of each `pip install` that brings `lacking`, in order.

    A file of constraints is written to `folder`, which has to be there until the last one has ended.
    """
    steps = [[TORCH]] if TORCH in lacking else []
    alone = [one for one in lacking if _name(one) in _WITHOUT_DEPENDENCIES]
    others = [one for one in lacking if _name(one) not in _WITHOUT_DEPENDENCIES and one != TORCH]
    if alone:
        steps.append(["--no-deps", *alone])
    if others:
        constraints = folder / "constraints.txt"
        constraints.write_text(_constraints(), encoding="utf-8")
        steps.append(["--constraint", str(constraints), *others])
    return steps


def torch_steps() -> list[tuple[str, list[str]]]:
    """What Slicer's PyTorch extension does to install torch, as modules to run by name with their arguments, so that
    they can run in a process of their own: light-the-torch finds the build for this computer. The extension's own
    function always brings torchvision as well (its argument for that chooses a version alone), runs in Slicer's process
    and imports what it installed.

    Raises DependencyMissing, saying what to do, when the extension is absent: it is asked for so that there is one
    place in Slicer where torch is seen, changed and removed.
    """
    # A module that Slicer has loaded need not have what find_spec asks of it.
    if sys.modules.get("PyTorchUtils") is None and importlib.util.find_spec("PyTorchUtils") is None:
        raise _without_extension()
    return [("pip", ["install", "light-the-torch>=0.5"]), ("light_the_torch", ["install", TORCH])]


def install_torch(log=print) -> None:
    """PyTorch and nothing beside it: in Slicer by `torch_steps`, elsewhere by pip. `log` gets each line that is said.

    Raises DependencyMissing, saying what to do, when it cannot be installed.
    """
    if not in_slicer():
        _pip([TORCH])
        return
    for module, arguments in torch_steps():
        if module == "pip":
            _pip(arguments[1:])
        else:
            _light_the_torch([module, *arguments], log)


def python_program() -> str:
    """The Python to start a process with: in Slicer PythonSlicer, as `sys.executable` may be the application there."""
    return (shutil.which("PythonSlicer") if in_slicer() else None) or sys.executable


def _without_extension() -> DependencyMissing:
    return DependencyMissing(
        "torch: not installed, and Slicer's PyTorch extension that installs it is absent; install with, in Slicer's "
        "Python console: slicer.app.extensionsManagerModel().installExtensionFromServer('PyTorch'), and restart Slicer"
    )


def _pip(arguments: list[str]) -> None:
    """`pip install ARGUMENTS`: Slicer's own wrapper where there is one, since it keeps Slicer responsive and logged."""
    try:
        if not in_slicer():
            subprocess.run([sys.executable, "-m", "pip", "install", *arguments], check=True)
            return
        try:
            # pip_install and not pip_ensure: that one asks, and does nothing at all in Slicer's testing mode.
            from slicer.packaging import pip_install
        except ImportError:  # Slicer 5.10 and earlier.
            import slicer.util

            slicer.util.pip_install(arguments)
            return
        pip_install(arguments, show_progress=False, requester="VoxelMorph")
    except subprocess.CalledProcessError as error:
        raise DependencyMissing(
            f"{' '.join(arguments)}: pip failed with status {error.returncode}; see its messages above "
            "(no network? no permission?) and run it again"
        ) from error


def _light_the_torch(command: list[str], log) -> None:
    """Run in a process of its own, since it changes pip for as long as it lives."""
    process = subprocess.Popen(
        [python_program(), "-m", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows opens a console for it otherwise.
    )
    with process:
        for line in process.stdout or ():
            log(line.rstrip())
    if process.returncode != 0:
        raise DependencyMissing(
            f"{TORCH}: light_the_torch failed with status {process.returncode}; see its messages above (no network? no "
            "permission?) and run it again, or install it in Slicer's module PyTorch Utils"
        )


def _constraints() -> str:
    lines = []
    for package in _NEVER_REPLACED:
        version = _version(package)
        if version is not None:
            lines.append(f"{package}=={version}")
    return "\n".join(lines) + "\n"


def _satisfied(requirement: str) -> bool:
    name = _name(requirement)
    module = _IMPORTED_AS.get(name, name.replace("-", "_"))
    if importlib.util.find_spec(module) is None:
        return False
    wanted = re.search(r">=\s*([\d.]+)", requirement)
    installed = _version(name)
    if wanted is None or installed is None:
        return True
    return _numbers(installed) >= _numbers(wanted.group(1))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """For a comparison. By hand because the package `packaging` may be one of those that are not installed yet."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[+a-z]", version)[0])[:3])


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _slicer_executable() -> str:
    application = getattr(sys.modules.get("slicer"), "app", None)
    launcher = getattr(application, "launcherExecutableFilePath", None)
    if isinstance(launcher, str) and launcher:
        return launcher
    home = os.environ.get("SLICER_HOME")
    return str(Path(home) / "Slicer") if home else "Slicer"
