"""Workers of a cohort as processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from Testing.support.cohort_cases import run_cohort, slow_work, write_cohort_case
from Testing.support.propagate_command import same, voxels
from VoxelMorphRegistrationLib.cohort import workers
from VoxelMorphRegistrationLib.cohort.devices import claim
from VoxelMorphRegistrationLib.cohort.workers import WorkerSettings, connected, usable_cores
from VoxelMorphRegistrationLib.errors import InputError

pytest.importorskip("distributed", reason="dask distributed is not installed")


def threads() -> tuple[str, str]:
    return os.environ["OMP_NUM_THREADS"], os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"]


def hosts_listened_on() -> tuple[str, ...]:
    import psutil

    listening = [one for one in psutil.Process().net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    return tuple(sorted({one.laddr.ip for one in listening}))


def seconds_between_looks_at_the_event_loop(dask_worker) -> float:
    """Of a worker: each look costs, and with Dask's fifty a second all processes together lose a tenth of a core."""
    return dask_worker._tick_interval


def pid() -> int:
    return os.getpid()


def test_a_worker_that_is_killed_is_replaced_and_its_frames_are_done_once_with_equal_labels(tmp_path):
    given = write_cohort_case(tmp_path, ("direct", "keyframes"), 8)
    with connected(WorkerSettings(2, threads=1)) as client:
        assert client.scheduler.address.startswith("tcp://127.0.0.1:")
        assert {*client.run(hosts_listened_on, nanny=False).values(), hosts_listened_on()} == {("127.0.0.1",)}
        assert set(client.run(threads).values()) == {("1", "1")}
        assert set(client.run(seconds_between_looks_at_the_event_loop).values()) == {1.0}
        before = set(client.run(pid).values())

        def kill_one_at_work() -> None:
            while not list((tmp_path / "out").rglob("*.part.csv")):
                time.sleep(0.01)
            os.kill(min(before), signal.SIGKILL)

        killer = threading.Thread(target=kill_one_at_work)
        killer.start()
        results = run_cohort(given, tmp_path / "out", client, work=slow_work)
        killer.join()
        client.wait_for_workers(2, timeout=120)
        assert len(set(client.run(pid).values()) - before) == 1
    assert [result.message for result in results] == ["", ""]
    assert all(row["status"] != "failed" for result in results for row in result.rows.values())
    run_cohort(given, tmp_path / "alone")
    for name in ("p0", "p1"):
        table = (tmp_path / "out" / name / "frames.csv").read_text(encoding="utf-8").splitlines()
        assert len(table) == 9 and len({line.split(",")[0] for line in table}) == 9
        assert same(voxels(tmp_path / "out" / name), voxels(tmp_path / "alone" / name))


def test_workers_times_threads_are_the_cores():
    count, each = WorkerSettings(workers=1).counted()
    assert count * each == usable_cores()
    assert WorkerSettings(workers=3 * usable_cores()).counted() == (3 * usable_cores(), 1)
    with pytest.raises(InputError, match="give one of the two"):
        WorkerSettings(workers=1, scheduler="tcp://somewhere:8786")


def test_a_scheduler_that_is_not_there_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr(workers, "_REACH_SECONDS", 1.0)
    with (
        pytest.raises(InputError, match="tcp://127.0.0.1:9: cannot be reached"),
        connected(WorkerSettings(scheduler="tcp://127.0.0.1:9")),
    ):
        pass


def test_workers_of_a_scheduler_that_would_work_on_several_frames_at_once_are_refused():
    class Client:
        closed = False

        def __init__(self, address, timeout):
            pass

        def wait_for_workers(self, count, timeout):
            pass

        def nthreads(self):
            return {"one": 1, "other": 8}

        def close(self):
            Client.closed = True

    with pytest.raises(InputError, match="would work on 8 frames at once.*--nthreads 1"):
        workers._client_of(SimpleNamespace(Client=Client), "tcp://somewhere:8786")
    assert Client.closed


def test_each_process_claims_a_gpu_of_its_own_and_the_next_one_gets_it_when_the_first_ends(tmp_path):
    gpus = ["GPU-a", "GPU-b"]
    # What another process has claimed: a fork that holds the lock until it is told to end.
    ready, end = os.pipe(), os.pipe()
    other = os.fork()
    if other == 0:
        os.write(ready[1], str(claim(gpus, tmp_path)).encode())
        os.read(end[0], 1)
        os._exit(0)
    assert os.read(ready[0], 1) == b"0"
    assert claim(gpus, tmp_path) == 1
    os.write(end[1], b"x")
    os.waitpid(other, 0)
    assert claim(gpus, tmp_path) == 0
    assert claim([], tmp_path) is None
