"""What a person reads in the panel can be translated, every control says what it does, and Docs/slicer.md names it."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "VoxelMorphRegistration"
PANEL = MODULE / "Resources" / "UI" / "VoxelMorphRegistration.ui"
SOURCES = [
    MODULE / "VoxelMorphRegistration.py",
    *sorted((MODULE / "VoxelMorphRegistrationLib" / "widgets").glob("*.py")),
]

#: What a person chooses and presses; rows and sections need no tooltip.
CONTROLS = re.compile(r"Button|Box|Edit|Slider|List")
SECTION = "ctkCollapsibleButton"

#: Texts that nobody reads in the window: other programs' words, kinds of files, names, types.
NOT_READ = {
    "numpy is not available",
    "_array_api not found",
    "numpy.core.multiarray failed to import",
    "holds a run with other settings",
    "SlicerVoxelMorph developers",
    ' <a href="',
    " (*.nrrd *.nii *.nii.gz *.mha *.txt)",
    " (*.pt *.pth *.h5 *.keras)",
    "float | None",
}
PIPS_OWN_WORDS = "pip_failures.py"


def _translates(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_", "translate")


def _logs(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(getattr(node.func, "value", None), "id", "") == "logging"


def _is_read(text: str) -> bool:
    return " " in text.strip() and len(re.findall(r"[A-Za-z]{2,}", text)) > 1


def test_every_text_of_the_window_goes_through_a_translation():
    for path in SOURCES:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        # Docstrings, what is translated or logged, and annotations.
        aside = [
            node
            for node in nodes
            if isinstance(node, (ast.Expr, ast.arg)) and not isinstance(getattr(node, "value", None), ast.Call)
        ]
        aside += [node for node in nodes if _translates(node) or _logs(node)]
        hidden = {id(part) for node in aside for part in ast.walk(node)}
        texts = (node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
        for node in texts:
            shown = _is_read(node.value) and id(node) not in hidden and node.value not in NOT_READ
            assert not shown or path.name == PIPS_OWN_WORDS, f"{path.name}:{node.lineno}: {node.value!r}"


def test_a_text_is_filled_in_after_it_was_translated():
    """The translators' tool reads the sources: what is filled in before is nobody's text."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if _translates(node):
                filled = any(isinstance(part, ast.JoinedStr) for argument in node.args for part in ast.walk(argument))
                assert not filled, f"{path.name}:{node.lineno}"


def test_every_control_of_the_panel_says_what_it_does():
    controls = [
        widget
        for widget in ElementTree.parse(PANEL).iter("widget")
        if CONTROLS.search(widget.get("class")) and widget.get("class") != SECTION
    ]
    assert len(controls) > 40
    for widget in controls:
        tip = widget.findtext("property[@name='toolTip']/string") or ""
        # What Apply does depends on what is chosen: the panel says it.
        assert len(tip) > 15 or widget.get("name") == "applyButton", widget.get("name")


def _texts_of_the_panel() -> set[str]:
    """What stands on the widgets of the .ui file, without the colon of a row."""
    found = ElementTree.parse(PANEL).iterfind(".//property[@name='text']/string")
    return {text.text.removesuffix(":") for text in found if text.text}


def _texts_of_the_code() -> list[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]
    calls = (node for tree in trees for node in ast.walk(tree) if _translates(node))
    texts = [argument.value for call in calls for argument in call.args if isinstance(argument, ast.Constant)]
    return [re.sub(r"\{\w+\}", "...", text) for text in texts]


def test_the_page_of_the_panel_names_every_control_by_its_text_and_none_besides():
    page = (MODULE.parent / "Docs" / "slicer.md").read_text(encoding="utf-8")
    section = page[page.index("### Every control") : page.index("## The Python console")]
    named = {name for cell in re.findall(r"^\| (.*?) \|", section, re.MULTILINE) for name in cell.split(" · ")}
    named |= set(re.findall(r"^#### (.*)$", section, re.MULTILINE))
    shown = _texts_of_the_panel()
    assert len(shown) > 50 and shown <= named, shown - named
    of_slicer = "Show 3D"
    known = {*shown, *_texts_of_the_code(), "control", of_slicer}
    assert named <= known, named - known


def test_what_the_tutorials_tell_to_press_stands_in_the_panel():
    page = (MODULE.parent / "Docs" / "tutorials.md").read_text(encoding="utf-8")
    emphasised = re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", page)
    menus = {text for text in emphasised if " > " in text}
    told = {re.sub(r"\s+", " ", text) for text in emphasised if text not in menus}
    known = {*_texts_of_the_panel(), *_texts_of_the_code()}
    assert len(told) > 20 and len(menus) > 2
    assert told <= known, told - known


def test_what_presets_say_is_marked_for_translators_where_it_stands():
    from VoxelMorphRegistrationLib.registration import presets

    tree = ast.parse(Path(presets.__file__).read_text(encoding="utf-8"))
    marked = {node.args[0].value for node in ast.walk(tree) if _translates(node)}
    assert marked == {text for one in presets.PRESETS.values() for text in (one.title, one.description)}
