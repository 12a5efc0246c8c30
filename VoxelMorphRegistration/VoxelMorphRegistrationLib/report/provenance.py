"""What was run: the settings in one line, the command to repeat it, the seconds and the machine; without names of files
and folders where they are not wanted.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from ..models.catalogue import list_models
from ..propagation.record import Run
from .run_folder import Row, RunFolder, number

_COMMAND = "slicer-voxelmorph"
#: Options whose value is a file or folder of the person who ran it.
_NAMES_FILES = (
    "--sequence", "--segmentation", "--output", "--points", "--surface", "--mask", "--initial-transform", "--fixed",
    "--moving", "--labels", "--output-transform", "--output-volume", "--output-labels", "--output-inverse", "--report",
    "--dump-network-inputs",
)  # fmt: skip
_SHOWN_FIRST = ("strategy", "align", "refine", "network_spacing", "label_interpolation", "reference_frames")
_SAID_BY_DEFAULT = {"network_spacing": "the network's own", "adapt": None, "save_transforms": 0, "seed": 0}


def settings_line(run: Run, anonymous: bool = False) -> str:
    """Everything that changes results, in one line; what is off is left out."""
    model = model_name(run.model, anonymous)
    settings = dict(run.settings)
    names = [*_SHOWN_FIRST, *sorted(set(settings) - set(_SHOWN_FIRST))]
    parts = [f"network {model}"]
    for name in names:
        if name not in settings:
            continue
        value = settings[name]
        if value is None and name in _SAID_BY_DEFAULT:
            value = _SAID_BY_DEFAULT[name]
        if value is None or (name in _SAID_BY_DEFAULT and value == _SAID_BY_DEFAULT[name] != "the network's own"):
            continue
        if isinstance(value, (list, tuple)):
            value = ", ".join(str(one) for one in value)
        parts.append(f"{name.replace('_', ' ')} {value}")
    return " · ".join(parts)


def model_name(model: dict[str, Any], anonymous: bool = False) -> str:
    """The network's name. A network of the person's own is named by their file, so that it is left out if unwanted."""
    name = str(model.get("name", "unknown"))
    if anonymous and name not in {entry.name for entry in list_models() if entry.state != "installed"}:
        return f"a network of their own ({str(model.get('sha256', ''))[:12]})"
    return name


def command_of(run: Run, anonymous: bool = False) -> str:
    """The command line that repeats a run, from the folder where it was given; absolute paths made relative to it."""
    arguments = [str(one) for one in run.circumstances.get("arguments") or ()]
    if not arguments:
        return ""
    working = str(run.circumstances.get("working_folder") or os.getcwd())
    return shlex.join([_COMMAND, *_told(arguments, working, anonymous)])


def frames_command(run: Run, anonymous: bool = False) -> str:
    """The same command for frames of a list: what the marks of the page are for. `LIST` stands for its name."""
    arguments = [str(one) for one in run.circumstances.get("arguments") or ()]
    kept, skip = [], False
    for argument in arguments:
        if skip or argument.startswith("--frames=") or argument == "--overwrite":
            skip = False
        elif argument == "--frames":
            skip = True
        else:
            kept.append(argument)
    if not kept:
        kept = ["propagate", "..."]
    working = str(run.circumstances.get("working_folder") or os.getcwd())
    return shlex.join([_COMMAND, *_told(kept, working, anonymous)]) + " --frames @LIST --overwrite"


def seconds_table(run: RunFolder) -> list[tuple[str, float]]:
    """Stages and their seconds. The frames' own are summed over the table; the others are those of the last start."""
    stages: list[tuple[str, float]] = [("computing the frames, one after the other", sum_of(run.rows, "seconds"))]
    told = run.latest.circumstances.get("seconds")
    if isinstance(told, dict):
        names = {
            "frames": "all frames by the clock, reading and writing included (last start)",
            "assembling": "putting the sequence together",
            "adapting": "adapting the network",
        }
        stages += [(names.get(str(name), str(name)), float(value)) for name, value in told.items()]
    return stages


def machine_lines(run: Run) -> list[tuple[str, str]]:
    """Device, processors, system and versions."""
    circumstances, versions = run.circumstances, run.versions
    half = ", U-Net in half precision" if circumstances.get("precision") == "half" else ""
    lines = [("device", str(circumstances.get("device", "unknown")) + half)]
    if circumstances.get("cores"):
        lines.append(("processor cores", str(circumstances["cores"])))
    lines.append(("system", str(versions.get("platform", "unknown"))))
    others = [f"{name} {value}" for name, value in versions.items() if name not in ("platform", "slicer-voxelmorph")]
    lines.append(("with", ", ".join(others)))
    return lines


def sum_of(rows: Iterable[Row], column: str) -> float:
    values = [number(row, column) for row in rows]
    return sum(value for value in values if value == value)


def duration(seconds: float) -> str:
    """`42.0 s`, `12 min`, `3.4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _told(arguments: Sequence[str], working: str, anonymous: bool) -> list[str]:
    told: list[str] = []
    option = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument.startswith("--") and not equals:
            option = argument
            told.append(argument)
            continue
        if argument.startswith("--"):
            told.append(f"{name}={_shown(name, value, working, anonymous)}")
            option = ""
            continue
        told.append(_shown(option, argument, working, anonymous))
        option = ""
    return told


def _shown(option: str, value: str, working: str, anonymous: bool) -> str:
    is_file = option in _NAMES_FILES or os.sep in value or "/" in value or value.startswith("@")
    if anonymous and is_file:
        return option.lstrip("-").upper() or "FILE"
    if is_file and os.path.isabs(value):
        try:
            return os.path.relpath(value, working)
        except ValueError:  # Another drive on Windows.
            return value
    return value
