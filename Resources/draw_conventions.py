"""Draw `conventions.png`: why the same displacement looks different in every tool. Needs matplotlib.

    python Resources/draw_conventions.py

All numbers in the picture are computed by the library from one displacement.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse, FancyArrowPatch, Polygon, Rectangle

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent / "VoxelMorphRegistration"))

from VoxelMorphRegistrationLib.exchange import to_sampling_grid  # noqa: E402
from VoxelMorphRegistrationLib.space.affine import lps_to_ras  # noqa: E402
from VoxelMorphRegistrationLib.space.displacement import from_array, to_voxel_flow  # noqa: E402
from VoxelMorphRegistrationLib.space.grid import Grid  # noqa: E402

BLUE, ORANGE, GREEN, GREY, INK = "#1f5fa8", "#d9620b", "#2c8a57", "#9aa3ad", "#1d2733"
plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10.5, "text.color": INK, "axes.edgecolor": GREY})


def arrow(axes, start, end, color, width=2.4, style="-|>", curve=0.0, line="-"):
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle=style,
            mutation_scale=16,
            linewidth=width,
            color=color,
            linestyle=line,
            shrinkA=0,
            shrinkB=0,
            connectionstyle=f"arc3,rad={curve}",
            zorder=5,
        )
    )


def panel(axes, title, question):
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=24)
    axes.text(0, 1.02, question, transform=axes.transAxes, fontsize=10.5, color="#566270", va="bottom")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def numbers(values, unit=""):
    return "(" + ", ".join(f"{value:+.1f}".replace("-", "\N{MINUS SIGN}") for value in values) + f"){unit}"


def voxels_or_millimetres(axes):
    """One arrow on an oblique, anisotropic grid: counted along its own axes in voxels, or along the room's in mm."""
    panel(axes, "1  Voxels or millimetres?", "the same arrow, counted along the image's axes or along the room's")
    turn = np.deg2rad(25)
    direction = (np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn))
    grid = Grid((7, 5), (2.0, 3.2), (0.0, 0.0), direction)
    start = np.array([1, 1])
    vector_mm = grid.axes @ np.array([3.0, 2.0])
    field = from_array(np.broadcast_to(vector_mm, (*grid.shape, 2)), grid)
    flow = to_voxel_flow(field)[:, 0, 0]
    for i in range(grid.size[0] + 1):
        line = np.array([[i - 0.5, -0.5], [i - 0.5, grid.size[1] - 0.5]]) @ grid.axes.T
        axes.plot(*line.T, color=GREY, linewidth=0.8)
    for j in range(grid.size[1] + 1):
        line = np.array([[-0.5, j - 0.5], [grid.size[0] - 0.5, j - 0.5]]) @ grid.axes.T
        axes.plot(*line.T, color=GREY, linewidth=0.8)
    axes.plot(*grid.points().reshape(-1, 2).T, ".", color=GREY, markersize=3)
    at = grid.axes @ start
    end = at + vector_mm
    corner_index, corner_mm = at + grid.axes @ np.array([3.0, 0.0]), np.array([end[0], at[1]])
    axes.plot(*np.array([at, corner_index, end]).T, "--", color=ORANGE, linewidth=1.8)
    axes.plot(*np.array([at, corner_mm, end]).T, "--", color=BLUE, linewidth=1.8)
    arrow(axes, at, end, INK, 3)
    axes.text(
        0.0,
        -0.03,
        f"voxels, array axes (j, i): {numbers(flow)}   VoxelMorph, MONAI",
        color=ORANGE,
        transform=axes.transAxes,
        va="top",
        fontweight="bold",
    )
    axes.text(
        0.0,
        -0.105,
        f"mm, (x, y): {numbers(vector_mm)}   ITK, ANTs, elastix, NiftyReg, FreeSurfer, Slicer",
        color=BLUE,
        transform=axes.transAxes,
        va="top",
        fontweight="bold",
    )
    axes.margins(0.03)


