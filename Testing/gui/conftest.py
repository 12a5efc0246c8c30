"""The host of the window tests. Its application lives in the process, so these tests run in one of their own."""

from __future__ import annotations

import gc
import re

import pytest

from Testing.gui import MODULE_FILE

try:
    import slicer  # noqa: F401
    from PySide6 import QtWidgets  # noqa: F401

    NOT_HERE = ""
except ImportError as error:
    NOT_HERE = f"the window's tests need slicer-core and Qt with its system libraries: {error}"


class _Skipped(pytest.Item):
    def runtest(self):
        pytest.skip(NOT_HERE)


class _SkippedFile(pytest.File):
    """Every test of a file that cannot be imported here, so that the count says how many were skipped."""

    def collect(self):
        for name in re.findall(r"^def (test_\w+)", self.path.read_text(encoding="utf-8"), re.M):
            yield _Skipped.from_parent(self, name=name)


def pytest_pycollect_makemodule(module_path, parent):
    return _SkippedFile.from_parent(parent, path=module_path) if NOT_HERE else None


@pytest.fixture(scope="session")
def application():
    """The application, and everything imported that its tests use: a host that is quit looks for what can go, and need
    not look through these modules again each time.
    """
    from Testing.gui.host import start

    host = start()
    import Testing.support.propagation_cases  # noqa: F401
    import VoxelMorphRegistrationLib.widgets.panel  # noqa: F401

    gc.collect()
    gc.freeze()
    return host


@pytest.fixture
def host(application):
    """The application with an empty scene. A test fails on an exception in a slot and on an unprepared question."""
    host = application
    host.clear()
    yield host
    unanswered = list(host.dialogs.unanswered)
    host.quit()
    escaped = list(host.exceptions)
    host.clear()
    assert not escaped, "\n".join(escaped)
    assert not unanswered, f"questions without a prepared answer: {unanswered}"


@pytest.fixture
def panel(host):
    """The module's widget, opened, with what it imports once it is shown."""
    opened = host.open_module(MODULE_FILE)
    host.process()
    return opened


@pytest.fixture(scope="session")
def warm_worker(application):
    """A worker that outlives the panels of several tests, since each start takes seconds."""
    from VoxelMorphRegistrationLib.widgets.worker_process import WorkerProcess

    class WarmWorker(WorkerProcess):
        def stop(self):
            for job in list(self._jobs):
                self.cancel(job)
            self._jobs.clear()

    worker = WarmWorker()
    yield worker
    WorkerProcess.stop(worker)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A small network."""
    from Testing.support.propagation_cases import weights_file

    return weights_file(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def sequence_panel(host, panel, weights, warm_worker, tmp_path):
    """The panel with a sequence, its segmentation and a run folder chosen."""
    from Testing.gui.scenes import choose_sequence

    panel.panel._worker = warm_worker
    choose_sequence(panel, weights, tmp_path / "run")
    return panel
