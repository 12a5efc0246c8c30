"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, telling_line


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary file in the folder of `path`, of the same ending, that takes its name when the block ends well.

    Raises InputError, naming `path`, when it cannot be written (no such folder, no room, no permission).
    """
    path = Path(path)
    partial = None
    try:
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix="".join(path.suffixes[-2:]), dir=path.parent)
        os.close(handle)
        partial = Path(name)
        yield partial
        # mkstemp makes files only their owner can read; a result has the permissions any new file would get.
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # SimpleITK, torch and HDF5 report a full disk as RuntimeError
        raise InputError(
            f"{path}: cannot be written ({telling_line(error)}); free space or choose another folder"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
