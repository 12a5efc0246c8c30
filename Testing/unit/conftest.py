"""What several files of tests begin with. A file that needs another case has a fixture of the same name."""

from __future__ import annotations

import pytest

from Testing.support.propagate_command import ball_case, command


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
