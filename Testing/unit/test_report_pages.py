"""The page of a run: what it says, what it shows, and what it leaves out."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.html_page import Page
from Testing.support.propagation_cases import weights_file, write_sequence
from Testing.support.run_folders import page_data, write_run
from VoxelMorphRegistrationLib.cli.main import main
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.report import drawing
from VoxelMorphRegistrationLib.report.planes import Orientation, cut
from VoxelMorphRegistrationLib.report.run_page import PageSettings, write_run_page
from VoxelMorphRegistrationLib.space.grid import Grid


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run) -> Page:
    return Page(write_run_page(run))


def test_the_page_says_in_words_how_many_frames_are_fine_which_are_odd_and_which_failed(page):
    assert "Look at 3 frames before this is used." in page.words
    assert "27 of 30 frames look like the others, 2 stand out and should be looked at (9, 17)" in page.words
    assert "1 failed (12)." in page.words and "liver 40 to 100 %" in page.words
    assert "The displacement folds nowhere" in page.words


def test_every_tag_is_closed_and_every_id_is_one_of_its_kind(page):
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_from_elsewhere(page, run):
    for name, attributes in page.tags:
        for key in ("src", "href", "data", "action", "srcset", "poster"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:", "segmentation/", "#")), (name, key, value)
    text = (run / "report.html").read_text(encoding="utf-8")
    found = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    assert found <= {"http://www.w3.org/2000/svg"}  # the name of a vocabulary, which is not an address
    assert "@import" not in text and "url(" not in text


def test_it_stands_at_the_top_that_it_is_not_for_diagnostic_use(page):
    assert "Not for diagnostic use." in page.words[:120]


def test_a_frame_that_stands_out_is_pictured_in_three_planes_with_both_outlines(page):
    assert {card["id"] for card in page.all("article")} == {"frame-9", "frame-17"}
    labels = [svg["aria-label"] for svg in page.all("svg") if svg.get("aria-label", "").startswith("Frame 9, ")]
    assert {label.split(", ")[1].split()[0] for label in labels} == {"axial", "coronal", "sagittal"}
    kinds = {path["class"].split()[1] for path in page.all("path") if path.get("class", "").startswith("outline")}
    assert kinds == {"before", "after"}


def test_labels_are_called_by_their_names(page, run):
    assert "liver has 40 % of its volume" in page.words and "label 1" not in page.words
    assert [series["name"] for series in page_data(run / "report.html")["charts"][0]["series"]] == ["liver", "vessel"]


def test_a_picture_shows_the_voxels_of_its_frame_and_the_outline_their_border(run):
    Image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    page = Page(write_run_page(run))
    # The middle of the filmstrip's first frame: the ball is bright there, and dark at the picture's corner.
    strip = page.all("image")[-12]
    picture = Image.open(io.BytesIO(base64.b64decode(strip["href"].split(",")[1])))
    pixels = np.asarray(picture.convert("L"))
    assert pixels[pixels.shape[0] // 2, pixels.shape[1] // 2] > 200 > 60 > pixels[0, 0]


def test_an_outline_runs_along_the_border_of_a_mask():
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    pieces = set(re.findall(r"M\S+ [^M]+", drawing.outline(mask)))
    assert pieces == {"M2 1V3", "M5 1V3", "M2 1H5", "M2 3H5"}


@pytest.mark.parametrize("seed", range(4))
def test_planes_show_the_right_at_the_left_and_the_head_at_the_top_whatever_the_grid(seed):
    generator = np.random.default_rng(seed)
    axes = np.eye(3)[:, generator.permutation(3)] * generator.choice([-1.0, 1.0], 3)
    tilted = np.asarray(sitk.Euler3DTransform((0, 0, 0), 0.2, -0.1, 0.15).GetMatrix()).reshape(3, 3) @ axes
    grid = Grid((7, 9, 11), (1.0, 2.0, 3.0), (5.0, 6.0, 7.0), tuple(tilted.ravel()))
    image = grid.empty_image(sitk.sitkFloat32)
    points = grid.points()
    # SimpleITK's own reorienting to left, posterior, superior is the oracle.
    for component in range(3):
        values = grid.image(points[..., component].astype(np.float32))
        expected = sitk.GetArrayFromImage(sitk.DICOMOrient(values, "LPS"))[::-1]
        orientation = Orientation.of(Grid.of(image))
        assert np.allclose(orientation.turned(points[..., component]), expected, atol=1e-3)
    assert cut(orientation.turned(points[..., 2]), "coronal", 0).shape == expected[:, 0].shape


def test_a_label_called_script_stays_text(tmp_path):
    evil = "<script>alert(1)</script>"
    out = write_run(tmp_path, 12, odd=(5,), failed=(7,), names=(evil, '"><img src=x onerror=alert(1)>'), message=evil)
    page = Page(write_run_page(out))
    assert evil in page.words and page.open == []
    assert not page.all("img") and len(page.all("script")) == 2
    assert page_data(out / "report.html")["charts"][0]["series"][0]["name"] == evil


def test_an_anonymous_page_names_no_file_and_no_folder(tmp_path):
    out = write_run(tmp_path / "Doe John", 14, odd=(5,), failed=(12,))
    text = write_run_page(out, settings=PageSettings(anonymous=True)).read_text(encoding="utf-8")
    for name in ("Doe", "secret-name", "frame5", "frames/", str(tmp_path), "segmentation/00"):
        assert name not in text, name
    assert "--sequence SEQUENCE" in text


def test_paths_are_relative(run):
    text = (run / "report.html").read_text(encoding="utf-8")
    assert str(run.parent) not in text
    assert "slicer-voxelmorph propagate --sequence frames --output out --frames 0:30" in text


def test_a_run_cut_short_says_so_and_how_to_go_on(tmp_path):
    out = write_run(tmp_path, 12, odd=(), failed=(), wanted=40)
    words = Page(write_run_page(out)).words
    assert "The run is not finished: 12 of 40 frames were there" in words and "goes on from here" in words
    words = Page(write_run_page(out, settings=PageSettings(state="interrupted", reason="a person stopped it"))).words
    assert "The run ended early: a person stopped it. 12 of 40 frames are finished." in words
    assert "The run is going on." in Page(write_run_page(out, settings=PageSettings(state="running"))).words


def test_without_the_images_the_pictures_are_left_out_and_the_page_says_so(tmp_path):
    out = write_run(tmp_path, 14)
    (tmp_path / "frames").rename(tmp_path / "elsewhere")
    page = Page(write_run_page(out))
    assert "Some pictures are left out: the images are not where the run found them" in page.words
    assert not page.all("image") and "Frame 9" in page.words
    assert Page(write_run_page(out, tmp_path / "elsewhere")).all("image")
    with pytest.raises(InputError, match="give the sequence that was propagated"):
        write_run_page(out, write_sequence(tmp_path / "other", 2)[0])


def test_without_pillow_pictures_are_made_by_simpleitk(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    kind, content = drawing.data_uri(pixels).split(";base64,")
    assert kind == "data:image/png" and base64.b64decode(content).startswith(b"\x89PNG")


def test_without_jinja2_the_run_goes_on_and_says_that_there_is_no_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert propagated(tmp_path) == 0
    assert "no page report.html, the run goes on without it (jinja2: not installed" in capsys.readouterr().err
    assert not (tmp_path / "out" / "report.html").exists()
    assert main(["report", str(tmp_path / "out")]) == 3


def propagated(folder: Path, *more: str) -> int:
    frames, segmentation = write_sequence(folder, 3)
    given = {"--sequence": frames, "--segmentation": segmentation, "--model": weights_file(folder)}
    options = [str(word) for pair in given.items() for word in pair]
    return main(["propagate", *options, "--reference-frame", "0", "--output", str(folder / "out"), *more])


def test_propagate_leaves_a_page_that_tells_the_command_and_the_seconds(tmp_path, capsys):
    assert propagated(tmp_path) == 0
    assert "report.html: the page to look at first" in capsys.readouterr().out
    page = Page(tmp_path / "out" / "report.html")
    assert "slicer-voxelmorph propagate --sequence" in page.words and "putting the sequence together" in page.words
    assert "The run is" not in page.words and page_data(tmp_path / "out" / "report.html")["frames"] == [0, 1, 2]
    (tmp_path / "out" / "report.html").unlink()
    assert main(["report", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.html").is_file()


def test_without_report_no_page_is_written(tmp_path):
    assert propagated(tmp_path, "--no-report") == 0
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_run_that_is_stopped_leaves_a_page_that_says_so(tmp_path, monkeypatch):
    from VoxelMorphRegistrationLib.registration.registrar import Registrar

    calls = []

    def stopping(self, *arguments):
        calls.append(1)
        # What a run that is killed leaves is the page of its start.
        assert "The run is going on." in Page(tmp_path / "out" / "report.html").words
        raise KeyboardInterrupt

    monkeypatch.setattr(Registrar, "register", stopping)
    assert propagated(tmp_path) == 130 and calls
    words = Page(tmp_path / "out" / "report.html").words
    assert "The run ended early: a person or the batch system stopped it" in words


def test_a_folder_without_a_run_is_refused_in_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "holds no run.json; give the output folder of a propagation" in capsys.readouterr().err


def test_coefficients_of_a_motion_model_are_drawn(tmp_path):
    out = write_run(tmp_path, 8, odd=(), failed=())
    lines = ["index,coefficient_1,coefficient_2", *(f"{n},{n * 0.5},{-n}" for n in range(8))]
    (out / "motion.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    chart = page_data(write_run_page(out))["charts"][-1]
    assert chart["title"] == "Coefficients of the motion model"
    assert chart["series"][0]["values"] == [n * 0.5 for n in range(8)]


def test_a_2d_run_is_pictured_in_its_one_plane(tmp_path):
    orientation = Orientation.of(Grid((4, 3), (1.0, 2.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0)))
    assert orientation.planes == ("image",) and orientation.spacing == (2.0, 1.0)


def test_a_page_of_the_same_run_is_the_same_but_for_its_time(run):
    def body() -> str:
        text = write_run_page(run).read_text(encoding="utf-8")
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|data-made=\S+", "", text)

    assert body() == body()
