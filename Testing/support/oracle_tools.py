"""The tools compared with. One that is not installed skips its tests with its name."""

from __future__ import annotations

from types import ModuleType

import pytest


def tool(name: str, package: str) -> ModuleType:
    """The module of a tool, or a skip that names it."""
    return pytest.importorskip(name, reason=f"{package} is not installed")
