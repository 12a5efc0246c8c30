"""The table, the ratios and the picture of a run of the speed benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def write_report(results: dict[str, Any], folder: Path, plot: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in results["measurements"] if "failed" not in row]
    results["ratios"] = ratios(rows)
    (folder / "speed.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "SPEED.md").write_text(_table(results), encoding="utf-8")
    _plot(rows, plot)


def ratios(rows: list[Row]) -> dict[str, float]:
    """What one thing costs of another, in processor seconds of the same run (wall seconds on a GPU)."""
    found: dict[str, float] = {}
    for row in rows:
        if row["kind"] == "forward" and row["plain"]:
            fast = _one(rows, "forward", **{**_asked(row, "edge", "half_resolution", "device"), "plain": False})
            if fast:
                found[f"VxmDense{_half(row)} {row['edge']}^3, {row['device']}: plain / ours"] = _times(row, fast)
        if row["kind"] == "sequence" and row["strategy"] == "motion-model":
            direct = _one(rows, "sequence", strategy="direct", **_asked(row, "shape", "model", "device"))
            if direct:
                name = f"a frame, {row['count']} frames of {_size(row)}, {row['device']}"
                found[f"{name}: direct / motion-model"] = _times(direct, row)
        if row["kind"] == "overhead":
            found["propagate / its bare loop"] = round(row["cpu"] / row["bare"], 3)
        if row["kind"] == "other":
            ours = _one(rows, "direct", shape=row["shape"], model="any-anatomy", device="cpu", threads=None)
            if ours:
                found[f"a pair of {_size(row)}: {row['tool']} / any-anatomy"] = _times(row, ours)
    return found


def _times(one: Row, other: Row) -> float:
    clock = "wall" if one.get("device", "cpu") != "cpu" else "cpu"
    return round(one[clock] / other[clock], 2)


def _one(rows: list[Row], kind: str, **asked: Any) -> Row | None:
    return next((row for row in rows if row["kind"] == kind and all(row.get(k) == v for k, v in asked.items())), None)


def _asked(row: Row, *names: str) -> dict[str, Any]:
    return {name: row.get(name) for name in names}


def _half(row: Row) -> str:
    return ", half resolution," if row["half_resolution"] else ""


def _size(row: Row) -> str:
    return " x ".join(str(n) for n in reversed(row["shape"]))


def _table(results: dict[str, Any]) -> str:
    machine = results["machine"]
    lines = [
        "# Speed",
        "",
        f"Made by `make benchmark-speed{' OPTIONS=--quick' if machine['quick'] else ''}` on {machine['cores']} cores "
        f"of {machine['processor']}, torch {machine['torch']}, GPU: {machine['gpu'] or 'none'}. Seconds on one thread "
        "unless a number is given.",
        "",
        "| compared within this run | times |",
        "|---|---|",
        *(f"| {name} | {value:g} |" for name, value in results["ratios"].items()),
        "",
        "| what | processor s | wall s | peak MB |",
        "|---|---|---|---|",
    ]
    for row in results["measurements"]:
        if "failed" in row:
            lines.append(f"| {_what(row)} | {row['failed']} | | |")
        else:
            wall = f"{row['wall']:.3g}" if "wall" in row else ""
            lines.append(f"| {_what(row)} | {row['cpu']:.3g} | {wall} | {row['peak_mb']} |")
    return "\n".join(lines) + "\n"


def _what(row: Row) -> str:
    told = {
        "forward": lambda: f"VxmDense{_half(row)} {row['edge']}^3, {'plain' if row['plain'] else 'ours'}",
        "direct": lambda: f"a pair of {_size(row)}, {row['model']}",
        "sequence": lambda: (
            f"a frame of {_size(row)} by {row['strategy']}, {row['count']} frames, "
            f"{row.get('registered', '?')} of them registered"
        ),
        "overhead": lambda: f"a frame of {row['edge']}^3 by propagate, files in and out",
        "other": lambda: f"a pair of {_size(row)}, {row['tool']}",
    }[row["kind"]]()
    threads = f", {row['threads']} threads" if "threads" in row else ""
    return told + threads + (f", {row['device']}" if row.get("device", "cpu") != "cpu" else "")


def _plot(rows: list[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (sizes, lengths) = plt.subplots(1, 2, figsize=(10, 3.6))
    cubes = [r for r in rows if r["kind"] == "direct" and len(set(r["shape"])) == 1 and r.get("device", "cpu") == "cpu"]
    for axis, chosen, along, label in (
        (sizes, cubes, lambda r: r["shape"][0], "voxels an axis, a registered frame"),
        (
            lengths,
            [r for r in rows if r["kind"] == "sequence" and r["shape"] == [32] * 3],
            lambda r: r["count"],
            "frames of 32^3 in a sequence, motion model",
        ),
    ):
        if not chosen:
            axis.axis("off")
            continue
        chosen = sorted(chosen, key=along)
        axis.plot([along(r) for r in chosen], [r["cpu"] for r in chosen], "o-", color="tab:blue")
        axis.set_xlabel(label)
        axis.set_ylabel("processor seconds a frame", color="tab:blue")
        axis.set_xscale("log")
        axis.set_yscale("log")
        memory = axis.twinx()
        memory.plot([along(r) for r in chosen], [r["peak_mb"] for r in chosen], "s--", color="tab:orange")
        memory.set_ylabel("memory at the peak, MB", color="tab:orange")
        memory.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
