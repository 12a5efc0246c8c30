"""What README and Docs say of files, links, columns, thresholds, options and messages is what is there."""

from __future__ import annotations

import ast
import functools
import pkgutil
import re
from pathlib import Path

import pytest

from Testing.soak.recipes import recipes
from Testing.support.command_options import options_of
from VoxelMorphRegistrationLib.cli.main import _parser
from VoxelMorphRegistrationLib.files import slicer_attributes
from VoxelMorphRegistrationLib.propagation import flags
from VoxelMorphRegistrationLib.propagation.table import FIXED_COLUMNS, FURTHER_COLUMNS
from VoxelMorphRegistrationLib.version import __version__

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "Docs").glob("*.md"))]
LIBRARY = ROOT / "VoxelMorphRegistration" / "VoxelMorphRegistrationLib"
TRAINING = ROOT / "VoxelMorphRegistration" / "Resources" / "Models" / "TRAINING.md"


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def without_code(markdown: str) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", markdown, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """GitHub's anchors: the heading in lower case, without punctuation, spaces as dashes."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text(page), flags=re.M | re.S), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@functools.cache
def messages() -> list[str]:
    """Every text in the library and the module but the descriptions of its code, with a mark for what is filled in."""
    found = []
    for path in (ROOT / "VoxelMorphRegistration").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(text(path))))
        described = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
                found.append(node.value)
    return found


@pytest.mark.parametrize("page", [*PAGES, TRAINING], ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_are_there(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text(page))):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_repository_that_a_page_names_are_there(page):
    named = re.findall(r"`(?:\.\./)*((?:Testing|Resources|VoxelMorphRegistration|Docs)/[\w./-]+)", text(page))
    for name in named:
        there = [ROOT / name, ROOT / "VoxelMorphRegistration" / name]
        assert any(path.exists() for path in there), f"{page.name}: {name}"


@pytest.mark.parametrize("page", ["conventions.md", "architecture.md", "contributing.md"])
def test_rooms_and_names_in_them_that_a_page_of_the_code_names_are_there(page):
    said = text(ROOT / "Docs" / page).replace("TOOL.py", "itk.py")
    rooms = "|".join(folder.name for folder in LIBRARY.iterdir() if (folder / "__init__.py").is_file())
    for name in re.findall(rf"`((?:{rooms})/\w+\.py)`", said):
        assert (LIBRARY / name).is_file(), name
    for constant, file in re.findall(rf"`(_?[A-Z][A-Z_]+)` (?:in|of)\s+`((?:{rooms})/\w+\.py)`", said):
        assert re.search(rf"^{constant}\b", text(LIBRARY / file), flags=re.MULTILINE), f"{constant} in {file}"
    for name in re.findall(rf"`((?:Grid|{rooms})(?:\.\w+)+)`", said):
        found = f"space.grid.{name}" if name.startswith("Grid.") else name
        assert pkgutil.resolve_name(f"{LIBRARY.name}.{found}") is not None, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_options_that_there_are(page):
    known = options_of([_parser()])
    commands = re.findall(r"slicer[-_]voxelmorph(?:\.py)? (?:\w+ (?:[^`\n]|\\\n)*)", text(page))
    for command in commands:
        for option in re.findall(r"(?<=\s)--[a-z][\w-]*", command):
            assert option in known, f"{page.name}: {option} in {command}"


def test_every_page_can_be_reached_from_the_readme_and_the_readme_is_short():
    readme = text(ROOT / "README.md")
    assert len(readme.splitlines()) <= 150
    for page in PAGES[1:]:
        assert f"({page.relative_to(ROOT).as_posix()})" in readme


def test_the_recipes_that_the_soak_test_runs_are_those_of_the_page():
    whole, redo, points, patients = recipes()
    assert "--dry-run" in whole and "--overwrite" in redo and "--points" in points and "patients/*/" in patients


def test_the_citation_names_todays_version():
    citation = text(ROOT / "CITATION.cff")
    assert re.search(r"^version: (.*)$", citation, flags=re.MULTILINE).group(1) == __version__


def holds(said, parts):
    """Whether a text has these parts, one after the other."""
    at = 0
    for part in parts:
        at = said.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def test_every_message_in_troubleshooting_is_one_of_the_program():
    """`...` stands for what is filled in. Several messages of one row are separated by commas."""
    rows = re.findall(r"^\| (`.*?`) \|", text(ROOT / "Docs" / "troubleshooting.md"), re.MULTILINE)
    quoted = [message for row in rows for message in re.split("(?<=`), (?=`)", row)]
    said = messages()
    assert len(quoted) > 80
    for message in quoted:
        assert any(holds(one, message[1:-1].split("...")) for one in said), message


def test_every_column_of_the_table_of_frames_is_described():
    page = text(ROOT / "Docs" / "outputs.md")
    section = page[page.index("### frames.csv") : page.index("### Flags")]
    for column in (*FIXED_COLUMNS, *FURTHER_COLUMNS, "volume_ml_L", "centroid_r_L", "centroid_a_L", "centroid_s_L"):
        assert f"`{column}`" in section, column


def test_every_attribute_and_reference_of_nodes_is_described():
    page = text(ROOT / "Docs" / "slicer.md")
    names = {value for name, value in vars(slicer_attributes).items() if name[0].isupper() and name.isupper()}
    names -= {slicer_attributes.SEGMENT}  # the beginning of keys in files
    assert len(names) > 15
    for name in names:
        assert f"`{name}`" in page or f'"{name}"' in page, name


def test_every_flag_is_described_with_its_threshold():
    page = text(ROOT / "Docs" / "outputs.md")
    section = page[page.index("### Flags") : page.index("### run.json")]
    said = messages()
    for flag in re.findall(r"^\| `(.*?)` \|", section, flags=re.MULTILINE):
        assert any(holds(one, re.split(r"\.\.| L ", flag)) for one in said), flag
    for row, threshold in (
        ("similarity inside the segmentation fell", flags._SIMILARITY_DROP),
        ("lower than in other frames", flags._SIMILARITY_SPREAD),
        ("of the voxels fold", flags._FOLDED_PERCENT),
        ("points come back", flags._INVERSE_MM),
        ("volume of label L jumps", flags._VOLUME_JUMP_PERCENT),
        ("| `label L jumps by", flags._CENTROID_JUMP_MM),
    ):
        line = next(line for line in section.splitlines() if row in line)
        assert re.search(rf"(?<![\d.]){threshold:g}(?!\d)", line.split("|")[2]), line
    assert f"{flags._DEVIATIONS:g} robust standard deviations" in section


def test_the_picture_shows_todays_rooms_and_the_imports_that_matter():
    pytest.importorskip("grimp", reason="import-linter is not installed")
    image = pytest.importorskip("PIL.Image", reason="pillow, with matplotlib, is not installed")
    from Resources.draw_architecture import PICTURE, described

    with image.open(PICTURE) as picture:
        assert picture.text["Description"] == described(), "run: python Resources/draw_architecture.py"
