"""Which files of a folder, or of those a pattern matches, are the frames of a sequence."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import SimpleITK as sitk

from ..errors import InputError
from ..files.dicom import holds_dicom, read_dicom
from ..files.images import header_of

_IMAGE_SUFFIXES = (
    ".nii.gz", ".nrrd", ".nhdr", ".nii", ".mha", ".mhd", ".hdr", ".tif", ".tiff", ".png", ".jpg", ".bmp", ".vtk",
)  # fmt: skip
_NO_FRAME = (".seg.nrrd", ".seg.nhdr")
_DRAWN = {"seg", "segmentation", "segmentations", "mask", "masks", "label", "labels", "labelmap", "gt", "groundtruth"}
_REMEDY = "give the frames alone as a pattern in quotes (such as 'DIR/frame*.nrrd') or a .txt with one path a line"


def natural_order(path: str | Path) -> list[tuple[int, int, str]]:
    """A sorting key by which `frame2` comes before `frame10`."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.lower())
        for part in re.split(r"(\d+)", str(path))
        if part
    ]


def frames_in_folder(folder: Path, without: Collection[str | Path] = ()) -> list[Path]:
    """The images of a folder in natural order, or its DICOM folders where it holds no images.

    Whatever has the name of an image counts, a folder or a link that leads nowhere too: it fails when it is read, and
    the frames behind it keep their numbers.

    Raises InputError when there is none, and as `frames_among`.
    """
    visible = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    files = [entry for entry in visible if _is_image_name(entry.name)]
    if any(entry.is_file() for entry in files):
        return frames_among(files, str(folder), without)
    folders = [entry for entry in visible if entry.is_dir() and _holds_something(entry)]
    if folders:
        alike = {_pattern(entry.name) for entry in folders}
        others = [entry for entry in visible if entry not in folders and _pattern(entry.name) in alike]
        return sorted([*folders, *others], key=lambda entry: natural_order(entry.name))
    if holds_dicom(folder):
        read_dicom(folder)  # Several volumes in one folder are told better there.
        raise InputError(f"{folder}: holds one DICOM volume; give a folder with one such folder a frame")
    raise InputError(f"{folder}: holds no image files; give the folder of the frames")


def frames_among(paths: Iterable[Path], where: str, without: Collection[str | Path] = ()) -> list[Path]:
    """The paths in natural order, without those of `without`.

    Raises InputError, beginning with `where`, when one of `without` is numbered like the frames, when a frame is there
    twice, and when kinds of images are mixed: masks among images by their names, numbered
    images and one without a number (but `scan` beside `scan1`), or groups of names whose images differ in dimension,
    components, type or size.
    """
    drawn = {_identity(path) for path in without}
    left: list[Path] = []
    left_out: list[Path] = []
    for path in paths:
        (left_out if _identity(path) in drawn else left).append(path)
    # Without its ending, by which `scan.nrrd` would come after `scan1.nrrd`.
    left.sort(key=lambda path: natural_order(path.parent / _stem(path.name)))
    if not left:
        raise InputError(f"{where}: holds no image but the segmentation; give the folder of the frames")
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in left:
        groups[_pattern(_stem(path.name))].append(path)
    for path in left_out:
        pattern = _pattern(_stem(path.name))
        if "#" in pattern and pattern in groups:
            raise InputError(
                f"{where}: {path.name} is given as segmentation or mask and named like the frames "
                f"({groups[pattern][0].name}, ...); move it out of there, or {_REMEDY}"
            )
    stems: dict[str, Path] = {}
    for path in left:
        other = stems.setdefault(str(path.parent / _stem(path.name)), path)
        if other is not path:
            raise InputError(f"{where}: {other.name} and {path.name} are one frame twice; {_REMEDY}")
    if len(groups) > 1:
        _refuse_mixture(where, groups)
    return left


def frames_in_list(paths: Sequence[Path], where: str, without: Collection[str | Path] = ()) -> list[Path]:
    """The paths in their own order. Raises InputError when one of `without` is among them."""
    drawn = {_identity(path) for path in without}
    for path in paths:
        if _identity(path) in drawn:
            raise InputError(f"{where}: lists {path.name}, which is given as segmentation or mask; take it out there")
    return list(paths)


def _refuse_mixture(where: str, groups: dict[str, list[Path]]) -> None:
    named = {pattern: bool(_DRAWN & set(re.findall("[a-z]+", pattern.lower()))) for pattern in groups}
    if len(set(named.values())) > 1:
        drawn = next(paths for pattern, paths in groups.items() if named[pattern])
        images = next(paths for pattern, paths in groups.items() if not named[pattern])
        raise InputError(
            f"{where}: mixes images ({_examples(images)}) with what is drawn on them ({_examples(drawn)}); {_REMEDY}"
        )
    kinds = {pattern: _kind(paths) for pattern, paths in groups.items()}
    known = [(kind, groups[pattern]) for pattern, kind in kinds.items() if kind]
    for kind, paths in known[1:]:
        if kind != known[0][0]:
            raise InputError(
                f"{where}: mixes kinds of images: {_examples(known[0][1])} ({known[0][0]}), {_examples(paths)} "
                f"({kind}); {_REMEDY}"
            )
    numbered = [pattern for pattern in groups if "#" in pattern]
    for pattern, paths in groups.items():
        begins = any(other.casefold().startswith(pattern.casefold()) for other in numbered)
        if numbered and "#" not in pattern and not begins:
            raise InputError(
                f"{where}: mixes numbered images ({_examples(groups[numbered[0]])}) with {_examples(paths)}, which has "
                f"no number; {_REMEDY}"
            )


def _kind(paths: Sequence[Path]) -> str:
    """What the first image that can be opened is; '' when none can."""
    for path in paths:
        try:
            reader = header_of(path) if path.is_file() else None
        except InputError:
            continue
        if reader is not None:
            size = " x ".join(map(str, reader.GetSize()))
            several = (
                f", {reader.GetNumberOfComponents()} numbers a voxel" if reader.GetNumberOfComponents() > 1 else ""
            )
            return f"{sitk.GetPixelIDValueAsString(reader.GetPixelID())}, {size}{several}"
    return ""


def _examples(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0].name}{more}"


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(_IMAGE_SUFFIXES) and not name.lower().endswith(_NO_FRAME)


def _stem(name: str) -> str:
    ending = next((end for end in _IMAGE_SUFFIXES if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)] if ending else name


def _pattern(name: str) -> str:
    """A name with '#' for each number in it."""
    return re.sub(r"\d+", "#", name)


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return True  # It cannot be opened, and says so when its turn comes.


def _identity(path: str | Path) -> object:
    """The same for all names of a file, as links to it are; much quicker than to resolve thousands of names."""
    try:
        status = os.stat(path)
    except OSError:  # Nothing is there, or a loop of links.
        return Path(path).absolute()
    return (status.st_dev, status.st_ino) if status.st_ino else Path(path).resolve()
