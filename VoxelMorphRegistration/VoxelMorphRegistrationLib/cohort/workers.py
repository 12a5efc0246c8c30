"""The workers of a cohort: processes of this machine, or those of a scheduler that runs elsewhere.

Dask distributed is imported here, in functions alone: whoever works with one patient does not need it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import DependencyMissing, InputError, error_summary
from ..installation import install_command
from . import worker_process

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
_REACH_SECONDS = 30.0
_WAIT_SECONDS = 600.0  # for the first worker of a scheduler elsewhere: a batch system may have a queue
_LOCAL = "127.0.0.1"
_NOTHING = logging.CRITICAL
# What Dask measures of itself takes a tenth of a core: each process looks fifty times a second whether its event loop
# is late, twice at what the machine does, and a hundred times at the stack of a worker.
_QUIET = {
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "1 minute",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.disk": False,
    "distributed.worker.profile.enabled": False,
}


@dataclass(frozen=True)
class WorkerSettings:
    """Who does the work.

    Attributes:
        workers: processes on this machine; None for one a GPU, or else for one in four cores.
        threads: of each; None for the cores of this machine, divided among them.
        scheduler: address of a Dask scheduler whose workers are used in place of this machine's.
        dashboard: where Dask's own page is served, such as '127.0.0.1:8787'; None for any port of this machine alone.
    """

    workers: int | None = None
    threads: int | None = None
    scheduler: str | None = None
    dashboard: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.scheduler is not None:
            raise InputError("workers and scheduler: a scheduler has its own workers; give one of the two")
        for name, value in (("workers", self.workers), ("threads", self.threads)):
            if value is not None and value < 1:
                raise InputError(f"{name} {value}: must be 1 or more")

    def counted(self) -> tuple[int, int]:
        """Workers and threads of each on this machine, so that together they are its cores."""
        cores = usable_cores()
        workers = self.workers or _gpus() or max(1, cores // 4)
        return workers, self.threads or max(1, cores // workers)


@contextmanager
def connected(settings: WorkerSettings) -> Iterator[Any]:
    """A `distributed.Client` with workers; they end with the block where they are this machine's.

    A scheduler made here listens on this machine alone.

    Raises DependencyMissing without Dask distributed, InputError when a scheduler cannot be reached or has no workers.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise DependencyMissing(
            f"distributed: not installed, a cohort needs it; install with: {install_command('distributed')}"
        ) from error
    if settings.scheduler is not None:
        from distributed.utils import silence_logging_cmgr

        # What a scheduler that goes away means is said in a line of ours, and not by the client's traceback.
        with silence_logging_cmgr(_NOTHING), _client_of(distributed, settings.scheduler) as client:
            yield client
        return
    workers, threads = settings.counted()
    environment = {name: str(threads) for name in _THREADS}
    choices = {
        "distributed.scheduler.allowed-failures": 0,  # Who dies of what is judged by the cohort.
        # The end of a process of this machine is seen at once; a clock that jumps would end all that live.
        "distributed.scheduler.worker-ttl": None,
        "distributed.nanny.pre-spawn-environ": environment,
        "distributed.worker.preload": [worker_process.__name__],
        # A process that ends is started anew; on a busy machine that takes longer than Dask's 15 seconds.
        "distributed.deploy.lost-worker-timeout": "1 hour",
        **_QUIET,
        "distributed.admin.log-length": 100,
        "distributed.admin.low-level-log-length": 100,
    }
    with (
        dask.config.set(choices),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host=_LOCAL,
            # Without an address Dask serves some pages to the whole network.
            dashboard_address=settings.dashboard or f"{_LOCAL}:0",
            worker_dashboard_address=f"{_LOCAL}:0",
            memory_limit=0,
            env=environment,
            silence_logs=_NOTHING,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def _client_of(distributed: Any, address: str) -> Any:
    try:
        client = distributed.Client(address, timeout=_REACH_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"scheduler {address}: cannot be reached ({error_summary(error)}); start it, give its tls:// address where "
            "it has one, or give --workers"
        ) from error
    try:
        client.wait_for_workers(1, timeout=_WAIT_SECONDS)
    except TimeoutError as error:
        client.close()
        raise InputError(f"scheduler {address}: has no workers; start some, or give --workers") from error
    most = max(client.nthreads().values(), default=1)
    if most > 1:
        client.close()
        raise InputError(
            f"scheduler {address}: a worker of it would work on {most} frames at once, which share one network; start "
            "workers with --nthreads 1 (how many threads one computes with, OMP_NUM_THREADS says)"
        )
    return client


def usable_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Windows, macOS
        return os.cpu_count() or 1


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
