"""frames.csv: cells that no spreadsheet runs and every reader takes."""

from __future__ import annotations

import csv

import pytest

from VoxelMorphRegistrationLib.propagation.frame_result import FrameResult
from VoxelMorphRegistrationLib.propagation.table import FrameTable


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-2-3", "@SUM(A1)", "=1", "'=1", "''-x"])
def test_text_that_begins_like_a_formula_is_quoted_and_read_back_as_it_was(tmp_path, text):
    table = FrameTable(tmp_path / "frames.csv", ())
    table.start({})
    table.append(FrameResult(0, text, "done", 0, message=text), 0)
    for rows in (table.read(), table.finish(), table.read()):
        assert (rows[0]["index_value"], rows[0]["message"]) == (text, text)
    with open(tmp_path / "frames.csv", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["message"] == row["index_value"] == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "-0.25", "+3", "-1e-3", "frame=3", "", "it's"])
def test_numbers_and_other_text_stay_as_they_are(tmp_path, text):
    table = FrameTable(tmp_path / "frames.csv", ())
    table.start({})
    table.append(FrameResult(0, text, "done", 0), 0)
    assert (tmp_path / "frames.csv").read_text().splitlines()[1].startswith(f"0,{text},")


def test_a_name_that_is_no_unicode_and_lines_in_a_message_are_written_out(tmp_path):
    table = FrameTable(tmp_path / "frames.csv", ())
    table.start({})
    table.append(FrameResult(0, "a\udce4", "failed", 0, message="r\udcf6ntgen\n\x00.nrrd: no such\tfile"), 0)
    assert table.read()[0]["message"] == "r\\udcf6ntgen .nrrd: no such file"
    assert table.finish()[0]["status"] == "failed"
