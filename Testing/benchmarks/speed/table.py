"""The tables of what was measured, as lines of Markdown."""

from __future__ import annotations

from typing import Any

from Testing.benchmarks.speed.ratios import Ratio, Row, network, size, threads

_WAYS = {"plain": "plain eager PyTorch", "ours": "ours", "openvino": "ours with OpenVINO"}


def ratio_table(found: list[Ratio]) -> list[str]:
    lines = ["| times | processor seconds | wall seconds | aimed at |", "|---|---|---|---|"]
    return lines + [f"| {one.what} | {one.cpu:g} | {one.wall:g} | {one.aim or ''} |" for one in found]


def whole_table(machine: dict[str, Any], rows: dict[str, Row], missing: list[str]) -> list[str]:
    """Every measurement; those that are missing are said not to be run."""
    lines = [
        f"{machine['cores']} cores of {machine['processor']}, torch {machine['torch']}; "
        "one thread where nothing is said.",
        "",
        "| `--only` | what | processor s | wall s | a second | peak MB | load before |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        lines += _lines(name, row)
    return lines + [f"| `{name}` | not run | | | | | |" for name in missing]


def gpu_table(told: dict[str, Any]) -> list[str]:
    if not told:
        return ["GPU: not run, there was none."]
    head = f"{told['machine']['gpu']}, torch {told['machine']['torch']}:"
    lines = [head, "", "| what | wall s | a second | peak MB of the process |", "|---|---|---|---|"]
    for row in told["measurements"]:
        for what, of in _parts(row):
            if "failed" in row:
                lines.append(f"| {what} | not run: {row['failed']} | | |")
            else:
                lines.append(f"| {what} | {of['wall']:.3g} | {1 / of['wall']:.3g} | {row['peak_mb']} |")
    return lines


def _lines(name: str, row: Row) -> list[str]:
    load = row["load_before"]
    if "failed" in row:
        return [f"| `{name}` | {_parts(row)[0][0]}: not run, {row['failed']} | | | | | {load} |"]
    return [
        f"| `{name}` | {what} | {of['cpu']:.3g} | {of['wall']:.3g} | {1 / of['wall']:.3g} | {row['peak_mb']} | {load} |"
        for what, of in _parts(row)
    ]


def _parts(row: Row) -> list[tuple[str, dict[str, float]]]:
    """What a measurement has in the table, in words and with its seconds."""
    many = f", {threads(row)}" if row.get("threads", 1) > 1 else ""
    if row["kind"] == "forward":
        ways = [way for way in _WAYS if f"{way}_wall" in row] or ["plain"]
        parts = [(way, part) for way in ways for part in ("", "_unet") if f"{way}{part}_wall" in row or not part]
        return [
            (
                f"{network(row)}{many}: {_WAYS[way]}{', U-Net alone' + _share(row, way) if part else ''}",
                _seconds(row, f"{way}{part}_"),
            )
            for way, part in parts
        ]
    if row["kind"] == "overhead":
        what = f"a frame of {row['edge']}^3, {row['model']}"
        seen = f", network at {row['network_edge']}^3" if "network_edge" in row else ""
        return [
            (f"{what}: `propagate`, files in and out{seen}", _seconds(row)),
            (f"{what}: the bare loop", _seconds(row, "bare_")),
        ]
    if row["kind"] in _ON_DEVICE:
        return _ON_DEVICE[row["kind"]](row)
    if row["kind"] == "sequence":
        # Earlier ones had images in memory and counted the reference.
        how = "files in and out" if "counted" in row else "the reference one of them"
        what = f"a frame of {size(row)} of {row['count']}, {row['model']} by {row['strategy']}, {how}"
        is_model = row["strategy"] == "motion-model" and "registered" in row
        registered = f", {row['registered']} of them registered" if is_model else ""
        memory = (
            f", {row['early_mb']:.0f} MB after a tenth, {row['late_mb']:.0f} at the end"
            if row["count"] >= 100 and "late_mb" in row
            else ""
        )
        return [(what + many + registered + memory, _seconds(row))]
    left = f", leaves {row['left_mm']:.2g} of {row['untouched_mm']:.2g} mm" if "left_mm" in row else ""
    refined = f", refined by {row['refine']} updates" if row.get("refine") else ""
    return [(f"a pair of {size(row)}, {row.get('method') or row['model']}{many}{refined}{left}", _seconds(row))]


def _precision_parts(row: Row) -> list[tuple[str, dict[str, float]]]:
    what = f"a pair of {size(row)}, {row['model']}"
    if "auto_wall" not in row:
        return [(f"{what}: in two precisions", {})]
    busy = f"the device works {100 * row['busy']:.0f} % of it" if row["busy"] == row["busy"] else "busy: not told"
    apart = f"at most {row['largest_voxels']:.2g} voxels from float32, {row['mean_voxels']:.1g} in the mean"
    kind = "half precision" if row["half"] else "float32 by auto"
    return [
        (f"{what}: float32", _seconds(row, "float32_")),
        (f"{what}: {kind}, {busy}, {apart}", _seconds(row, "auto_")),
    ]


def _look_parts(row: Row) -> list[tuple[str, dict[str, float]]]:
    what = f"a coarse look at a frame of {size(row)}, {row['model']}"
    if "together" not in row:
        return [(what, {})]
    counts = sorted(int(name.removesuffix("_wall")) for name in row if name.endswith("_wall") and name[0].isdigit())
    told = f", at most {row['apart_voxels']:.1g} voxels from one alone; {row['together']:.0f} are taken"
    parts = [(f"{what}, {count} together", _seconds(row, f"{count}_")) for count in counts]
    parts[-1] = (parts[-1][0] + told, parts[-1][1])
    return [(f"{what}: made ready for it", _seconds(row, "ready_")), *parts]


def _label_parts(row: Row) -> list[tuple[str, dict[str, float]]]:
    what = f"labels of {size(row)}"
    if "nearest_wall" not in row:
        return [(f"{what}, warped", {})]
    parts = []
    for kind in ("nearest", "smooth"):
        apart = f"{1e6 * row[f'{kind}_apart']:.0f} of a million voxels differ"
        parts.append((f"{what}, {kind}, by the processor", _seconds(row, f"{kind}_processor_")))
        parts.append((f"{what}, {kind}, by the device, {apart}", _seconds(row, f"{kind}_")))
    return parts


def _cohort_parts(row: Row) -> list[tuple[str, dict[str, float]]]:
    what = f"a frame of {size(row)} of {row['count']}, {row['model']} by {row['strategy']}, files in and out, "
    what += f"`cohort --workers {row['workers']}` of one patient"
    if "steady_wall" not in row:
        return [(what, {})]
    return [
        (f"{what}, all of the command, the first frame after {row['first_wall']:.0f} s", _seconds(row)),
        (f"{what}, from a tenth of the frames to nine tenths", _seconds(row, "steady_")),
    ]


_ON_DEVICE = {"cohort": _cohort_parts, "precision": _precision_parts, "looks": _look_parts, "label_warps": _label_parts}


def _seconds(row: Row, prefix: str = "") -> dict[str, float]:
    return {on: row.get(prefix + on, float("nan")) for on in ("cpu", "wall")}


def _share(row: Row, way: str) -> str:
    """Of what a large matrix product reaches in as many processor seconds, or seconds of a GPU."""
    reached = row["gflop"] / row[f"{way}_unet_{'cpu' if row.get('device', 'cpu') == 'cpu' else 'wall'}"]
    return f", {reached:.0f} GFLOP/s, {100 * reached / row['limit']:.0f} % of a matrix product's"
