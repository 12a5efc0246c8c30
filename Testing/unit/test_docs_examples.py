"""The Python code that the README and Docs/python.md show runs as it stands, on small files of the names it uses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.exchange_scenes import grid, labels, texture

ROOT = Path(__file__).resolve().parents[2]
GRID = grid((20, 18, 16), (2.5, 2.5, 2.5), np.eye(3))


def blocks(page: str) -> list[str]:
    """The Python code of a page, without what needs Slicer's own Python."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [block for block in found if not re.search(r"\blogic\b", block)]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder, made the current one, with a pair, a sequence of three frames, and the labels of each."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    bends = (0.0, 1.0, 2.0)
    for index, bend in enumerate(bends):
        sitk.WriteImage(texture(GRID, bend=bend), f"frames/{index}.nrrd")
    sitk.WriteImage(texture(GRID), "fixed.nrrd")
    sitk.WriteImage(texture(GRID, bend=2.0), "moving.nrrd")
    sitk.WriteImage(labels(GRID, bend=2.0), "moving_labels.nrrd")
    sitk.WriteImage(labels(GRID), "liver.nrrd")
    return tmp_path


def run(page: str) -> dict[str, object]:
    names: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(blocks(page), 1):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    return names


def test_the_readmes_code_runs(files):
    assert "register" in run("README.md")


def test_the_code_of_the_page_runs_from_top_to_bottom_and_makes_what_it_says(files):
    names = run("Docs/python.md")
    assert names["registration"].similarity["after"] > names["registration"].similarity["before"]
    assert len(list(files.glob("liver_0*.nrrd"))) == 3
    for name in ("warped.nrrd", "transform.nrrd", "flow.npz"):
        assert (files / name).is_file()
    assert names["other"].status == "done"


def test_the_page_names_every_public_name_and_no_other():
    import VoxelMorphRegistrationLib as library

    text = (ROOT / "Docs" / "python.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)", text, flags=re.MULTILINE))
    assert listed == set(library.__all__) - {"__version__"}
