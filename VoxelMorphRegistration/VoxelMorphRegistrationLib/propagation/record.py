"""run.json: what made the files of a folder, so that a later run knows which of them it may keep."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.atomic import atomic_write
from .frames import Frames

_FORMAT = 1
#: Settings that say what the network saw: runs of earlier versions are without them.
_SEEN = ("network_grid", "model_card")
_PACKAGES = ("torch", "voxelmorph", "SimpleITK", "numpy", "scipy", "nibabel")

Input = str  # 'name | bytes | nanoseconds of last change', or '' for what is in no file


@dataclass
class Run:
    """One set of settings, model and inputs.

    Attributes:
        settings: everything that changes results; what only says where or how fast is in `circumstances`.
        model: {'name', 'sha256'}.
        inputs: by role ('segmentation 0', 'reference frame 0', 'points', ...).
        frames: the file of each frame, by number; one entry for all when they are in one file.
    """

    settings: dict[str, Any]
    model: dict[str, str]
    inputs: dict[str, Input]
    frames: list[Input]
    circumstances: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Of settings, model and inputs, but for the frames: each frame is held against its own file."""
        text = json.dumps([self.settings, self.model["sha256"], self.inputs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def says_what_was_seen(self) -> bool:
        """Whether the settings tell the network's grid and card, as versions before this one did not."""
        return all(name in self.settings for name in _SEEN)

    def without_what_was_seen(self) -> Run:
        """The same run as earlier versions described it."""
        return replace(self, settings={name: value for name, value in self.settings.items() if name not in _SEEN})

    def frame(self, index: int) -> Input | None:
        """The file of a frame; None for a frame there was not."""
        if len(self.frames) == 1:
            return self.frames[0]
        return self.frames[index] if index < len(self.frames) else None

    def difference(self, other: Run) -> str:
        """The first thing that differs, for people: `strategy: 'direct' there, 'sequential' here`."""
        for name in {**self.settings, **other.settings}:
            mine, theirs = self.settings.get(name), other.settings.get(name)
            if mine != theirs:
                return f"{name}: {theirs} there, {mine} here"
        if self.model != other.model:
            return f"model: {other.model['name']} there, {self.model['name']} here"
        for role in {**self.inputs, **other.inputs}:
            mine, theirs = self.inputs.get(role), other.inputs.get(role)
            if mine != theirs:
                name = (mine or "").partition(" | ")[0]
                same_name = bool(name) and (theirs or "").startswith(f"{name} | ")
                return f"{role}: {name} has changed since" if same_name else f"{role}: another one"
        return "nothing"


class RunRecord:
    """The runs of a folder: the first one, and those that redid chosen frames with other settings."""

    def __init__(self, path: Path, runs: list[Run], frame_runs: dict[int, int] | None = None) -> None:
        self.path = path
        self.runs = runs
        self.frame_runs = frame_runs or {}

    @classmethod
    def read(cls, path: Path) -> RunRecord | None:
        """None when there is no such file; raises InputError when it cannot be understood."""
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']}")
            runs = [
                Run(**{key: part[key] for key in Run.__dataclass_fields__}) for part in (content, *content["reruns"])
            ]
            return cls(path, runs, {int(index): run for index, run in content["frame_runs"].items()})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: not a record of a run ({error}); give another folder, or --overwrite") from error

    def write(self) -> None:
        first, *reruns = [{**vars(run), "fingerprint": run.fingerprint} for run in self.runs]
        frame_runs = {str(index): run for index, run in sorted(self.frame_runs.items()) if run}
        content = {"format": _FORMAT, **first, "reruns": reruns, "frame_runs": frame_runs}
        with atomic_write(self.path) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def matching(self, run: Run) -> int | None:
        """The number of the run with the same fingerprint and model: two models can share their weights.

        A run of an earlier version, which does not say what its network saw, matches where all it says is the same.
        """
        for wanted in (run, run.without_what_was_seen()):
            for number, one in enumerate(self.runs):
                if one.fingerprint == wanted.fingerprint and one.model == wanted.model:
                    return number
        return None


def describe_file(path: str | Path | None) -> Input:
    """Name, size and time of last change; '' for a file that cannot be looked at, or none."""
    if path is None:
        return ""
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    return f"{Path(path).name} | {status.st_size} | {status.st_mtime_ns}"


def describe_frames(frames: Frames) -> list[Input]:
    """One entry a frame, or one for all where they are in one file."""
    files = [frames.file(index) for index in range(len(frames))]
    if len(set(files)) == 1:
        return [describe_file(files[0])]
    return [describe_file(file) for file in files]


def installed_versions() -> dict[str, str]:
    return dict(_installed_versions())


@cache
def _installed_versions() -> dict[str, str]:
    from ..version import __version__

    found = {"slicer-voxelmorph": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
