"""The pages of a pair and of a cohort in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from Testing.support.report_pages import a_pair, write_cohort, write_cohort_table
from VoxelMorphRegistrationLib.report.cohort import write_cohort_page
from VoxelMorphRegistrationLib.report.pair_page import write_pair_page


def pair_page(folder: Path) -> Path:
    return write_pair_page(a_pair(notes=["the moving image covers half of the fixed one"]), folder / "pair.html")


def cohort_page(folder: Path) -> Path:
    write_cohort_table(folder, write_cohort(folder, odd={3: (4,)}, patients=5, frames=10))
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
