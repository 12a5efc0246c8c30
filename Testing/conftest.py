"""Where tests find real data. It lies beside the repository and not in it; without it a test says so and is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def _folder(name: str) -> Path:
    folder = _SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the public test {name} are not beside this checkout ({folder})")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    return _folder("data")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    return _folder("weights")


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    return _folder("cases")
