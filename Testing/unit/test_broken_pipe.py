"""Whoever reads what a command prints may go away: the command ends quietly, and its files are whole."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from Testing.support.propagate_command import ball_case

COMMAND = [sys.executable, "-m", "VoxelMorphRegistrationLib"]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes of a POSIX shell")


def piped(arguments, error_too: bool = False) -> tuple[int, str]:
    """Status and standard error of a command whose standard output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            stdout=writing,
            stderr=writing if error_too else subprocess.PIPE,
            text=True,
            timeout=120,
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize("arguments", [["models", "list"], ["models", "info", "any-anatomy"], ["version"], ["help"]])
def test_a_command_that_only_prints_ends_quietly(arguments):
    assert piped(arguments) == (0, "")


@pytest.mark.parametrize("error_too", [False, True])
def test_a_propagation_that_nobody_listens_to_still_finishes(tmp_path, error_too):
    case = ball_case(tmp_path)
    arguments = ["propagate", "--sequence", case["sequence"], "--segmentation", case["segmentation"]]
    arguments += ["--model", case["model"], "--reference-frame", "0", "--output", tmp_path / "out", "--frames", "0:3"]
    status, error = piped([*arguments, "--progress", "json"], error_too)
    assert (status, error) == (0, "")
    assert len((tmp_path / "out" / "frames.csv").read_text().splitlines()) == 4
    assert (tmp_path / "out" / "segmentation.seq.nrrd").is_file()
    assert not list((tmp_path / "out").glob(".partial-*")) and not (tmp_path / "out" / ".lock").exists()
