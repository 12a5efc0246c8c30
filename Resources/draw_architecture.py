"""Draw `architecture.png`: the rooms of the library on their floors, and who imports whom.

    python Resources/draw_architecture.py

Needs matplotlib and import-linter (`pip install '.[test]'`). The floors are those of the contract in pyproject.toml,
the arrows are the imports that are found in the code, and the text in each box is the first sentence of the room's
docstring. An import that follows from others is drawn pale: where a imports b and b imports c, also a's own import of
c. Imports of the lowest floor are not drawn, since nearly every room has them.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from pathlib import Path

import grimp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "VoxelMorphRegistration"
LIBRARY = "VoxelMorphRegistrationLib"
PICTURE = ROOT / "Resources" / "architecture.png"

BLUE, GREY, PALE, INK = "#1f5fa8", "#9aa3ad", "#c3cbd3", "#1d2733"
WIDTH, HEIGHT, FLOOR, SPAN = 3.7, 0.98, 1.75, 16.0


def floors() -> dict[int, list[str]]:
    """The rooms of each floor by its number, 1 the lowest; the topmost floor first, without those not built yet."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = re.search(r"^layers = \[\n(.*?)^\]", text, flags=re.MULTILINE | re.DOTALL).group(1)
    named = [re.findall(r"\w+", line) for line in re.findall(r'"(.*?)"', layers)]
    built = {len(named) - n: [room for room in rooms if source_of(room)] for n, rooms in enumerate(named)}
    return {number: rooms for number, rooms in built.items() if rooms}


def source_of(room: str) -> Path | None:
    """The file whose docstring says what the room is."""
    places = (MODULE / LIBRARY / room / "__init__.py", MODULE / LIBRARY / f"{room}.py")
    return next((place for place in places if place.is_file()), None)


def purpose(room: str) -> str:
    text = ast.get_docstring(ast.parse(source_of(room).read_text(encoding="utf-8"))) or ""
    return re.split(r"\.(?:\s|$)", " ".join(text.split()), maxsplit=1)[0].replace("`", "")


def imports() -> set[tuple[str, str]]:
    """(importing room, imported room), of every import found in the code, those inside functions included."""
    if str(MODULE) not in sys.path:
        sys.path.insert(0, str(MODULE))
    graph = grimp.build_graph(LIBRARY, cache_dir=None)
    found = set()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            pair = tuple((name.split(".") + [""])[1] for name in (importer, imported))
            if pair[0] != pair[1] and all(pair) and "__main__" not in pair:
                found.add(pair)
    return found


def needed(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The imports that do not follow from others."""
    below: dict[str, set[str]] = {}

    def reached(room: str) -> set[str]:
        if room not in below:
            direct = {imported for importer, imported in edges if importer == room}
            below[room] = direct.union(*(reached(one) for one in direct)) if direct else set()
        return below[room]

    return {(a, b) for a, b in edges if not any(b in reached(c) for importer, c in edges if importer == a and c != b)}


def described() -> str:
    """The floors and the imports drawn black, as a text kept in the picture: by it a test tells whether it is old."""
    levels = floors()
    drawn = {(a, b) for a, b in imports() if b not in levels[1]}
    lines = [f"{number}: {' | '.join(rooms)}" for number, rooms in levels.items()]
    return "\n".join(lines + [f"{a} -> {b}" for a, b in sorted(needed(drawn))])


def draw() -> None:
    levels = floors()
    edges = {(a, b) for a, b in imports() if b not in levels[1]}
    bare = needed(edges)
    figure, axes = plt.subplots(figsize=(16, 1.45 * len(levels) + 0.4))
    plt.rcParams.update({"font.family": "DejaVu Sans"})
    place = {}
    for height, (number, rooms) in enumerate(reversed(levels.items())):
        y = FLOOR * height
        axes.add_patch(Rectangle((-0.2, y - 0.14), SPAN + 0.4, HEIGHT + 0.28, color="#f0f3f6", zorder=0))
        axes.text(-0.35, y + HEIGHT / 2, str(number), color=GREY, fontsize=13, ha="right", va="center")
        for n, room in enumerate(rooms):
            x = SPAN * (n + 0.5) / len(rooms) - WIDTH / 2
            place[room] = (x, y)
            axes.add_patch(
                FancyBboxPatch(
                    (x, y),
                    WIDTH,
                    HEIGHT,
                    boxstyle="round,pad=0,rounding_size=.12",
                    facecolor="white",
                    edgecolor=BLUE,
                    linewidth=1.4,
                    zorder=4,
                )  # fmt: skip
            )
            axes.text(x + WIDTH / 2, y + HEIGHT - 0.22, room, ha="center", va="center", color=BLUE, fontsize=12,
                      fontweight="bold", zorder=5)  # fmt: skip
            said = "\n".join(textwrap.wrap(purpose(room), 46)[:3])
            axes.text(x + WIDTH / 2, y + HEIGHT - 0.42, said, ha="center", va="top", color=INK, fontsize=7.6, zorder=5)
    # Arrows leave and reach a box at places of their own, in the order of where the other end lies.
    ends: dict[tuple[str, str], float] = {}
    for room in place:
        for side, key in (("out", 0), ("in", 1)):
            here = sorted((e for e in edges if e[key] == room), key=lambda e: place[e[1 - key]][0])
            for n, edge in enumerate(here):
                ends[edge, side] = place[room][0] + WIDTH * (n + 1) / (len(here) + 1)
    for a, b in sorted(edges, key=lambda edge: edge in bare):
        colour, width, order = (INK, 1.3, 3) if (a, b) in bare else (PALE, 0.9, 1)
        axes.add_patch(
            FancyArrowPatch(
                (ends[(a, b), "out"], place[a][1]),
                (ends[(a, b), "in"], place[b][1] + HEIGHT),
                arrowstyle="-|>",
                mutation_scale=9,
                shrinkA=0,
                shrinkB=0,
                color=colour,
                linewidth=width,
                zorder=order,
            )  # fmt: skip
        )
    axes.set_xlim(-0.8, SPAN + 0.4)
    axes.set_ylim(-0.3, FLOOR * len(levels) - 0.45)
    axes.axis("off")
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.995)
    figure.savefig(PICTURE, dpi=90, metadata={"Software": "", "Description": described()})


if __name__ == "__main__":
    draw()
    print(PICTURE)
