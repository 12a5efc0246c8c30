"""The pages of a pair and of a cohort in a real browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from Testing.support.propagation_cases import GRID, frame
from Testing.support.run_folders import write_run
from VoxelMorphRegistrationLib.report.cohort import write_cohort_page
from VoxelMorphRegistrationLib.report.pair_page import Pair, write_pair_page


def pair_page(folder: Path) -> Path:
    report = {
        "version": "0.1.0",
        "model": {"name": "tiny", "sha256": "0" * 64},
        "device": "cpu",
        "alignment": "none",
        "network_grid": {"size": [8, 8, 8], "spacing": [1, 1, 1]},
        "similarity": {"metric": "ncc", "before": 0.7, "after": 0.9},
        "folded_percent": 0.0,
        "notes": ["the moving image covers half of the fixed one"],
        "seconds": {"total": 1.0},
    }
    still = GRID.image(np.zeros((*GRID.shape, 3), np.float32), vector=True)
    return write_pair_page(Pair(frame(0), frame(1), frame(0), still, report), folder / "pair.html")


def cohort_page(folder: Path) -> Path:
    lines = ["case,done,flagged,failed,seconds"]
    for n in range(5):
        write_run(folder / f"made{n}", 10, odd=(4,) if n == 3 else (), failed=(), images=False).rename(folder / f"p{n}")
        lines.append(f"p{n},10,{int(n == 3)},0,{20 + n}")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return write_cohort_page(folder)


@pytest.fixture(scope="module", params=[pair_page, cohort_page], ids=["pair", "cohort"])
def page(request, tmp_path_factory) -> Path:
    return request.param(tmp_path_factory.mktemp("page"))


@pytest.mark.parametrize("width, theme", [(375, "light"), (1440, "dark")])
def test_it_opens_from_a_file_without_an_error_fits_and_is_accessible(browser, page, width, theme):
    browser.requests()
    browser.open(page, width, theme)
    assert browser.errors() == [] and browser.requests() == []
    assert browser.script("return document.documentElement.scrollWidth") <= width
    axe = pytest.importorskip("axe_selenium_python", reason="axe-selenium-python is not installed")
    checker = axe.Axe(browser.driver)
    checker.inject()
    assert [violation["id"] for violation in checker.run()["violations"]] == []
