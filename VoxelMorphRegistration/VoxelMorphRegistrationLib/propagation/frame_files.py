"""The files of each frame in the folder of a run: their names, and how they are written and found again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..annotations.segmentation import Segmentation
from ..errors import InputError
from ..files.atomic import atomic_write
from ..files.displacements import write_displacement
from ..files.images import write_image
from ..files.markups import write_points
from ..files.meshes import write_surface
from ..files.segmentations import write_segmentation
from ..space.grid import Grid
from .frame_result import FrameResult

FOLDERS = ("segmentation", "transforms", "points", "surface", ".resume", "adapted")


@dataclass(frozen=True)
class Wanted:
    """What is written of a frame besides its segmentation.

    `transforms` is 0 for none, n for every n-th voxel an axis.
    """

    transforms: int = 0
    points: bool = False
    surface: bool = False


class FrameFiles:
    """The files of a run of `count` frames in a folder that is there."""

    def __init__(self, folder: Path, count: int, wanted: Wanted) -> None:
        self._folder, self._wanted = folder, wanted
        self._digits = max(4, len(str(count - 1)))

    def make_folders(self) -> None:
        """Raises OSError when that is not possible."""
        wanted = {"transforms": self._wanted.transforms, "points": self._wanted.points, "surface": self._wanted.surface}
        for name in ("segmentation", *[name for name, is_wanted in wanted.items() if is_wanted], ".resume"):
            (self._folder / name).mkdir(exist_ok=True)

    def name(self, index: int) -> str:
        return f"{index:0{self._digits}d}"

    def labels(self, index: int) -> Path:
        """The label volume of a frame."""
        return self._folder / "segmentation" / f"{self.name(index)}.nrrd"

    def exist(self, index: int) -> bool:
        """Whether the frame's results are there: labels, or points or a surface where only these are carried."""
        points, surface = self._points(index), self._surface(index)
        return self.labels(index).is_file() or points.is_file() or surface.is_file()

    def write(self, result: FrameResult) -> None:
        """Everything wanted of a frame that did not fail, each file whole or not at all."""
        assert result.displacement is not None
        if self._wanted.transforms:
            field = every_nth(result.displacement, self._wanted.transforms)
            write_displacement(field, self._transform(result.index))
        if result.points is not None:
            write_points(result.points, self._points(result.index))
        if result.surface is not None:
            write_surface(result.surface, self._surface(result.index))
        if result.segmentation is not None:
            self._write_segmentation(result.segmentation, result.index)
        if result.keep:
            self._keep(result.index, result.displacement)

    def of(self, result: FrameResult) -> dict[str, str]:
        """The files of a frame that was written, by what they are: segmentation (the one with all layers where
        segments overlap), transform, points, surface.
        """
        labels = self.labels(result.index)
        layered = labels.with_suffix(".seg.nrrd")
        overlaps = result.segmentation is not None and len(result.segmentation.layers) > 1
        files = {
            "segmentation": layered if overlaps else labels,
            "transform": self._transform(result.index),
            "points": self._points(result.index),
            "surface": self._surface(result.index),
        }
        wanted = {
            "segmentation": result.segmentation is not None,
            "transform": bool(self._wanted.transforms),
            "points": result.points is not None,
            "surface": result.surface is not None,
        }
        return {what: str(path) for what, path in files.items() if result.status != "failed" and wanted[what]}

    def found(self, index: int) -> dict[str, Path]:
        """The files that a frame has, under the names of `of`."""
        labels = self.labels(index)
        layered = labels.with_suffix(".seg.nrrd")
        files = {
            "segmentation": layered if layered.is_file() else labels,
            "transform": self._transform(index),
            "points": self._points(index),
            "surface": self._surface(index),
        }
        return {what: path for what, path in files.items() if path.is_file()}

    def log_failure(self, result: FrameResult) -> None:
        """Where and why a frame failed, at the end of log.txt. Raises InputError when the disk does not take it."""
        if result.failure is None:
            return
        path = self._folder / "log.txt"
        told = f"{datetime.now().astimezone().isoformat(timespec='seconds')} {result.message}\n"
        try:
            with open(path, "a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(f"{told}{result.failure.traceback}\n")
        except OSError as error:
            raise InputError(
                f"{path}: cannot be written ({error.strerror}); free space and start the run again"
            ) from error

    def recall(self, index: int) -> sitk.Image | None:
        """The displacement that was kept of a frame, exactly as it was; None when there is none that can be read."""
        try:
            with np.load(self._kept(index)) as kept:
                grid = Grid(*(tuple(kept[name].tolist()) for name in ("size", "spacing", "origin", "direction")))
                vectors = kept["vectors"]
                whole = vectors.shape == (*grid.shape, grid.dimension) and bool(np.isfinite(vectors).all())
                return grid.image(vectors, vector=True) if whole else None
        except Exception:  # Whatever damage it has met: it is then made anew.
            return None

    def release(self, index: int) -> None:
        """The frame's kept displacement is needed no more."""
        self._kept(index).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what an earlier run wrote, and nothing else. A log that this very process prints into goes on."""
        if not _is_printed_into(self._folder / "log.txt"):
            (self._folder / "log.txt").unlink(missing_ok=True)
        for folder in FOLDERS:
            for entry in (self._folder / folder).glob("*"):
                if entry.is_file() and (entry.name[:1].isdigit() or entry.name.startswith((".", "network."))):
                    entry.unlink()

    def remove_leftovers(self) -> None:
        """Temporary files of a run that was killed while it wrote them."""
        inside = [entry for name in FOLDERS for entry in (self._folder / name).glob(".*-*")]
        for entry in [*self._folder.glob(".partial-*"), *inside]:
            entry.unlink(missing_ok=True)

    def _write_segmentation(self, segmentation: Segmentation, index: int) -> None:
        flat = segmentation.flattened()
        if len(segmentation.layers) > 1:
            write_segmentation(segmentation, self.labels(index).with_suffix(".seg.nrrd"))
        if all(segment.is_unnamed for segment in flat.segments):
            write_image(flat.layers[0], self.labels(index))
        else:
            write_segmentation(flat, self.labels(index))

    def _keep(self, index: int, displacement: sitk.Image) -> None:
        grid = Grid.of(displacement)
        with atomic_write(self._kept(index)) as partial, open(partial, "wb") as stream:
            np.savez(
                stream,
                vectors=sitk.GetArrayViewFromImage(displacement),
                size=grid.size,
                spacing=grid.spacing,
                origin=grid.origin,
                direction=grid.direction,
            )

    def _transform(self, index: int) -> Path:
        return self._folder / "transforms" / f"{self.name(index)}.nrrd"

    def _points(self, index: int) -> Path:
        return self._folder / "points" / f"{self.name(index)}.mrk.json"

    def _surface(self, index: int) -> Path:
        return self._folder / "surface" / f"{self.name(index)}.vtp"

    def _kept(self, index: int) -> Path:
        return self._folder / ".resume" / f"{self.name(index)}.npz"


def _is_printed_into(path: Path) -> bool:
    """Whether standard output or error of this process goes into a file."""
    for stream in (1, 2):
        try:
            if os.path.samestat(os.fstat(stream), path.stat()):
                return True
        except OSError:
            continue
    return False


def every_nth(displacement: sitk.Image, step: int) -> sitk.Image:
    """The displacement at every `step`-th voxel along each axis, from the first."""
    if step == 1:
        return displacement
    every = tuple(slice(None, None, step) for _ in range(displacement.GetDimension()))
    array = sitk.GetArrayViewFromImage(displacement)[every]
    grid = Grid.of(displacement)
    size = tuple(reversed(array.shape[:-1]))
    return Grid(size, tuple(s * step for s in grid.spacing), grid.origin, grid.direction).image(array, vector=True)
