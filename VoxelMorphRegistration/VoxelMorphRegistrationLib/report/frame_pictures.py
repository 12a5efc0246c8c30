"""Pictures of single frames of a run: what stands out in three planes, and a filmstrip of one plane."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..annotations.label_boxes import bounding_box
from ..errors import InputError
from ..files.images import read_image
from ..propagation.frames import Frames
from ..space.grid import Grid
from .drawing import Outline, Picture, Window, data_uri, outline, stride_for
from .planes import Orientation, PlaneName, cut, fullest, in_plane
from .run_folder import Row, RunFolder, labels_file

_STRIP_FRAMES = 12
_ODD_FRAMES = 40
_BYTES = 5_000_000
_MARGIN = 0.3  # of the segmentation's extent, shown around it
_LABELS_DRAWN = 24


@dataclass
class Limits:
    """How much may be drawn: seconds from now, and how many frames that stand out."""

    seconds: float = 45.0
    odd_frames: int = _ODD_FRAMES


@dataclass
class FramePictures:
    """Pictures by frame, kept from one writing of a page to the next, so that each is drawn once.

    Attributes:
        odd: of frames that stand out, three planes each. strip: one plane of evenly chosen frames.
        missing: why frames have no picture; '' when nothing is missing.
    """

    odd: dict[int, tuple[Picture, ...]] = field(default_factory=dict)
    strip: dict[int, Picture] = field(default_factory=dict)
    missing: str = ""
    _made_of: dict[int, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        odd = sum(picture.size for pictures in self.odd.values() for picture in pictures)
        return odd + sum(picture.size for picture in self.strip.values())

    def draw(self, run: RunFolder, frames: Frames | None, odd: Sequence[int], limits: Limits) -> None:
        """Draw what is lacking: the filmstrip first, then the frames `odd`, the oddest first.

        What cannot be drawn is left out, and `missing` says why.
        """
        rows = {int(row["index"]): row for row in run.rows}
        self._forget_remade(rows)
        strip = chosen_evenly([index for index, row in rows.items() if row["status"] != "failed"], _STRIP_FRAMES)
        self.strip = {index: picture for index, picture in self.strip.items() if index in strip}
        wanted = [index for index in odd if rows[index]["status"] != "failed"][: limits.odd_frames]
        self.odd = {index: pictures for index, pictures in self.odd.items() if index in wanted}
        self.missing = ""
        if frames is None:
            self.missing = "the images are not where the run found them; slicer-voxelmorph report DIR --sequence S"
            return
        lacking = [index for index in strip if index not in self.strip]
        lacking += [index for index in wanted if index not in self.odd and index not in lacking]
        if lacking and limits.seconds <= 0:
            self.missing = "they are drawn as the run goes on"
        artist = self._artist(run, frames) if lacking and limits.seconds > 0 else None
        if artist is None:
            return
        until = time.monotonic() + limits.seconds
        for index in lacking:
            if self.size > _BYTES or time.monotonic() > until:
                self.missing = "drawing all of them would take too long; slicer-voxelmorph report DIR draws more"
                if self.size > _BYTES:
                    self.missing = "more pictures would make this page too large"
                return
            try:
                view = artist.look(index, rows[index])
            except (InputError, IndexError) as error:
                self.missing = self.missing or f"frame {index}: {error}"
                continue
            self._made_of[index] = _identity(rows[index])
            if index in strip:
                self.strip[index] = view.strip()
            if index in wanted:
                self.odd[index] = view.planes(_labels_named(rows[index]))

    def _artist(self, run: RunFolder, frames: Frames) -> _Artist | None:
        reference = run.reference
        path = None if reference is None else labels_file(run.path, int(reference["index"]))
        if reference is None or path is None:
            self.missing = "no segmentation of the reference frame is in the folder"
            return None
        try:
            return _Artist(run.path, frames, int(reference["index"]), read_image(path))
        except (InputError, IndexError) as error:
            self.missing = str(error)
            return None

    def _forget_remade(self, rows: dict[int, dict[str, str]]) -> None:
        """Pictures of frames that were made anew since are drawn again."""
        for index, made_of in list(self._made_of.items()):
            if index not in rows or _identity(rows[index]) != made_of:
                self.odd.pop(index, None)
                self.strip.pop(index, None)
                del self._made_of[index]


def chosen_evenly(indices: Sequence[int], count: int) -> list[int]:
    """At most `count` of some frames, evenly, the first and the last included."""
    if len(indices) <= count:
        return list(indices)
    return sorted({indices[round(place)] for place in np.linspace(0, len(indices) - 1, count)})


class _Artist:
    """Draws frames beside one reference, all in the same grey window."""

    def __init__(self, folder: Path, frames: Frames, reference: int, labels: sitk.Image) -> None:
        self._folder, self._frames, self.reference_labels = folder, frames, labels
        image = frames[reference]  # A name of its own, since a view does not keep its image.
        self.window = Window.of(sitk.GetArrayViewFromImage(image))

    def look(self, index: int, row: Row) -> _View:
        """Raises InputError when the frame or its labels cannot be read."""
        image, path = self._frames[index], labels_file(self._folder, index)
        if path is None:
            raise InputError("its segmentation is not in the folder")
        return _View(self, image, read_image(path))


class _View:
    """One frame with its segmentation and the untouched one, turned to be looked at."""

    def __init__(self, artist: _Artist, image: sitk.Image, labels: sitk.Image) -> None:
        grid = Grid.of(image)
        untouched = artist.reference_labels
        if not Grid.of(untouched).same_as(grid):
            identity = sitk.Transform(grid.dimension, sitk.sitkIdentity)
            canvas = grid.empty_image(sitk.sitkUInt8)
            untouched = sitk.Resample(untouched, canvas, identity, sitk.sitkNearestNeighbor, 0.0)
        self._orientation = Orientation.of(grid)
        self._window = artist.window
        turned = self._orientation.turned
        # The images are held, since the arrays are views of them.
        self._held = (image, labels, untouched)
        self._image, self._after, self._before = (turned(sitk.GetArrayViewFromImage(one)) for one in self._held)

    def planes(self, focus: Sequence[int] = ()) -> tuple[Picture, ...]:
        """The three planes with the most voxels of the labels in focus (of all labels without)."""
        names = self._orientation.planes
        looked_at = np.isin(self._after, focus) if focus else self._after
        if not looked_at.any():
            looked_at = np.isin(self._before, focus) if focus else self._before
        return tuple(self._picture(name, fullest(looked_at, name), self._box) for name in names)

    def strip(self) -> Picture:
        """One plane that stands still from frame to frame: coronal, where most organs move most."""
        name = "coronal" if "coronal" in self._orientation.planes else "image"
        return self._picture(name, fullest(self._before, name), self._still_box)

    @cached_property
    def _box(self) -> tuple[slice, ...]:
        return self._around((self._before != 0) | (self._after != 0))

    @cached_property
    def _still_box(self) -> tuple[slice, ...]:
        return self._around(self._before != 0)

    def _around(self, mask: np.ndarray) -> tuple[slice, ...]:
        tight = bounding_box(mask)
        spacing = self._orientation.spacing
        if tight is None:
            return tuple(slice(0, n) for n in mask.shape)
        margin = _MARGIN * max((side.stop - side.start) * step for side, step in zip(tight, spacing))
        return tuple(
            slice(max(0, side.start - round(margin / step)), min(n, side.stop + round(margin / step)))
            for side, step, n in zip(tight, spacing, mask.shape)
        )

    def _picture(self, plane: PlaneName, position: int, box: tuple[slice, ...]) -> Picture:
        rows, columns = in_plane(box, plane)
        image, after, before = (
            cut(one, plane, position)[rows, columns] for one in (self._image, self._after, self._before)
        )
        step = stride_for(image.shape)
        every = (slice(None, None, step[0]), slice(None, None, step[1]))
        image, after, before = image[every], after[every], before[every]
        height, width = (s * n * k for s, n, k in zip(in_plane(self._orientation.spacing, plane), image.shape, step))
        outlines = [
            Outline(kind, int(label), outline(labels == label))
            for kind, labels in (("before", before), ("after", after))
            for label in np.unique(labels[labels != 0])[:_LABELS_DRAWN]
        ]
        pixels = data_uri(self._window.grey(image))
        return Picture(plane, pixels, image.shape[1], image.shape[0], width, height, tuple(outlines))


def _labels_named(row: Row) -> list[int]:
    """The labels that the flag of a frame names."""
    return sorted({int(label) for label in re.findall(r"label (\d+)", row.get("flag") or "")})


def _identity(row: Row) -> str:
    return "|".join(row.get(name) or "" for name in ("run", "status", "seconds", "inside_after"))