def pull_or_push(axes):
    """Where the arrow starts: a field lies on the fixed grid and points into the moving image."""
    panel(
        axes,
        "2  Pull or push?",
        "a field lies on the FIXED grid; images come back along its arrows, points go with them",
    )
    for left, name, color in ((0, "fixed image", BLUE), (13, "moving image", ORANGE)):
        axes.add_patch(Rectangle((left, 0), 10, 10, facecolor="#f4f6f8", edgecolor=color, linewidth=1.6))
        axes.text(left + 0.3, 9.85, name, color=color, va="top", fontweight="bold")
        for k in range(1, 10):
            axes.plot([left + k] * 2, [0, 10], color="#e0e4e8", linewidth=0.6, zorder=1)
            axes.plot([left, left + 10], [k] * 2, color="#e0e4e8", linewidth=0.6, zorder=1)
    axes.add_patch(Ellipse((5.0, 4.6), 4.4, 5.2, facecolor="#c9d9ec", edgecolor=BLUE, zorder=2))
    axes.add_patch(Ellipse((18.9, 3.9), 5.6, 4.2, angle=25, facecolor="#f6dcc6", edgecolor=ORANGE, zorder=2))
    x, y = (5.5, 5.5), (19.6, 5.0)
    for point, color, text, offset in ((x, BLUE, "x", (-0.9, 0.3)), (y, ORANGE, "x + u(x)", (0.35, 0.35))):
        axes.plot(*point, "o", color=color, markersize=8, zorder=6)
        axes.text(point[0] + offset[0], point[1] + offset[1], text, color=color, fontweight="bold", zorder=7)
    arrow(axes, x, (19.25, 5.15), INK, 3, curve=-0.42)
    axes.text(11.5, 10.4, "u: where to look, and where points go", ha="center", va="bottom", fontweight="bold")
    arrow(axes, (19.3, 4.75), (5.8, 5.15), GREEN, 2.2, curve=-0.40, line="--")
    axes.text(
        11.5, -0.3, "the value found there is written at x", ha="center", va="top", color=GREEN, fontweight="bold"
    )
    axes.text(
        0.0,
        -0.03,
        "images and labels: warped by the field as it is   (in Slicer: from parent)",
        transform=axes.transAxes,
        va="top",
        color=GREEN,
        fontweight="bold",
    )
    axes.text(
        0.0,
        -0.105,
        "landmarks: x goes to x + u(x); from the moving image, the inverse",
        transform=axes.transAxes,
        va="top",
        color=INK,
        fontweight="bold",
    )
    axes.set_xlim(-0.6, 23.6)
    axes.set_ylim(-1.2, 11.4)


def lps_or_ras(axes):
    """A head from the feet: two systems of axes, the same arrow, opposite signs of the first two numbers."""
    panel(
        axes,
        "3  LPS or RAS?",
        "an axial slice seen from the feet, as Slicer shows it: the first two numbers change sign",
    )
    axes.add_patch(Ellipse((0, 0), 13, 16, facecolor="#f4f6f8", edgecolor=INK, linewidth=1.6))
    axes.add_patch(Polygon([(-1.1, 7.9), (0, 9.4), (1.1, 7.9)], facecolor="#f4f6f8", edgecolor=INK, linewidth=1.6))
    for x, y, text in ((-7.4, 0, "R"), (7.4, 0, "L"), (0, 10.2, "A"), (0, -8.9, "P")):
        axes.text(x, y, text, ha="center", va="center", fontsize=14, fontweight="bold", color=GREY)
    # On this page right is the patient's left: x of LPS runs right, y of LPS runs down.
    vector_lps = np.array([3.0, -4.0, 0.0])
    on_page = vector_lps[:2] * (1, -1)
    arrow(axes, (0, 0), on_page, INK, 3)
    for origin, sign, color, names in (((10.8, 4.2), 1, BLUE, ("L", "P")), ((15.8, -5.2), -1, ORANGE, ("R", "A"))):
        for step, name, where in (
            ((2.6 * sign, 0), names[0], (3.3 * sign, 0)),
            ((0, -2.6 * sign), names[1], (0, -3.4 * sign)),
        ):
            arrow(axes, origin, np.add(origin, step), color, 2.2)
            axes.text(*np.add(origin, where), name, color=color, fontweight="bold", ha="center", va="center")
    axes.text(15.6, 4.3, f"LPS  {numbers(vector_lps, ' mm')}", color=BLUE, fontweight="bold", va="center")
    axes.text(15.6, 2.9, "ITK, ANTs, elastix", color=BLUE, va="center")
    axes.text(
        17.0, -5.2, f"RAS  {numbers(lps_to_ras(vector_lps), ' mm')}", color=ORANGE, fontweight="bold", va="center"
    )
    axes.text(17.0, -6.6, "Slicer, NiftyReg, FreeSurfer,", color=ORANGE, va="center")
    axes.text(17.0, -7.9, "NIfTI displacements (intent 1006)", color=ORANGE, va="center")
    axes.set_xlim(-9, 32)
    axes.set_ylim(-12.5, 12.5)


