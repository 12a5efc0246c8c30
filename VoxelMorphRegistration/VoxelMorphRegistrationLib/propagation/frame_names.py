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
from .frame_order import IMAGE_ENDINGS, in_order, natural_order, pattern_of, stem_of, told_signs

_NO_FRAME = (".seg.nrrd", ".seg.nhdr")
_DRAWN = {"seg", "segmentation", "segmentations", "mask", "masks", "label", "labels", "labelmap", "gt", "groundtruth"}
_FOLDERS_SHOWN = 5
_REMEDY = "give the frames alone as a pattern in quotes (such as 'DIR/frame*.nrrd') or a .txt with one path a line"


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
        _refuse_folders_of_images(folder, folders)
        alike = {pattern_of(entry) for entry in folders}
        others = [entry for entry in visible if entry not in folders and pattern_of(entry) in alike]
        return in_order([*folders, *others])
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
    left = in_order(left)
    if not left:
        raise InputError(f"{where}: holds no image but the segmentation; give the folder of the frames")
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in left:
        groups[pattern_of(path)].append(path)
    for path in left_out:
        pattern = pattern_of(path)
        if "#" in pattern and pattern in groups:
            raise InputError(
                f"{where}: {path.name} is given as segmentation or mask and named like the frames "
                f"({groups[pattern][0].name}, ...); move it out of there, or {_REMEDY}"
            )
    stems: dict[str, Path] = {}
    for path in left:
        other = stems.setdefault(str(path.parent / stem_of(path.name)), path)
        if other is not path:
            raise InputError(f"{where}: {other.name} and {path.name} are one frame twice; {_REMEDY}")
    if len(groups) > 1:
        _refuse_mixture(where, groups)
    return left


def doubts_among(paths: Sequence[Path], where: str) -> list[str]:
    """What a person should know of frames that were found by their names: numbers that are taken to have signs, and
    several kinds of names.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[pattern_of(path)].append(path)
    signs = told_signs(paths, where)
    numbered = [group for pattern, group in groups.items() if "#" in pattern]
    if signs or len(numbered) < 2:
        return signs
    kinds = ", ".join(_examples(group) for group in numbered)
    return [f"{where}: holds {len(numbered)} kinds of names, all of which are taken for frames: {kinds}"]


def frames_in_list(paths: Sequence[Path], where: str, without: Collection[str | Path] = ()) -> list[Path]:
    """The paths in their own order. Raises InputError when one of `without` is among them."""
    drawn = {_identity(path) for path in without}
    for path in paths:
        if _identity(path) in drawn:
            raise InputError(f"{where}: lists {path.name}, which is given as segmentation or mask; take it out there")
    return list(paths)


def _refuse_folders_of_images(folder: Path, folders: Sequence[Path]) -> None:
    """Folders are frames where they hold DICOM; what holds image files is told here, and not by the first frame."""
    images = {entry: _images_in(entry) for entry in folders}
    images = {entry: names for entry, names in images.items() if names and not holds_dicom(entry)}
    frames = {pattern_of(entry) for entry in folders if entry not in images}
    odd = {entry: names for entry, names in images.items() if pattern_of(entry) not in frames}
    if not odd:
        return  # One that is named like the others keeps its number, and fails.
    ordered = sorted(odd, key=lambda entry: (bool(_DRAWN & _words(entry.name)), natural_order(entry.name)))
    told = [f"{entry.name} ({_examples([entry / name for name in odd[entry]])})" for entry in ordered]
    more = f" and {len(told) - _FOLDERS_SHOWN} more" if len(told) > _FOLDERS_SHOWN else ""
    beside = f" beside {len(folders) - len(odd)} others" if len(odd) < len(folders) else ""
    remedy = f"the folder of the frames, such as {ordered[0]}"
    if len(odd) > 2 and max(map(len, odd.values())) == 1:
        remedy = f"a pattern in quotes, such as '{folder}/*/{odd[ordered[0]][0]}'"
    raise InputError(
        f"{folder}: holds no image files but folders of them{beside}: {', '.join(told[:_FOLDERS_SHOWN])}{more}; "
        f"give {remedy}"
    )


def _images_in(folder: Path) -> list[str]:
    try:
        names = (name for name in os.listdir(folder) if not name.startswith("."))
        return sorted((name for name in names if name.lower().endswith(IMAGE_ENDINGS)), key=natural_order)
    except OSError:
        return []


def _refuse_mixture(where: str, groups: dict[str, list[Path]]) -> None:
    named = {pattern: bool(_DRAWN & _words(pattern)) for pattern in groups}
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


def _words(name: str) -> set[str]:
    return set(re.findall("[a-z]+", name.lower()))


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
    return name.lower().endswith(IMAGE_ENDINGS) and not name.lower().endswith(_NO_FRAME)


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
