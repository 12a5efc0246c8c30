"""What several files of tests begin with. A file that needs another case has a fixture of the same name."""

from __future__ import annotations

import tempfile

import pytest

from Testing.support.propagate_command import ball_case, command
from Testing.support.threads import computing_with
from VoxelMorphRegistrationLib.files import random_access


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Six frames of a moving ball, the segmentation of the first, a small network."""
    return ball_case(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def plain(case, tmp_path_factory):
    """The folder of a finished run on it, with no option; to be looked at, not changed."""
    output = tmp_path_factory.mktemp("plain") / "out"
    assert command(case, output) == 0
    return output


@pytest.fixture(scope="module")
def one_thread():
    """PyTorch computes in one thread."""
    with computing_with(1):
        yield


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files go."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


@pytest.fixture
def passes(monkeypatch):
    """The names of the files that were decompressed, one for each time."""
    found, unpack = [], random_access.unpack
    monkeypatch.setattr(random_access, "unpack", lambda *given: (found.append(given[0].name), unpack(*given))[1])
    return found
