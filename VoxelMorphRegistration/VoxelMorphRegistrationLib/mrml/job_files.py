"""Nodes as files for a process that knows no scene: written once, and by their own path where that is the same."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import slicer

from ..errors import InputError, error_summary
from ..files.atomic import atomic_write
from ..files.frame_lists import FrameList, write_frame_list
from ..files.markups import write_points
from ..files.meshes import write_surface
from ..files.segmentations import write_segmentation
from ..space.grid import Grid
from .beside import Beside
from .disk_sequences import source_of
from .prepared_sequence import PreparedSequence

_SEQUENCE_FILES = (".seq.nrrd", ".nii", ".nii.gz")
_LIST, _EARLIER_LIST = "sequence.json", "frames.txt"
_IMAGE_FILES = (".nrrd", ".nii", ".nii.gz", ".mha")


def write_for_worker(image: sitk.Image, path: Path) -> Path:
    """Uncompressed, since it is read once and soon. Raises InputError when the disk does not take it."""
    with atomic_write(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=False)
    return path


def own_file(node: slicer.vtkMRMLStorableNode, endings: tuple[str, ...]) -> Path | None:
    """The file that holds exactly what a node holds: it was loaded from there and not changed since; else None."""
    storage = node.GetStorageNode()
    name = storage.GetFileName() if storage is not None else None
    if not name or storage.GetNumberOfFileNames() > 0 or not name.lower().endswith(endings):
        return None
    path = Path(name)
    return None if node.GetModifiedSinceRead() or not path.is_file() else path


def own_image_file(node: slicer.vtkMRMLVolumeNode, image: sitk.Image) -> Path | None:
    """The file that holds a volume as `image` has it: unmodified, with the same pixels and geometry; else None.

    A volume under a transform, or one that was centered while it was loaded, lies elsewhere than in its file.
    """
    path = own_file(node, _IMAGE_FILES)
    if path is None:
        return None
    header = sitk.ImageFileReader()
    header.SetFileName(str(path))
    try:
        header.ReadImageInformation()
    except RuntimeError:
        return None
    if header.GetPixelID() != image.GetPixelID() or header.GetSize() != image.GetSize():
        return None
    grid = Grid(header.GetSize(), header.GetSpacing(), header.GetOrigin(), header.GetDirection())
    return path if grid.same_as(Grid.of(image)) else None


class SequenceFiles:
    """A sequence and what was drawn on it, as files in the folder `scratch` of a run folder.

    A frame whose voxels are in its file already is not written again: the files keep their times, by which a run that
    is continued knows that its frames are the same.

    Attributes:
        sequence: what a propagation by file takes as its sequence, once `write` has ended.
    """

    def __init__(self, prepared: PreparedSequence, run_folder: Path) -> None:
        self._prepared = prepared
        self._folder = run_folder / "scratch"
        own = source_of(prepared.inputs.sequence) or own_file(prepared.inputs.sequence, _SEQUENCE_FILES)
        # A run folder that began with written frames goes on with them: to a run another file is another frame.
        began = any((self._folder / name).is_file() for name in (_LIST, _EARLIER_LIST))
        self._by_path = own is not None and not began
        self.sequence = own if own is not None and self._by_path else self._folder / _LIST

    def write(self) -> Generator[Any, Any, None]:
        """Write frame after frame; yields the share that is done after each, and pieces (see `beside`)."""
        try:
            (self._folder / "frames").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self._folder}: cannot be made ({error_summary(error)}); choose another run folder"
            ) from error
        if self._by_path:
            return
        frames, known = self._prepared.frames, self._known()
        sums: dict[str, str] = {}
        for index in range(len(frames)):
            image = frames[index]
            name = f"{index:05d}.nrrd"
            sums[name] = yield Beside(partial(_write_if_other, image, self._folder / "frames" / name, known.get(name)))
            yield (index + 1) / len(frames)
        _write_if_new(self._folder / "sums.json", json.dumps(sums, indent=0))
        files = tuple(self._folder / "frames" / name for name in sums)
        values = tuple(frames.value(index) for index in range(len(frames)))
        name, index_of = self._prepared.inputs.sequence.GetName() or "", (frames.index_name, frames.index_unit)
        write_frame_list(FrameList(files, values, name, *index_of, frames.index_type), self._folder / _LIST)

    def options(self) -> list[str]:
        """The command line's options for what was drawn; its files are written when this is called."""
        prepared, options = self._prepared, []
        for index, segmentation in prepared.drawn.segmentations.items():
            options += ["--reference-frame", str(index)]
            if segmentation is None:
                continue
            path = self._folder / f"drawn-{index:05d}.seg.nrrd"
            with _kept_if_same(path) as partial:
                write_segmentation(segmentation, partial)
            options += ["--segmentation", str(path)]
        if prepared.points is not None:
            path = self._folder / "points.mrk.json"
            with _kept_if_same(path) as partial:
                write_points(prepared.points, partial)
            options += ["--points", str(path)]
        if prepared.surface is not None:
            path = self._folder / "surface.vtp"
            with _kept_if_same(path) as partial:
                write_surface(prepared.surface, partial)
            options += ["--surface", str(path)]
        mask = prepared.mask
        if mask is not None:
            path = self._folder / "mask.nrrd"
            with _kept_if_same(path) as partial:
                sitk.WriteImage(sitk.Cast(mask != 0, sitk.sitkUInt8), str(partial), useCompression=True)
            options += ["--mask", str(path)]
        return options

    def _known(self) -> dict[str, str]:
        try:
            return dict(json.loads((self._folder / "sums.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}


@contextmanager
def _kept_if_same(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which replaces it unless it holds the same bytes: an unchanged file keeps its
    time.
    """
    partial = path.with_name(f".new-{path.name}")
    try:
        yield partial
        if not _same_bytes(path, partial):
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _same_bytes(one: Path, other: Path) -> bool:
    return one.is_file() and one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _write_if_new(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")


def _write_if_other(image: sitk.Image, path: Path, known: str | None) -> str:
    """Write a frame unless its file holds it; returns its check sum."""
    found = _sum(image)
    if known != found or not path.is_file():
        write_for_worker(image, path)
    return found


def _sum(image: sitk.Image) -> str:
    """A check sum of voxels and geometry."""
    grid = repr((Grid.of(image), image.GetPixelID())).encode()
    return f"{zlib.crc32(sitk.GetArrayViewFromImage(image).data, zlib.crc32(grid)):08x}"