def normalised(axes):
    """What grid_sample is told: -1 to 1 over the moving image, between centres or between borders, last axis first."""
    panel(
        axes,
        "4  Normalised how?",
        "grid_sample counts from \N{MINUS SIGN}1 to 1 over the MOVING image, last array axis first",
    )
    moving = Grid((6, 1), (1.0, 1.0), (0.0, 0.0), (1.0, 0, 0, 1))
    fixed = Grid((1, 1), (1.0, 1.0), (4.0, 0.0), (1.0, 0, 0, 1))
    still = from_array(np.zeros((1, 1, 2)), fixed)
    ruler = Grid((6, 2), moving.spacing, moving.origin, moving.direction)
    inside = {flag: to_sampling_grid(still, fixed, ruler, flag)[0, 0, 0, 0].item() for flag in (True, False)}
    for row, (flag, color) in enumerate(((True, BLUE), (False, ORANGE))):
        base = 3.4 - 3.6 * row
        for i in range(6):
            face = "#c9d9ec" if i == 4 else "#f4f6f8"
            axes.add_patch(Rectangle((i - 0.5, base), 1, 1, facecolor=face, edgecolor=GREY))
            axes.plot(i, base + 0.5, ".", color=GREY)
            axes.text(i, base + 1.12, str(i), ha="center", va="bottom", color=GREY)
        low, high = (0, 5) if flag else (-0.5, 5.5)
        axes.plot([low, high], [base - 0.45] * 2, color=color, linewidth=2)
        for at, text in ((low, "\N{MINUS SIGN}1"), ((low + high) / 2, "0"), (high, "1")):
            axes.plot([at, at], [base - 0.65, base - 0.25], color=color, linewidth=2)
            axes.text(at, base - 0.8, text, ha="center", va="top", color=color, fontweight="bold")
        axes.plot([4, 4], [base - 0.45, base + 0.5], color=INK, linewidth=1.6)
        axes.plot(4, base + 0.5, "o", color=INK, markersize=7)
        axes.text(
            6.1,
            base + 0.75,
            f"align_corners={flag}",
            color=color,
            fontweight="bold",
            va="center",
            family="DejaVu Sans Mono",
        )
        axes.text(6.1, base + 0.1, f"voxel 4 is at x = {inside[flag]:+.3f}", va="center")
        axes.text(
            6.1, base - 0.5, "between outermost " + ("centres" if flag else "borders"), va="center", color="#566270"
        )
    axes.set_xlim(-1.0, 12.6)
    axes.set_ylim(-2.5, 5.9)


def main() -> None:
    figure, axes = plt.subplots(2, 2, figsize=(14.5, 11.2), dpi=110)
    for place, draw in zip(axes.ravel(), (voxels_or_millimetres, pull_or_push, lps_or_ras, normalised)):
        draw(place)
    figure.subplots_adjust(left=0.035, right=0.985, top=0.925, bottom=0.03, hspace=0.42, wspace=0.08)
    figure.savefig(_HERE / "conventions.png", facecolor="white")


if __name__ == "__main__":
    main()
