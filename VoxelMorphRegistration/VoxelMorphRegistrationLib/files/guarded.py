"""Readers that a damaged file can crash or hang in C, tried first in a process of their own.

HDF5 can turn in circles over a damaged attribute for ever, VTK's .ply reader can end the process. No check in Python
finds such files, so a short-lived child reads the file first, within limits of time and memory. Only when it comes back
well is the file read here. That costs about half a second, so only formats that need it are read twice: HDF5 and
surfaces.

The child is `sys.executable`, in Slicer its PythonSlicer. It gets no standard input and its output is not shown.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..errors import InputError, error_summary
from .compressed import check_claimed, check_expansion
from .detached import check_readable

_SECONDS = 1.5  # of processor time, once its packages are imported
_BYTES_A_SECOND = 20e6
_WALL = 20  # times that, on a machine that is busy
_IMPORTS = 60  # seconds
_MEMORY = 1 << 30  # beyond what the file's own size asks for
_REFUSED = 3
_ENTRY = "import sys; from VoxelMorphRegistrationLib.files.guarded import _child; _child(*sys.argv[1:])"

# A file that was read once without harm is not tried again while it stays as it is.
_passed: set[tuple[str, int, int]] = set()


def check_hdf5(path: Path) -> None:
    """Raises InputError, naming the file, for an HDF5 file that is damaged, hangs its reader, claims more than it
    holds, or reaches outside itself (external links, external or virtual storage).
    """
    _check(path, "hdf5")


def check_surface(path: Path, reader: str) -> None:
    """Raises InputError, naming the file, for one that crashes or hangs the class of VTK that reads it."""
    _check(path, reader)


def _check(path: Path, kind: str) -> None:
    check_readable(path)
    status = path.stat()
    key = (f"{kind} {path.resolve()}", status.st_size, status.st_mtime_ns)
    if key in _passed:
        return
    seconds = _SECONDS + status.st_size / _BYTES_A_SECOND
    limits = [str(seconds), str(_MEMORY + 8 * status.st_size)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    try:
        child = subprocess.run(
            [_python(), "-c", _ENTRY, kind, str(path), *limits],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_IMPORTS + _WALL * seconds,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: is damaged: its reader comes to no end; copy or export it again") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be tried in a process of its own ({error_summary(error)}); give another kind of file"
        ) from error
    told = child.stdout.decode("utf-8", "replace").strip().splitlines()
    if child.returncode == _REFUSED and told:
        raise InputError(told[-1])
    if child.returncode != 0:
        raise InputError(f"{path}: is damaged: its reader fails on it; copy or export it again")
    _passed.add(key)


def _python() -> str:
    """The Python of this process; inside Slicer `sys.executable` may be the application."""
    name = Path(sys.executable or "").name.lower()
    if name.startswith("python"):
        return sys.executable
    return shutil.which("PythonSlicer") or sys.executable or "python3"


def _child(kind: str, path: str, seconds: str, memory: str) -> None:
    """What runs in the process of its own."""
    try:
        if kind == "hdf5":
            _read_hdf5(Path(path), float(seconds), int(memory))
        else:
            _read_surface(Path(path), kind, float(seconds), int(memory))
    except InputError as error:
        print(error, flush=True)
        os._exit(_REFUSED)
    except BaseException as error:
        print(f"{path}: is damaged ({error_summary(error)}); copy or export it again", flush=True)
        os._exit(_REFUSED)
    os._exit(0)


def _limit(seconds: float, memory: int) -> None:
    """Limits from here on; Windows has none but the time that the parent waits."""
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = usage.ru_utime + usage.ru_stime
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(spent + seconds), math.ceil(spent + seconds) + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _read_hdf5(path: Path, seconds: float, memory: int) -> None:
    import h5py

    _limit(seconds, memory)
    try:
        with h5py.File(path, "r") as file:
            check_hdf5_contents(file, path)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not an HDF5 file, or a truncated or damaged one; copy it again") from error


def check_hdf5_contents(file: Any, path: Path) -> None:
    """Raises InputError when an open file reaches outside itself, or an array claims more than is stored of it; reads
    every attribute and every array once.
    """
    import h5py

    waiting, seen = [file], set()
    stored = path.stat().st_size
    while waiting:
        item = waiting.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        for name in item.attrs:
            item.attrs.get_id(name)
            item.attrs[name]
        if isinstance(item, h5py.Group):
            for name in item:
                link = item.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    raise InputError(f"{path}: {name!r} is a link into another file; give a file that is whole itself")
                waiting.append(item[name])
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise InputError(f"{path}: {item.name!r} is stored in another file; give a file that is whole itself")
            _check_array(item, path, stored)


def _check_array(array: Any, path: Path, stored: int) -> None:
    claimed, kept = int(array.size or 0) * array.dtype.itemsize, array.id.get_storage_size()
    check_claimed(path, claimed, kept)
    check_expansion(path, claimed, stored)
    if array.size:
        array[()]


def _read_surface(path: Path, kind: str, seconds: float, memory: int) -> None:
    import vtk

    _limit(seconds, memory)
    told = vtk.vtkStringOutputWindow()
    vtk.vtkOutputWindow.SetInstance(told)
    reader = getattr(vtk, kind)()
    reader.SetFileName(str(path))
    reader.Update()
    mesh = reader.GetOutput()
    if mesh is not None:
        mesh.GetBounds()
    if "Error reading" in told.GetOutput():
        # Of a legacy file that ends too early VTK makes up the rest, and only remarks upon it.
        raise InputError(f"{path}: the file is cut short or damaged; save or copy it again")
