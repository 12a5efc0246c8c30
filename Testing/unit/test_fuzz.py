"""The fuzzing of `make fuzz` notices what it is there to notice."""

from __future__ import annotations

import sys

import pytest

from VoxelMorphRegistrationLib.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the watched processes are forks")


def test_the_fuzzing_itself_notices_what_goes_wrong(tmp_path):
    import os

    from Testing.soak.fuzz import fuzz
    from Testing.soak.fuzz_seeds import Seed

    (tmp_path / "work").mkdir()
    (tmp_path / "a.txt").write_text("12 34")

    def outcome(read):
        return "; ".join(fuzz(Seed(tmp_path / "a.txt", read), tmp_path / "work", 1, 0, None))

    def refuse(path):
        raise InputError("no")

    assert outcome(lambda path: None) == "read"
    assert outcome(refuse) == "refused"
    assert outcome(lambda path: 1 / 0).startswith("ZeroDivisionError")
    assert outcome(lambda path: os.kill(os.getpid(), 9)).startswith("process ended")


def test_a_reader_that_comes_to_no_end_is_a_hang(tmp_path, monkeypatch):
    from Testing.soak import fuzz as module
    from Testing.soak.fuzz_seeds import Seed

    monkeypatch.setattr(module, "SECONDS", 0.2)
    (tmp_path / "work").mkdir()
    (tmp_path / "a.txt").write_text("12 34")

    def endless(path):
        while True:
            pass

    assert list(module.fuzz(Seed(tmp_path / "a.txt", endless), tmp_path / "work", 1, 0, None)) == ["hang"]
