"""How many times one thing's seconds another one takes, from what was measured on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
_BRIEF = {
    "forward-released-1 ours": "plain PyTorch / the released network here",
    "forward-released-1 openvino": "with OpenVINO",
}
_AIMS = {"forward-released-1 ours": 1.8, "forward-released-1 openvino": 4.0}


@dataclass(frozen=True)
class Ratio:
    """Attributes: what: in words; short: in the picture, if `drawn`; brief: in README; cpu, wall: of these seconds."""

    what: str
    short: str
    cpu: float
    wall: float
    aim: float | None = None
    brief: str = ""
    drawn: bool = True

    def told(self) -> dict[str, Any]:
        aim = {} if self.aim is None else {"aimed_at": self.aim}
        return {"what": self.what, "cpu": self.cpu, "wall": self.wall, **aim}


def ratios(rows: dict[str, Row]) -> list[Ratio]:
    """Those that the measurements there are allow for."""
    made = {name: row for name, row in rows.items() if "failed" not in row}
    return [*_networks(made), *_strategies(made), *_bare(made), *_tools(made), *_cores(made)]


def _networks(rows: dict[str, Row]) -> Iterator[Ratio]:
    for name, row in rows.items():
        if row["kind"] != "forward":
            continue
        for way, words in (("ours", "ours"), ("openvino", "ours with OpenVINO")):
            for part, told in (("", "with integration"), ("_unet", "U-Net alone")):
                if f"{way}{part}_cpu" in row:
                    what = f"{network(row)}, {threads(row)}, {told}: plain eager PyTorch / {words}"
                    times = (round(row[f"plain{part}_{on}"] / row[f"{way}{part}_{on}"], 2) for on in ("cpu", "wall"))
                    short = f"{name.removeprefix('forward-')}{part.replace('_', ' ')}: plain / {way}"
                    aim, brief = _AIMS.get(f"{name} {way}"), _BRIEF.get(f"{name} {way}{part}", "")
                    yield Ratio(what, short, *times, aim, brief, bool(aim) or not part)


def _strategies(rows: dict[str, Row]) -> Iterator[Ratio]:
    for place in ("", "gpu-"):
        direct, model = (rows.get(f"{place}strategy-{one}") for one in ("direct", "motion-model"))
        if direct and model:
            what = f"a frame of {size(model)}, {model['count']} frames: direct / motion-model"
            yield _of(
                what, f"{place}direct / motion-model", direct, model, "" if place else "`direct` / `motion-model`"
            )


def _bare(rows: dict[str, Row]) -> Iterator[Ratio]:
    for row in rows.values():
        if row["kind"] == "overhead":
            what = f"`propagate` / its bare loop, {row['edge']}^3 (the network sees {row['network_edge']}^3)"
            times = (round(row[on] / row[f"bare_{on}"], 2) for on in ("cpu", "wall"))
            brief = "`propagate` / its bare loop" if row["network_edge"] >= row["edge"] else ""
            yield Ratio(what, f"propagate / bare, {row['edge']}^3", *times, brief=brief)


def _tools(rows: dict[str, Row]) -> Iterator[Ratio]:
    for ours in ("any-anatomy-fast", "any-anatomy"):
        for row in rows.values():
            if row["kind"] == "tool" and f"tools-{ours}" in rows:
                what = f"a pair of {size(row)}: {row['method']} / {ours}"
                brief = f"{row['method'].split()[0]} / `{ours}`" if ours == "any-anatomy" else ""
                yield _of(what, f"{row['method']} / {ours}", row, rows[f"tools-{ours}"], brief)


def _cores(rows: dict[str, Row]) -> Iterator[Ratio]:
    if "cores-1" in rows and "cores-2" in rows:
        one, two = rows["cores-1"], rows["cores-2"]
        yield _of(f"a frame of {size(one)}: one thread / two", "one thread / two", one, two)


def _of(what: str, short: str, one: Row, other: Row, brief: str = "") -> Ratio:
    return Ratio(what, short, round(one["cpu"] / other["cpu"], 2), round(one["wall"] / other["wall"], 2), brief=brief)


def network(row: Row) -> str:
    return f"{row['network']}, {size(row)}"


def size(row: Row) -> str:
    return " x ".join(str(n) for n in reversed(row["shape"]))


def threads(row: Row) -> str:
    count = row.get("threads", 1)
    return "one thread" if count == 1 else f"{count} threads"
