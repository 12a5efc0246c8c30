"""The host of the window tests. Its application lives in the process, so these tests run in one of their own."""

from __future__ import annotations

import pytest

from Testing.gui import MODULE_FILE

pytest.importorskip("slicer", reason="slicer-core is not installed")
try:
    from PySide6 import QtWidgets  # noqa: F401
except ImportError as error:
    pytest.skip(f"Qt cannot be loaded: {error}", allow_module_level=True)


@pytest.fixture
def host():
    """The application with an empty scene. A test fails on an exception in a slot and on an unprepared question."""
    from Testing.gui.host import start

    host = start()
    host.clear()
    yield host
    escaped, unanswered = list(host.exceptions), list(host.dialogs.unanswered)
    host.quit()
    host.clear()
    assert not escaped, "\n".join(escaped)
    assert not unanswered, f"questions without a prepared answer: {unanswered}"


@pytest.fixture
def panel(host):
    """The module's widget, opened."""
    return host.open_module(MODULE_FILE)
