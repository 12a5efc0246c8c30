"""One GPU a worker: each process claims one by a lock that the system drops when the process ends, however it ends."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_held: dict[str, IO[bytes]] = {}
_chosen: str | None = None


def device_of_this_process() -> str:
    """'cuda:K' with a GPU that no other worker of this machine has, 'cpu' where there is none.

    With more workers than GPUs the workers left over share them evenly, by their process numbers. The answer stays the
    same for the life of the process.
    """
    global _chosen
    if _chosen is None:
        number = claim(_gpus())
        _chosen = "cpu" if number is None else f"cuda:{number}"
    return _chosen


def claim(identities: Sequence[str], folder: Path | None = None) -> int | None:
    """The position of the first GPU that no other process has claimed, which this process has from then on.

    Args:
        identities: what distinguishes each GPU on the whole machine. folder: of the locks.
    """
    if not identities:
        return None
    folder = folder or Path(tempfile.gettempdir())
    for number, identity in enumerate(identities):
        if identity in _held:
            continue
        name = hashlib.sha256(identity.encode()).hexdigest()[:16]
        try:
            stream = open(folder / f"slicer-voxelmorph-gpu-{name}.lock", "a+b")
        except OSError:
            continue
        if _locked(stream):
            _held[identity] = stream
            return number
        stream.close()
    return os.getpid() % len(identities)


def _gpus() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        found.append(str(getattr(properties, "uuid", f"{seen} {number}")))
    return found


def _locked(stream: IO[bytes]) -> bool:
    try:
        import fcntl
    except ImportError:
        import msvcrt  # Windows

        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
