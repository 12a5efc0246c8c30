"""Which files are opened at all: regular ones, under names that libraries take, beside the header that names them."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError


def check_name(path: Path) -> None:
    """Raises InputError for a name that is not UTF-8: SimpleITK ends the whole process over one."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"{path}: its name is not UTF-8 text; rename it") from None


def check_readable(path: Path) -> None:
    """Raises InputError when a file is missing, is a folder, device or pipe (which would be waited for), or has a name
    that is not UTF-8.
    """
    check_name(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if not path.is_file():
        raise InputError(f"{path}: is no file; give an image file")


def check_no_pipe(path: Path) -> None:
    """Raises InputError for a device or a pipe, whose end would be waited for."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path}: is a device or a pipe and no file; give a file")


def beside(header: Path, name: str) -> Path:
    """The file `name` in the folder of `header` or below.

    Raises InputError when it lies elsewhere (a header from a stranger could have any file of this machine read), is
    no regular file (a device or pipe never ends), or is missing.
    """
    folder = header.parent.resolve()
    if "\0" in name:
        raise InputError(f"{header}: its voxels are in {name!r}, which is no name; copy or export it again")
    data = (folder / name).resolve()
    if not data.is_relative_to(folder):
        raise InputError(f"{header}: its voxels are in {name!r}, outside its own folder; save it as one file")
    if not data.exists():
        raise InputError(f"{header}: its voxels are in {name!r}, which is missing; copy both files")
    if not data.is_file():
        raise InputError(f"{header}: its voxels are in {name!r}, which is no file; save it as one file")
    return data


def check_exact(header: Path, data: Path, needed: int) -> None:
    """Raises InputError when a file of voxels alone holds more bytes than its header accounts for: nobody knows which
    of them are the voxels.
    """
    size = data.stat().st_size
    if size > needed:
        raise InputError(
            f"{header}: its voxels are {needed} bytes and {data.name} has {size}; correct the header's sizes or type, "
            "or what it says to skip"
        )
