"""What a worker's process of this machine is set to when it starts; Dask loads it there and nowhere else."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Ctrl-C in a terminal reaches every process: the command ends its workers, each of which would complain by itself.
    ITK's remarks on headers would mix with the command's lines.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import SimpleITK as sitk
    except ModuleNotFoundError:
        return
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
