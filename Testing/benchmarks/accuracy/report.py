"""Results as JSON, as a Markdown table and as a plot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

_COLUMNS = (
    "method",
    "pairs",
    "error mm",
    "error 95 % mm",
    "Dice",
    "surface 95 % mm",
    "folded %",
    "seconds",
    "processor s",
    "memory MB",
)
_OURS = "network"


def merged(earlier: dict, new: dict) -> dict:
    """The results of two runs, the real pairs first: the new run's, and the earlier one's of what was not run again."""
    entries = {(entry["method"], entry["case"]): entry for run in (earlier, new) for entry in run["entries"]}
    return {
        "runs": {**earlier["runs"], **new["runs"]},
        "entries": sorted(entries.values(), key=lambda entry: not entry.get("real", False)),
    }


def write_report(results: dict, json_path: Path, table_path: Path, plot_path: Path) -> None:
    json_path.write_text(json.dumps(results, indent=1))
    table = _table(results)
    table_path.write_text(table)
    print(table)
    plot_path.parent.mkdir(exist_ok=True)
    _plot(results, plot_path)


def _rows(results: dict) -> dict[str, dict[str, dict[str, float | str]]]:
    """group -> method -> means over the pairs of the group."""
    collected: dict[str, dict[str, list[dict]]] = {}
    for entry in results["entries"]:
        collected.setdefault(entry["group"], {}).setdefault(entry["method"], []).append(entry)
    return {
        group: {method: _mean(entries) for method, entries in methods.items()} for group, methods in collected.items()
    }


def _mean(entries: list[dict]) -> dict[str, float | str]:
    scores = {key: float(np.nanmean([e["scores"][key] for e in entries])) for key in entries[0]["scores"]}
    runs = [e["run"] for e in entries]
    return {
        **scores,
        "pairs": len(entries),
        "version": runs[0]["version"],
        "seconds": float(np.mean([r["seconds"] for r in runs])),
        "cpu_seconds": float(np.mean([r["cpu_seconds"] for r in runs])),
        "memory_mb": max(r["memory_mb"] for r in runs),
        "adaptation_seconds": runs[0].get("adaptation_seconds", 0.0),
    }


def _table(results: dict) -> str:
    lines = [
        "# Accuracy against other tools",
        "",
        "All methods registered the same pairs, one after the other.",
        "",
        *_conditions(results),
        "",
        "Error: mean and 95th percentile of the distance left at hand-set landmarks, or to the known displacement over "
        "the body (in brackets: before registration). Dice and the 95 % surface distance: means over the structures, "
        "sets of labels separated by a slash. Folded: voxels whose Jacobian determinant in physical space is not "
        "positive. Seconds: the registration alone, an affine start included, without start-up and file reading; "
        "processor seconds (all threads) suffer less from what else the machine does.",
        "Pairs of two people begin with an affine alignment: greedy's, elastix' and this project's own, SimpleITK's "
        "for the other tools. `network + refine` takes 100 updates on real pairs and `auto` on the others. `network + "
        "adapt` learned on the sequence once, which its seconds leave out. segflow4d returns segmentations only, and "
        "its seconds contain its start-up.",
        "",
    ]
    for group, methods in _rows(results).items():
        start = next(iter(methods.values()))
        sets = [key[len("dice_start ") :] for key in start if key.startswith("dice_start ")]
        before = " / ".join(f"{start[f'dice_start {name}']:.3f}" for name in sets)
        lines += [
            f"## {group}",
            "",
            f"Labels: {', '.join(sets) or 'none'}{f' (Dice before: {before})' if before else ''}",
            "",
            "| " + " | ".join(_COLUMNS) + " |",
            "|" + "---|" * len(_COLUMNS),
        ]
        lines += ["| " + " | ".join(_cells(method, row, sets)) + " |" for method, row in methods.items()]
        lines += ["", *_pair_by_pair([entry for entry in results["entries"] if entry["group"] == group])]
    versions = {method: row["version"] for methods in _rows(results).values() for method, row in methods.items()}
    lines += ["Versions: " + ", ".join(f"{method} {number}" for method, number in versions.items()), ""]
    return "\n".join(lines)


def _conditions(results: dict) -> list[str]:
    """One line for each run that the table is made of: its groups, its machine, its note."""
    groups_of: dict[str, list[str]] = {}
    for group, run in results["runs"].items():
        machine = run["machine"]
        said = (
            f"{machine['cores']} cores, {machine['threads']} threads, `--adapt {run['adapt']}`. {run['note']}".strip()
        )
        groups_of.setdefault(said, []).append(group)
    return [f"- {'; '.join(groups)}: {said}" for said, groups in groups_of.items()]


def _pair_by_pair(entries: list[dict]) -> list[str]:
    """A table of the single pairs of a real group: the error in mm where landmarks are known, Dice elsewhere."""
    if not entries[0].get("real") or len({entry["case"] for entry in entries}) < 2:
        return []
    scores = entries[0]["scores"]
    key, before = ("tre_mm", "tre_start_mm") if "tre_mm" in scores else _first_dice(scores)
    digits = 2 if key == "tre_mm" else 3
    methods = list(dict.fromkeys(entry["method"] for entry in entries))
    found: dict[str, dict[str, dict]] = {}
    for entry in entries:
        found.setdefault(entry["case"], {})[entry["method"]] = entry["scores"]
    lines = [f"| pair | before | {' | '.join(methods)} |", "|" + "---|" * (len(methods) + 2)]
    for case, by_method in found.items():
        start = next(iter(by_method.values()))[before]
        cells = [f"{by_method[m][key]:.{digits}f}" if m in by_method else "" for m in methods]
        lines.append(f"| {case} | {start:.{digits}f} | {' | '.join(cells)} |")
    return [*lines, ""]


def _first_dice(scores: dict) -> tuple[str, str]:
    name = next(key[len("dice_start ") :] for key in scores if key.startswith("dice_start "))
    return f"dice {name}", f"dice_start {name}"


def _cells(method: str, row: dict, sets: list[str]) -> list[str]:
    known = "tre_mm" in row
    return [
        f"**{method}**" if method.startswith(_OURS) else method,
        str(row["pairs"]),
        f"{row['tre_mm']:.2f} ({row['tre_start_mm']:.2f})" if known else "",
        f"{row['tre95_mm']:.2f}" if known else "",
        " / ".join(f"{row[f'dice {name}']:.3f}" for name in sets if f"dice {name}" in row),
        " / ".join(f"{row[f'surface95_mm {name}']:.1f}" for name in sets if f"dice {name}" in row),
        f"{row['folded_percent']:.3f}" if "folded_percent" in row else "",
        f"{row['seconds']:.1f}",
        f"{row['cpu_seconds']:.1f}",
        f"{row['memory_mb']:.0f}",
    ]


def _plot(results: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    rows = _rows(results)
    columns = 4
    figure, axes = plt.subplots(
        -(-len(rows) // columns), columns, figsize=(15, 3.6 * -(-len(rows) // columns)), squeeze=False
    )
    methods = list(dict.fromkeys(method for group in rows.values() for method in group))
    colours = {method: plt.get_cmap("tab10")(index % 10) for index, method in enumerate(methods)}
    for axis in axes.flat[len(rows) :]:
        axis.axis("off")
    for axis, (group, found) in zip(axes.flat, rows.items()):
        known = any("tre_mm" in row for row in found.values())
        name = next((key for row in found.values() for key in row if key.startswith("dice ")), None)
        key = "tre_mm" if known else name
        for method, row in found.items():
            if key in row:
                axis.scatter(
                    row["cpu_seconds"],
                    row[key],
                    color=colours[method],
                    s=90 if method.startswith(_OURS) else 55,
                    marker="*" if method.startswith(_OURS) else "o",
                    zorder=3,
                )
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_title(group, fontsize=10)
        axis.set_ylabel(
            "error, mm (lower is better)" if known else f"Dice of {name[5:]} (higher is better)", fontsize=8
        )
        axis.grid(alpha=0.3)
        if known:
            axis.set_ylim(bottom=0)
    for axis in axes[-1]:
        axis.set_xlabel("processor seconds a pair", fontsize=8)
    handles = [
        plt.Line2D([], [], color=colours[m], marker="*" if m.startswith(_OURS) else "o", linestyle="", label=m)
        for m in methods
    ]
    figure.legend(handles=handles, loc="lower center", ncol=5, fontsize=9, frameon=False)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.savefig(path, dpi=90)
    plt.close(figure)
