"""Writing files whole or not at all, and the readable line of a foreign error."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, of the same ending, that takes its place when the block ends well.

    Raises InputError when the folder cannot be written to.
    """
    suffix = ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=suffix, dir=path.parent)
        os.close(handle)
        partial = Path(name)
        yield partial
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{path}: could not be written ({last_line(error)}); free disk space or choose another place"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def last_line(error: Exception) -> str:
    """The last line of a message, where ITK puts the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
