"""`DIR/report.html`: the page of one propagation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..propagation.frames import Frames
from .curves import charts_of, rounded
from .frame_pictures import FramePictures, Limits
from .provenance import command_of, duration, frames_command, machine_lines, model_name, seconds_table, settings_line
from .rendering import write_page
from .run_folder import Row, RunFolder, find_frames, labels_file, number, read_run_folder
from .verdict import judge_run, severity, share_of_reference

PAGE = "report.html"
State = Literal["running", "finished", "interrupted", "unfinished"]
_CARDS = 60
_VOLUME_COLUMNS = 4
#: A path from the root; its last part is the file's name.
_ABSOLUTE = re.compile(r"(?:[A-Za-z]:)?[\\/](?:[^\s:\"'\\/]+[\\/])+([^\s:\"'\\/]+)")


@dataclass(frozen=True)
class PageSettings:
    """How a page is made.

    Attributes:
        anonymous: names of files and folders are left out.
        state: of the run; None finds out from the folder ('finished' or 'unfinished').
        reason: why the run ended early, for state 'interrupted'.
        limits: how much may be drawn.
    """

    anonymous: bool = False
    state: State | None = None
    reason: str = ""
    limits: Limits | None = None


def write_run_page(
    folder: str | Path,
    frames: Frames | str | Path | None = None,
    settings: PageSettings | None = None,
    pictures: FramePictures | None = None,
) -> Path:
    """Make the page of a propagation's folder, finished or not; returns its path.

        write_run_page("out/patient01")

    Args:
        frames: the sequence, or where it lies; None looks where the record says.
        pictures: those of an earlier call, which are not drawn again.

    Raises InputError when the folder holds no run or `frames` is another sequence, DependencyMissing without jinja2.
    """
    settings = settings or PageSettings()
    run = read_run_folder(folder)
    if not isinstance(frames, Frames):
        frames = find_frames(run, frames)
    verdict = judge_run(run)
    rows = {int(row["index"]): row for row in run.rows}
    odd = sorted(verdict.odd, key=lambda index: severity(rows[index]))
    pictures = pictures or FramePictures()
    pictures.draw(run, frames, odd, settings.limits or Limits())
    state = settings.state or ("finished" if run.complete or run.wanted is None else "unfinished")
    names = _Names(run, settings.anonymous)
    latest = run.latest
    return write_page(
        "run.html",
        run.path / PAGE,
        title="A propagation" if settings.anonymous else run.path.resolve().name,
        anonymous=settings.anonymous,
        state=state,
        reason=names.message(settings.reason),
        run=run,
        verdict=verdict,
        settings_line=settings_line(latest, settings.anonymous),
        cards=[_card(run, rows[index], pictures, names) for index in odd[:_CARDS]],
        more_cards=max(0, len(odd) - _CARDS),
        failures=[
            {"index": index, "words": names.message(rows[index].get("message") or "")}
            for index in verdict.failed[:_CARDS]
        ],
        more_failures=max(0, len(verdict.failed) - _CARDS),
        strip=sorted(pictures.strip.items()),
        missing_pictures=names.message(pictures.missing),
        labels=[{"name": run.label_name(label), "colour": n % 8} for n, label in enumerate(run.labels)],
        colours={label: n % 8 for n, label in enumerate(run.labels)},
        model=model_name(latest.model, settings.anonymous),
        sha256=str(latest.model.get("sha256", "")),
        made_with=str(latest.versions.get("slicer-voxelmorph", "unknown")),
        started=str(latest.circumstances.get("started", "")),
        command=command_of(latest, settings.anonymous),
        reruns=[settings_line(one, settings.anonymous) for one in run.runs[1:]],
        seconds=[(name, duration(value)) for name, value in seconds_table(run)],
        machine=machine_lines(latest),
        data=_data(run, names, settings),
    )


class _Names:
    """Texts as the page may show them."""

    def __init__(self, run: RunFolder, anonymous: bool) -> None:
        self._run, self._anonymous = run, anonymous

    def words(self, flag: str) -> str:
        """A flag with the labels' names in place of their numbers."""
        return re.sub(r"label (\d+)", lambda found: self._run.label_name(int(found.group(1))), flag)

    def message(self, message: str) -> str:
        """A message; nearly all of those of failed frames name files."""
        if self._anonymous and message:
            return "left out here, since it may name files; the column message of frames.csv has it"
        return _ABSOLUTE.sub(r"\1", message)

    def value(self, row: Row) -> str:
        """The frame's index value; nothing but a number where names are not wanted."""
        value = row.get("index_value") or ""
        try:
            float(value)
        except ValueError:
            return "" if self._anonymous else value
        return value

    def index(self) -> dict[str, str]:
        """What the index values are, as the title of a column and its unit."""
        told = self._run.latest.circumstances.get("index")
        if self._anonymous or not isinstance(told, dict):
            return {"title": "value", "unit": ""}
        name = str(told.get("name") or "value")
        return {"title": "value" if name == "frame" else name, "unit": str(told.get("unit") or "")}

    def frame_file(self, index: int) -> str:
        recorded = self._run.latest.frame(index) or ""
        return "" if self._anonymous else recorded.partition(" | ")[0]


def _card(run: RunFolder, row: Row, pictures: FramePictures, names: _Names) -> dict[str, Any]:
    index = int(row["index"])
    file = labels_file(run.path, index)
    return {
        "index": index,
        "value": names.value(row),
        "words": [names.words(part) for part in (row.get("flag") or "").split("; ") if part],
        "note": names.message(row.get("message") or ""),
        "pictures": pictures.odd.get(index, ()),
        "file": f"segmentation/{file.name}" if file else "",
        "before": number(row, "inside_before"),
        "after": number(row, "inside_after"),
        "folded": number(row, "folded_percent"),
    }


def _data(run: RunFolder, names: _Names, settings: PageSettings) -> dict[str, Any]:
    """What the page's script works on; lists have an entry a row of the table."""

    def column(name: str) -> list[float | None]:
        return rounded(number(row, name) for row in run.rows)

    columns = [("inside untouched", "", column("inside_before")), ("inside after", "", column("inside_after"))]
    if not any(value is not None for value in columns[1][2]):
        columns = [("untouched", "", column("similarity_before")), ("after", "", column("similarity_after"))]
    columns += [
        (f"{run.label_name(label)} volume", "%", rounded(share_of_reference(run, label)))
        for label in run.labels[:_VOLUME_COLUMNS]
    ]
    columns += [
        ("folded", "%", column("folded_percent")),
        ("comes back within", "mm", column("inverse_consistency_mm")),
        ("computing", "s", column("seconds")),
    ]
    digits = max([4, *(len(row["index"]) for row in run.rows)])
    if run.total:
        digits = max(digits, len(str(run.total - 1)))
    return {
        "key": f"voxelmorph-marks:{run.runs[0].fingerprint[:16]}:{run.runs[0].circumstances.get('started', '')}",
        "frames": [int(row["index"]) for row in run.rows],
        "values": [names.value(row) for row in run.rows],
        "index": names.index(),
        "status": [row["status"] for row in run.rows],
        "odd": [names.words(row.get("flag") or "") for row in run.rows],
        "columns": [{"title": title, "unit": unit, "values": values} for title, unit, values in columns],
        "charts": charts_of(run),
        "digits": digits,
        "files": [names.frame_file(int(row["index"])) for row in run.rows] if _one_file_a_frame(run) else [],
        "sequence": names.frame_file(0),
        "command": frames_command(run.latest, settings.anonymous),
    }


def _one_file_a_frame(run: RunFolder) -> bool:
    return len(run.latest.frames) > 1
