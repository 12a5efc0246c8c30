"""Where what was measured goes: results, tables of Docs/speed.md and Docs/scale.md, ratios of README.md, a picture."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from Testing.benchmarks import scale
from Testing.benchmarks.speed.measurements import measurements
from Testing.benchmarks.speed.ratios import Ratio, ratios
from Testing.benchmarks.speed.table import gpu_table, ratio_table, whole_table
from Testing.support.marked_pages import between

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "Testing" / "benchmarks" / "results"
PAGE, README, PICTURE = ROOT / "Docs" / "speed.md", ROOT / "README.md", ROOT / "Resources" / "speed.png"

Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Where results lie: in the project, or in a folder of their own."""

    folder: Path
    in_project: bool

    @classmethod
    def of(cls, folder: Path | None) -> Place:
        return cls(RESULTS, True) if folder is None else cls(folder, False)

    def results(self, gpu: bool) -> Path:
        return self.folder / ("speed_gpu.json" if gpu else "speed.json")

    def told(self, gpu: bool) -> dict[str, Any]:
        """As it was written; nothing where nothing was."""
        path = self.results(gpu)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def read(self, gpu: bool, machine: dict[str, Any], anew: bool) -> Rows:
        """What was measured on this very machine; nothing where that is of another one, whose numbers are not compared
        with.

        Raises:
            SystemExit: for numbers of another machine, whose place the next ones would take, unless `anew`.
        """
        told = self.told(gpu)
        if told and told["machine"] != machine:
            if not anew:
                raise SystemExit(
                    f"{self.results(gpu)}: of another machine ({told['machine']['processor']}); --record-in DIR writes "
                    "elsewhere, --anew forgets those numbers"
                )
            return {}
        return by_name(told)

    def write(self, gpu: bool, machine: dict[str, Any], rows: Rows) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        told = {"machine": machine, "measurements": list(rows.values()), "ratios": [r.told() for r in ratios(rows)]}
        self.results(gpu).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        if self.in_project:
            PAGE.write_text(page(), encoding="utf-8")
            README.write_text(readme(), encoding="utf-8")
            with suppress(KeyError):  # Its frames are not measured on this machine yet.
                scale.PAGE.write_text(scale.page(), encoding="utf-8")
        else:
            (self.folder / "speed.md").write_text(tables(self) + "\n", encoding="utf-8")
        if not gpu:
            draw(rows, PICTURE if self.in_project else self.folder / "speed.png")


def by_name(told: dict[str, Any]) -> Rows:
    return {row["name"]: row for row in told.get("measurements", []) if "name" in row}


def tables(place: Place) -> str:
    """Ratios, everything on the CPU, and what a GPU gave."""
    told = place.told(False)
    rows = by_name(told)
    missing = [name for name in measurements(False, False) if name not in rows]
    cpu = [*ratio_table(ratios(rows)), "", *whole_table(told["machine"], rows, missing)] if told else ["Not run."]
    return "\n".join([*cpu, "", *gpu_table(place.told(True))])


def page() -> str:
    """Docs/speed.md as the results are."""
    return between(PAGE.read_text(encoding="utf-8"), "measured", f"\n{tables(Place.of(None))}\n")


def readme() -> str:
    """README.md with its ratios as the results are."""
    brief = [ratio for ratio in ratios(by_name(Place.of(None).told(False))) if ratio.brief]
    aims = ["" if ratio.aim is None else f" ({ratio.aim:g})" for ratio in brief]
    words = ", ".join(f"{ratio.brief} {ratio.cpu:g}{aim}" for ratio, aim in zip(brief, aims))
    # One line: the README has a limit of its own.
    return between(README.read_text(encoding="utf-8"), "speed", f"\n  {words}")


def draw(rows: Rows, path: Path) -> None:
    """Frames a second and memory against size and length, and the ratios."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.25))
    made = [row for row in rows.values() if "failed" not in row]
    sizes = {"direct": [row for row in made if row["name"].startswith("size-")]}
    lengths = {
        strategy: [r for r in made if r["name"].startswith("length-") and r["strategy"] == strategy]
        for strategy in ("direct", "motion-model")
    }
    for column, groups, along, label in (
        (0, sizes, _millions, "size of a frame, million voxels"),
        (1, lengths, lambda row: row["count"], "frames in the sequence (24 x 24 x 16 voxels)"),
    ):
        above, below = (figure.add_subplot(grid[line, column]) for line in (0, 1))
        for name, group in groups.items():
            where = [along(row) for row in group]
            above.plot(where, [1 / row["wall"] for row in group], "o-", label=name)
            below.plot(where, [row["peak_mb"] for row in group], "o-", label=name)
        above.set_ylabel("frames a second")
        below.set_ylabel("memory at the peak, MB")
        below.set_xlabel(label)
        ticks = sorted({along(row) for group in groups.values() for row in group})
        for axis in (above, below):
            if ticks:
                axis.semilogx()
            axis.set_xticks(ticks, [f"{tick:.2g}" if tick < 10 else f"{tick:.0f}" for tick in ticks], rotation=45)
            axis.minorticks_off()
            axis.set_ylim(bottom=0)
            axis.margins(y=0.1)
            axis.grid(alpha=0.3)
        if len(groups) > 1:
            above.legend(frameon=False)
    _times(figure.add_subplot(grid[:, 2]), [ratio for ratio in ratios(rows) if ratio.drawn])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _times(axis: Any, found: list[Ratio]) -> None:
    places = range(len(found))
    axis.hlines(places, 1, [ratio.cpu for ratio in found], color="tab:blue", linewidth=1)
    axis.plot([ratio.cpu for ratio in found], places, "o", color="tab:blue")
    for place, ratio in enumerate(found):
        axis.annotate(f"{ratio.cpu:.3g}", (ratio.cpu, place), (5, 4), textcoords="offset points", fontsize=8)
    axis.axvline(1, color="gray", linewidth=1)
    if found:
        axis.semilogx()
    axis.set_yticks(places, [ratio.short for ratio in found], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("times the processor seconds")
    axis.margins(x=0.15)
    axis.grid(axis="x", alpha=0.3)


def _millions(row: dict[str, Any]) -> float:
    first, second, third = row["shape"]
    return first * second * third / 1e6
