"""What strategy motion-model keeps in the folder of a run: looks and key frames to go on from, the model, the curve.

    .resume/0007.look.npz     the coarse look at a frame
    .resume/0000.keys.npz     which frames are key frames, by the number of their reference
    motion-model.npz          mean, modes, explained share (with several references motion-model-0000.npz, ...)
    motion.csv                the coefficients over time

Docs/motion-model.md says what each of them holds.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files.array_archives import npz_shapes, read_npz
from ..files.atomic import atomic_write
from ..space import displacement as displacements
from ..space.grid import Grid
from .frames import Frames
from .motion_model_fit import Modes
from .record import describe_file
from .table import quoted_cells

CURVE = "motion.csv"
MODELS = "motion-model*.npz"


@dataclass(frozen=True)
class Choice:
    """What was chosen among the frames that one reference serves: frame numbers.

    Attributes:
        frames: all of them that were looked at or could not be. keys: in the order chosen. unlike: those apart.
    """

    frames: tuple[int, ...]
    keys: tuple[int, ...]
    unlike: tuple[int, ...]


@dataclass(frozen=True)
class KnownModes:
    """The modes that an earlier scan of the same patient left: (m, *grid.shape, d) on a grid, LPS mm."""

    vectors: np.ndarray
    grid: Grid
    name: str

    def on(self, grid: Grid) -> np.ndarray:
        """(m, p), orthonormal, on another grid; zero beyond their own. Raises InputError where they have nothing."""
        if grid.dimension != self.grid.dimension:
            raise InputError(f"{self.name}: a motion model of {self.grid.dimension} dimensions; give this patient's")
        resampled = [
            displacements.resample(displacements.from_array(mode, self.grid), grid, "zero") for mode in self.vectors
        ]
        rows = np.stack([sitk.GetArrayFromImage(one).ravel() for one in resampled])
        lengths = np.linalg.norm(rows, axis=1)
        if not (lengths > 1e-3).all():
            raise InputError(f"{self.name}: none of its motion lies where these frames are; give this patient's model")
        basis, triangle = np.linalg.qr((rows / lengths[:, None]).T.astype(np.float64))
        return (basis * np.sign(np.diag(triangle))).T.astype(np.float32)


def read_modes(path: str | Path) -> KnownModes:
    """The modes in the `motion-model.npz` of a run. Raises InputError when the file holds none."""
    try:
        described = (read_npz(Path(path), name).tolist() for name in ("size", "spacing", "origin", "direction"))
        grid = Grid(*map(tuple, described))
        modes = read_npz(Path(path), "modes")
    except (InputError, ValueError, TypeError) as error:
        reason = " ".join(str(error).removeprefix(f"{path}: ").partition(";")[0].split())
        raise InputError(
            f"{path}: holds no motion model ({reason}); give the motion-model.npz of a run's folder"
        ) from error
    shape = (len(modes), *grid.shape, grid.dimension)
    if modes.shape != shape or not len(modes) or not np.isfinite(modes).all():
        raise InputError(f"{path}: its modes are {modes.shape} and not {shape}; give the file as a run wrote it")
    return KnownModes(modes, grid, str(path))


class MotionStore:
    """Files of one run's folder, for the frames of one reference; without a folder nothing is kept.

    Args:
        seen_by: what looks at the frames: looks of another network or at another spacing are not taken.
        alone: whether this reference serves all frames.
    """

    def __init__(self, folder: Path | None, frames: Frames, reference: int, seen_by: str = "", alone: bool = True):
        self._folder, self._frames, self.reference = folder, frames, reference
        self._seen_by, self._alone = seen_by, alone
        self._digits = max(4, len(str(len(frames) - 1)))

    def look(self, index: int) -> np.ndarray | None:
        """The look that was kept of a frame as it is now; None when there is none."""
        kept = self._load(self._path(index, "look"))
        if kept is None or str(kept.get("made_of")) != self._made_of(index):
            return None
        return kept.get("look")

    def keep_look(self, index: int, look: np.ndarray) -> None:
        self._save(self._path(index, "look"), {"look": look, "made_of": np.array(self._made_of(index))})

    def choice(self) -> Choice | None:
        kept = self._load(self._path(self.reference, "keys"))
        if kept is None or not {"frames", "keys", "unlike"} <= kept.keys():
            return None
        return Choice(*(tuple(kept[name].astype(int).tolist()) for name in ("frames", "keys", "unlike")))

    def keep_choice(self, choice: Choice) -> None:
        named = {"frames": choice.frames, "keys": choice.keys, "unlike": choice.unlike}
        self._save(self._path(self.reference, "keys"), {name: np.array(v, int) for name, v in named.items()})

    @property
    def has_model(self) -> bool:
        """Whether model and curve are there."""
        return self._model is not None and self._model.is_file() and self._model.with_name(CURVE).is_file()

    def write_model(self, modes: Modes, choice: Choice, grid: Grid) -> None:
        """Mean and modes on the grid of the looks."""
        shape = (*grid.shape, grid.dimension)
        content = {
            "mean": modes.mean.reshape(shape),
            "modes": modes.vectors.reshape(-1, *shape),
            "explained": modes.explained,
            "key_frames": np.array(choice.keys, int),
            "unlike_frames": np.array(choice.unlike, int),
            "reference_frame": np.array(self.reference),
            "size": np.array(grid.size),
            "spacing": np.array(grid.spacing),
            "origin": np.array(grid.origin),
            "direction": np.array(grid.direction),
        }
        if self._model is not None:
            self._save(self._model, content)

    def write_curve(self, rows: Sequence[Mapping[str, str]]) -> None:
        """The rows of this reference's frames, ascending; where there are other references, their frames' rows stay.

        Each gets its frame's index value, where frames have one that is not their number.
        """
        if self._folder is None:
            return
        values = {str(index): self._frames.value(index) for index in range(len(self._frames))}
        if any(index != value for index, value in values.items()):
            rows = [quoted_cells({"index": row["index"], "index_value": values[row["index"]], **row}) for row in rows]
        path = self._folder / CURVE
        earlier: list[dict[str, str]] = []
        if path.is_file() and not self._alone:
            with open(path, encoding="utf-8", newline="") as stream:
                earlier = [row for row in csv.DictReader(stream) if row.get("index", "").isdigit()]
        mine = {row["index"] for row in rows}
        others = [row for row in earlier if row["index"] not in mine]
        ordered = sorted([*others, *rows], key=lambda row: int(row["index"]))
        # Rows of an earlier version have no index value, those of another reference more modes or fewer.
        columns = list(dict.fromkeys(name for row in sorted(ordered, key=len, reverse=True) for name in row))
        with atomic_write(path) as partial, open(partial, "w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(ordered)

    def _made_of(self, index: int) -> str:
        file, own = self._frames.file(index), self._frames.file(self.reference)
        return " | ".join([self._seen_by, str(self.reference), describe_file(own), describe_file(file)])

    @property
    def _model(self) -> Path | None:
        name = "motion-model.npz" if self._alone else f"motion-model-{self._name(self.reference)}.npz"
        return None if self._folder is None else self._folder / name

    def _name(self, index: int) -> str:
        return f"{index:0{self._digits}d}"

    def _path(self, index: int, what: str) -> Path:
        return (self._folder or Path()) / ".resume" / f"{self._name(index)}.{what}.npz"

    def _load(self, path: Path) -> dict[str, np.ndarray] | None:
        if self._folder is None:
            return None
        try:
            return {name: read_npz(path, name) for name in npz_shapes(path)}
        except InputError:
            return None

    def _save(self, path: Path, content: Mapping[str, np.ndarray]) -> None:
        if self._folder is None:
            return
        with atomic_write(path) as partial, open(partial, "wb") as stream:
            np.savez(stream, **content)  # type: ignore[arg-type]
