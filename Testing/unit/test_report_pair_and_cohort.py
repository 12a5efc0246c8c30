"""The pages of a pair and of a cohort."""

from __future__ import annotations

import re

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.html_page import Page
from Testing.support.propagation_cases import frame, labels, weights_file
from Testing.support.report_pages import pair_report, shifted, write_cohort, write_cohort_table
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.report.cohort import write_cohort_page
from VoxelMorphRegistrationLib.report.pair_page import Pair, write_pair_page


def test_register_writes_a_page_and_json_side_by_side(tmp_path):
    sitk.WriteImage(frame(0), str(tmp_path / "secret fixed.nrrd"))
    sitk.WriteImage(frame(1), str(tmp_path / "secret moving.nrrd"))
    given = {"--fixed": tmp_path / "secret fixed.nrrd", "--moving": tmp_path / "secret moving.nrrd"}
    given |= {"--model": weights_file(tmp_path), "--output-transform": tmp_path / "t.nrrd", "--align": "none"}
    sitk.WriteImage(labels(1), str(tmp_path / "secret labels.nrrd"))
    given |= {"--labels": tmp_path / "secret labels.nrrd", "--output-labels": tmp_path / "wl.nrrd"}
    options = [str(word) for pair in given.items() for word in pair]
    page, table = tmp_path / "pair.html", tmp_path / "pair.json"
    assert main(["register", *options, "--report", str(page), "--report", str(table), "--anonymous"]) == 0
    assert table.is_file() and "secret" not in page.read_text(encoding="utf-8")
    read = Page(page)
    titles = ["checkerboard untouched", "checkerboard after", "outlines on the fixed image"]
    titles += ["length of the displacement", "grid, drawn where it comes from", "Jacobian determinant"]
    for title in titles:
        assert [one["aria-label"] for one in read.all("svg")].count(f"{title}, coronal") == 1
        assert read.words.count(title) >= 3, title
    assert read.open == [] and "Not for diagnostic use." in read.words
    assert "the moving image untouched: its labels" in read.words
    assert main(["register", *options, "--report", str(page), "--report", str(page)]) == 1


def test_a_pair_that_became_less_alike_is_not_to_be_used(tmp_path):
    report = pair_report(similarity={"metric": "ncc", "untouched": 0.9, "before": 0.6, "after": 0.7})
    pair = Pair(frame(0), frame(1), frame(1), shifted(2.0), report)
    words = Page(write_pair_page(pair, tmp_path / "p.html")).words
    assert "Do not use this" in words and "<b>tiny</b>" in words
    assert "Tissue moves by 2 mm on average, at most 2 mm" in words


def test_no_file_is_named_on_the_page_of_a_pair_and_an_anonymous_one_names_no_network_of_the_person(tmp_path):
    given = pair_report(model={"name": "doe-john", "sha256": "ab" * 32}, notes=["doe/start.tfm: its time is left out"])
    pair = Pair(frame(0), frame(1), frame(1), shifted(2.0), given)
    words = Page(write_pair_page(pair, tmp_path / "p.html")).words
    assert "a file that was given: its time is left out" in words and "doe-john" in words and "start" not in words
    text = write_pair_page(pair, tmp_path / "p.html", anonymous=True).read_text(encoding="utf-8")
    assert "doe" not in text and "a network of their own (abababababab)" in text


def test_the_deformed_grid_is_moved_by_the_displacement(tmp_path):
    """Along x, left in the pictures' coronal plane is +x in LPS: 4 mm are two of the 2 mm pixels."""
    first = {}
    for mm in (0.0, 4.0):
        pair = Pair(frame(0), frame(0), frame(0), shifted(mm), pair_report(), labels(0), labels(0))
        text = write_pair_page(pair, tmp_path / "p.html").read_text(encoding="utf-8")
        paths = re.findall(r'<path class="outline grid c2" d="M([\d.]+) ([\d.]+)L', text)
        first[mm] = [tuple(map(float, path)) for path in paths]
    axial, coronal, sagittal = (np.subtract(b, a) for a, b in zip(first[0.0], first[4.0]))
    assert np.allclose(axial, (2, 0)) and np.allclose(coronal, (2, 0)) and np.allclose(sagittal, (0, 0))


@pytest.fixture
def cohort(tmp_path):
    cases = write_cohort(tmp_path, odd={3: (5, 6, 7)})
    cases.append(
        {"case": "<script>", "done": 0, "flagged": 0, "failed": 0, "seconds": 0, "message": "no such sequence"}
    )
    cases.append({"case": "../../etc", "done": 3, "flagged": 0, "failed": 0, "seconds": 2})
    write_cohort_table(tmp_path, cases)
    return tmp_path


def test_a_cohort_has_a_row_a_patient_the_oddest_first_linked_to_its_page(cohort, capsys):
    assert main(["report", str(cohort)]) == 0
    page = Page(cohort / "report.html")
    assert page.open == [] and not page.all("script")
    rows = [link["href"] for link in page.all("a")]
    assert rows[0] == "patient%203/report.html" and len(rows) == 6 and "patient%200/report.html" in rows
    assert "Of 8 patients 6 show nothing that stands out, 1 has frames to look at, 1 has no result." in page.words
    assert page.words.index("<script>") < page.words.index("patient 3") < page.words.index("patient 0")
    assert "no such sequence" in page.words
    assert "least volume 40 (others 100)" in page.words
    assert len([path for path in page.all("svg") if path.get("class") == "spark"]) == 6


def test_an_anonymous_cohort_names_no_patient(cohort):
    text = write_cohort_page(cohort, anonymous=True).read_text(encoding="utf-8")
    assert not re.search(r"etc|no such sequence|href=\"patient|made\d", text) and "patient 4" in text


def test_a_folder_without_the_columns_of_a_cohort_is_refused(tmp_path):
    (tmp_path / "cohort.csv").write_text("case,done\nx,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="lacks the column flagged"):
        write_cohort_page(tmp_path)
