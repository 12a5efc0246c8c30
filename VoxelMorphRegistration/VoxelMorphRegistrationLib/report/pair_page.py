"""`register --report R.html`: the page of one pair."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..space import displacement as displacements
from ..space.grid import Grid
from .drawing import Outline, Picture, Window, data_uri, outline, stride_for
from .planes import Orientation, PlaneName, cut, fullest, in_plane
from .provenance import duration, model_name
from .rendering import write_page

_SQUARES = 8  # of the checkerboard along the longer edge
_GRID_LINES = 28  # of the deformed grid along the longer edge
_FOLDED_PERCENT = 0.5
_FELL = 0.01
_MAGNITUDE = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))  # viridis
_JACOBIAN = ((33, 102, 172), (146, 197, 222), (247, 247, 247), (244, 165, 130), (178, 24, 43))  # RdBu, reversed
_FOLD = (255, 0, 255)
_FILE = re.compile(r"[\\/]|\.\w+$")


@dataclass(frozen=True)
class Pair:
    """What the page of a pair is made from.

    Attributes:
        fixed, moving: as they were given. warped: the moving image on the fixed grid.
        displacement: on the fixed grid, LPS mm, pulls.
        report: what `Registration.report` gives.
        labels, warped_labels: of the moving image, and warped onto the fixed grid; None without.
    """

    fixed: sitk.Image
    moving: sitk.Image
    warped: sitk.Image
    displacement: sitk.Image
    report: dict[str, Any]
    labels: sitk.Image | None = None
    warped_labels: sitk.Image | None = None


def write_pair_page(pair: Pair, path: str | Path, anonymous: bool = False) -> Path:
    """Write the page of a pair; returns its path. No file is named on it.

    Args:
        anonymous: the network is not named either, where it is one of the person's own.

    Raises InputError when it cannot be written, DependencyMissing without jinja2.
    """
    view = _PairView(pair)
    report = pair.report
    level, headline, reasons = _verdict(report, view)
    model = report["model"]
    return write_page(
        "pair.html",
        path,
        title="A pair",
        level=level,
        headline=headline,
        reasons=reasons,
        notes=[_without_file(note) for note in report["notes"]],
        planes=[(name, view.pictures(name)) for name in view.orientation.planes],
        outlined="its labels" if pair.labels is not None else "its bright parts (above Otsu's threshold)",
        magnitude=(0.0, view.longest),
        scale_magnitude=_gradient(_MAGNITUDE),
        scale_jacobian=_gradient(_JACOBIAN),
        numbers=_numbers(report, view),
        settings_line=" · ".join(
            (f"network {model_name(model, anonymous)}", f"align {report['alignment']}", _device(report))
        ),
        sha256=str(model["sha256"]),
        seconds=[(name, duration(value)) for name, value in report["seconds"].items() if value],
        made_with=report["version"],
        network_grid=report["network_grid"],
    )


class _PairView:
    """The images of a pair, turned to be looked at."""

    def __init__(self, pair: Pair) -> None:
        grid = Grid.of(pair.fixed)
        self.orientation = Orientation.of(grid)
        turned = self.orientation.turned
        untouched = _as_it_lies(pair.moving, grid, sitk.sitkLinear, float(_array(pair.moving).min()))
        self._fixed, self._untouched, self._warped = (
            turned(_array(image)) for image in (pair.fixed, untouched, pair.warped)
        )
        self._fixed_window, self._moving_window = Window.of(self._fixed), Window.of(_array(pair.moving))
        vectors = _array(pair.displacement)
        self._vectors = self.orientation.turned_vectors(vectors)
        self.length = turned(np.linalg.norm(vectors, axis=-1))
        self.longest = max(float(np.percentile(self.length, 99.5)), 1e-3)
        self.jacobian = turned(_array(displacements.jacobian_determinant(pair.displacement)))
        if pair.labels is not None and pair.warped_labels is not None:
            before = _as_it_lies(pair.labels, grid, sitk.sitkNearestNeighbor, 0.0)
            self._before, self._after = turned(_array(before)) != 0, turned(_array(pair.warped_labels)) != 0
        else:
            otsu = sitk.OtsuThresholdImageFilter()
            otsu.Execute(pair.moving)
            threshold = otsu.GetThreshold()
            self._before, self._after = self._untouched > threshold, self._warped > threshold

    def pictures(self, plane: PlaneName) -> list[Picture]:
        """Of one plane: checkerboards, outlines, and the displacement in three ways."""
        position = fullest(self._after, plane)
        shape = cut(self._fixed, plane, position).shape
        step = stride_for(shape)
        every = (slice(None, None, step[0]), slice(None, None, step[1]))

        def seen(values: np.ndarray) -> np.ndarray:
            return cut(values, plane, position)[every]

        fixed = self._fixed_window.grey(seen(self._fixed))
        before, after = (self._moving_window.grey(seen(one)) for one in (self._untouched, self._warped))
        outlines = (
            Outline("before", 0, outline(seen(self._before))),
            Outline("after", 0, outline(seen(self._after))),
        )
        lines = Outline("grid", 2, _grid_path(seen(self._vectors), plane, self.orientation.spacing, step))
        made = [
            ("checkerboard untouched", _checkerboard(fixed, before), ()),
            ("checkerboard after", _checkerboard(fixed, after), ()),
            ("outlines on the fixed image", fixed, outlines),
            ("length of the displacement", _coloured(seen(self.length) / self.longest, _MAGNITUDE), ()),
            ("grid, drawn where it comes from", fixed, (lines,)),
            ("Jacobian determinant", self._jacobian_pixels(seen(self.jacobian)), ()),
        ]
        spacing = in_plane(self.orientation.spacing, plane)
        height, width = (s * k * n for s, k, n in zip(spacing, step, fixed.shape))
        return [
            Picture(title, data_uri(pixels), fixed.shape[1], fixed.shape[0], width, height, drawn)
            for title, pixels, drawn in made
        ]

    def _jacobian_pixels(self, jacobian: np.ndarray) -> np.ndarray:
        """Half the volume to twice the volume, evenly in the logarithm; folds in a colour of their own."""
        pixels = _coloured(0.5 + 0.5 * np.log2(np.maximum(jacobian, 1e-3)), _JACOBIAN)
        pixels[jacobian <= 0] = _FOLD
        return pixels


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def _as_it_lies(image: sitk.Image, grid: Grid, interpolator: int, outside: float) -> sitk.Image:
    identity = sitk.Transform(grid.dimension, sitk.sitkIdentity)
    return sitk.Resample(image, grid.empty_image(sitk.sitkUInt8), identity, interpolator, outside, image.GetPixelID())


def _checkerboard(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    square = max(2, -(-max(one.shape) // _SQUARES))
    rows, columns = np.indices(one.shape) // square
    return np.where((rows + columns) % 2 == 0, one, other)


def _coloured(share: np.ndarray, colours: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """uint8 (rows, columns, 3) of shares from 0 to 1."""
    places = np.linspace(0, 1, len(colours))
    parts = [np.interp(np.clip(share, 0, 1), places, [colour[n] for colour in colours]) for n in range(3)]
    return np.rint(np.stack(parts, axis=-1)).astype(np.uint8)


def _gradient(colours: tuple[tuple[int, int, int], ...]) -> str:
    return "linear-gradient(90deg, " + ", ".join(f"rgb({r} {g} {b})" for r, g, b in colours) + ")"


def _grid_path(vectors: np.ndarray, plane: PlaneName, spacing: tuple[float, ...], step: tuple[int, int]) -> str:
    """Lines along rows and columns of a plane, drawn at x + u(x), in pixels of the picture.

    Args:
        vectors: (rows, columns, d), mm along the turned axes. spacing: of the turned axes, mm.
    """
    down, along = in_plane(range(vectors.shape[-1]), plane)
    row_mm, column_mm = in_plane(spacing, plane)
    rows, columns = np.indices(vectors.shape[:2]).astype(float) + 0.5
    rows += vectors[..., down] / (row_mm * step[0])
    columns += vectors[..., along] / (column_mm * step[1])
    every = max(1, -(-max(rows.shape) // _GRID_LINES))
    fine = max(1, every // 4)
    lines = [(columns[n, ::fine], rows[n, ::fine]) for n in range(every // 2, rows.shape[0], every)]
    lines += [(columns[::fine, n], rows[::fine, n]) for n in range(every // 2, rows.shape[1], every)]
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(*line)) for line in lines)


def _without_file(note: str) -> str:
    """A note that begins with the file it is about, without that file's name."""
    which, colon, rest = note.partition(": ")
    return f"a file that was given: {rest}" if colon and _FILE.search(which) else note


def _verdict(report: dict[str, Any], view: _PairView) -> tuple[str, str, list[str]]:
    similarity, folded, doubts = report["similarity"], report["folded_percent"], report["doubts"]
    untouched, before, after = (similarity[name] for name in ("untouched", "before", "after"))
    reasons = [
        f"Similarity ({similarity['metric']}) is {untouched:.3f} as the images were given, {before:.3f} before the "
        f"network and {after:.3f} after it.",
        "The displacement folds nowhere: tissue keeps its order."
        if folded == 0
        else f"The displacement folds at {folded:.2g} % of the voxels, which tissue cannot.",
        f"Tissue moves by {float(view.length.mean()):.2g} mm on average, at most {float(view.length.max()):.3g} mm, "
        "the alignment included.",
        *(f"Doubtful: {doubt}." for doubt in doubts),
    ]
    if after < max(untouched, before) - _FELL:
        return "stop", "Do not use this: the images are less alike after it than before.", reasons
    if doubts or folded > _FOLDED_PERCENT or after <= before or report["notes"]:
        return "look", "Look closely before this is used.", reasons
    return "fine", "Nothing stands out. Look at the pictures all the same.", reasons


def _device(report: dict[str, Any]) -> str:
    half = " in half precision" if report.get("precision") == "half" else ""
    return f"device {report['device']}{half}"


def _numbers(report: dict[str, Any], view: _PairView) -> list[tuple[str, str, str]]:
    """Name, value and meaning."""
    similarity = report["similarity"]
    metric = similarity["metric"]
    meaning = {
        "ncc": "correlation of the grey values, -1 to 1; 1 is best",
        "nmi": "normalised mutual information, 1 to 2; higher is better, and what is good depends on the images",
    }.get(metric, "higher is better")
    told = {
        "untouched": f"{meaning}; as the images were given",
        "before": f"{meaning}; after the alignment, before the network",
        "after": f"{meaning}; at the end. Not above the one untouched: do not trust the result",
    }
    rows = [(f"similarity {name}", f"{similarity[name]:.4f}", told[name]) for name in told]
    rows.append(("folded", f"{report['folded_percent']:.3g} %", "of the fixed image's voxels; 0 is best"))
    least, middle, most = (float(value) for value in np.percentile(view.length, (5, 50, 95)))
    rows.append(
        ("displacement", f"{least:.3g}, {middle:.3g}, {most:.3g} mm", "5 %, half and 95 % of the voxels move less")
    )
    low, high = (float(value) for value in np.percentile(view.jacobian, (1, 99)))
    rows.append(
        ("local volume", f"{low:.2f} to {high:.2f}", "Jacobian determinant of 98 % of the voxels; 1 keeps the volume")
    )
    return rows
